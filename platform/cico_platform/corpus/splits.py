"""Splits of the clips that a corpus gives none: by a seeded hash, with no text and no interval in two."""

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from cico_platform.corpus.manifest import Clip, Split

# A sign with fewer clips than this keeps them all for training.
CLIPS_TO_HOLD_OUT = 5


class Shares(Protocol):
    """The seed of the splits, and the shares of two of them; the rest is for training."""

    seed: int
    validation_share: float
    test_share: float


def assign_splits(
    clips: Sequence[Clip], shares: Shares, intervals: Sequence[Hashable] | None = None
) -> list[Clip]:
    """Give a split to the clips that have none, the same for a seed whatever their order.

    Sentences: all clips of a text share a split, and so do all texts of one interval of a video; what is
    already in a split stays there and draws the others along. Isolated signs: every sign stays in training,
    and those with several clips give some to the other splits.

    Parameters
    ----------
    intervals
        What names the interval of each clip, as the corpus gives it; None where it gives none.
    """
    groups = _Groups()
    for clip, interval in zip(clips, intervals or [None] * len(clips), strict=True):
        if clip.label is None:
            groups.join(clip.text_id, (clip.text_id,) if interval is None else (interval,))
    names = {clip.text_id: groups.name(clip.text_id) for clip in clips if clip.label is None}
    fixed: dict[str, Split] = {}
    for clip in clips:
        if clip.split:
            fixed[names.get(clip.text_id, clip.text_id)] = clip.split
    pools: dict[str, list[str]] = {}
    for clip in clips:
        if not clip.split and clip.label is not None:
            pools.setdefault(clip.label, []).append(clip.video_id)
        elif not clip.split and names[clip.text_id] not in fixed:
            pools.setdefault("", []).append(names[clip.text_id])
    chosen: dict[str, Split] = {}
    for label, pool in pools.items():
        if label == "" or len(set(pool)) >= CLIPS_TO_HOLD_OUT:
            chosen.update(_draw(sorted(set(pool)), shares))

    def split_of(clip: Clip) -> Split:
        if clip.label is not None:
            return chosen.get(clip.video_id, "train")
        name = names[clip.text_id]
        return fixed.get(name) or chosen.get(name, "train")

    return [clip if clip.split else replace(clip, split=split_of(clip)) for clip in clips]


@dataclass
class _Groups:
    """Texts that must share a split: a text's group is named by the first of its texts in the alphabet."""

    owner: dict[Hashable, str] = field(default_factory=dict)
    parent: dict[str, str] = field(default_factory=dict)

    def join(self, text_id: str, interval: Hashable) -> None:
        self.parent.setdefault(text_id, text_id)
        first, second = sorted((self.name(self.owner.setdefault(interval, text_id)), self.name(text_id)))
        self.parent[second] = first

    def name(self, text_id: str) -> str:
        while self.parent[text_id] != text_id:
            self.parent[text_id] = text_id = self.parent[self.parent[text_id]]
        return text_id


def _draw(names: list[str], shares: Shares) -> dict[str, Split]:
    """Shuffle by a seeded hash and cut at the shares."""
    order = sorted(names, key=lambda name: hashlib.sha256(f"{shares.seed}/{name}".encode()).digest())
    test = round(len(order) * shares.test_share)
    validation = round(len(order) * shares.validation_share)
    return {
        name: "test" if i < test else "validation" if i < test + validation else "train"
        for i, name in enumerate(order)
    }
