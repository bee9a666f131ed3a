"""Confident windows of an unlabelled video become labelled segments, the pseudo-labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cico_model.config import WINDOW_FRAMES

CONFIDENCE_THRESHOLD = 0.6
EXTEND_WITHIN = 3
DROP_WITHIN = 24


@dataclass(frozen=True)
class Segment:
    """Frames `start` up to, not including, `end` of one video, in which `label` is signed."""

    label: int
    start: int
    end: int
    confidence: float


@dataclass
class _Open:
    start: int  # of the window that opened the segment
    first: int
    last: int
    confidence: float


def merge_windows(
    starts: Sequence[int],
    confidences: Sequence[float],
    labels: Sequence[int],
    *,
    threshold: float = CONFIDENCE_THRESHOLD,
    drop_within: int = DROP_WITHIN,
    extend: Literal["nearest", "first"] = "nearest",
) -> list[Segment]:
    """Merge the windows of one video into segments (method 3).

    Windows of one class, best first: the first opens a segment; a later one whose start is within 3 frames of
    a segment's start extends it, within `drop_within` frames is dropped, else opens a new one.

    Parameters
    ----------
    starts, confidences, labels
        First frame, probability of the best class, and best class of each window, in any order.
    threshold
        A window is kept if its confidence is greater.
    drop_within
        Frames around a segment's start in which no second segment of its class opens: 24 as published,
        where signs are slow; faster signing bears less.
    extend
        Which segment a near window extends: the one it is near, or, as the published code does, the
        first of its class and video (quirk 2).

    Returns
    -------
    list of Segment
        Ordered by start.

    Raises
    ------
    ValueError
        If the three sequences differ in length.

    Examples
    --------
    >>> merge_windows([10, 12, 50], [0.9, 0.8, 0.7], [4, 4, 4])
    [Segment(label=4, start=10, end=28, confidence=0.9), Segment(label=4, start=50, end=66, confidence=0.7)]
    """
    rows = zip(starts, confidences, labels, strict=True)
    kept = sorted((r for r in rows if r[1] > threshold), key=lambda r: (-r[1], r[0]))
    by_label: dict[int, list[_Open]] = {}
    for start, confidence, label in kept:
        segments = by_label.setdefault(int(label), [])
        end = start + WINDOW_FRAMES
        nearest = min(segments, key=lambda s: abs(s.start - start), default=None)
        distance = abs(nearest.start - start) if nearest else drop_within + 1
        if nearest and distance <= EXTEND_WITHIN:
            grown = nearest if extend == "nearest" else segments[0]
            grown.first, grown.last = min(grown.first, start), max(grown.last, end)
        elif distance > drop_within:
            segments.append(_Open(start, start, end, float(confidence)))
    found = [
        Segment(label, s.first, s.last, s.confidence) for label, opened in by_label.items() for s in opened
    ]
    return sorted(found, key=lambda s: (s.start, s.label))
