"""Looking into a video longer than a clip: groups of its windows that slide over it, the best of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def sliding_groups(
    times: Sequence[tuple[float, float]], lengths: Sequence[float], overlap: float = 2 / 3
) -> list[list[int]]:
    """Groups of windows that lie within a stretch of each of these lengths, as it slides over the video.

    Parameters
    ----------
    times
        Start and end of the windows in seconds, ascending.
    lengths
        Of the stretches, in seconds.
    overlap
        How much of a stretch the next one covers.

    Examples
    --------
    >>> sliding_groups([(0, 1), (1, 2), (2, 3), (3, 4)], [2.0], overlap=0.5)
    [[0, 1], [1, 2], [2, 3]]
    """
    starts, ends = (np.array(column, dtype=np.float64) for column in zip(*times, strict=True))
    groups: dict[tuple[int, int], list[int]] = {}
    for length in lengths:
        step = length * (1 - overlap)
        for number in range(max(1, int(np.ceil((ends[-1] - starts[0] - length) / step)) + 1)):
            begin = starts[0] + number * step
            first = int(np.searchsorted(starts, begin - 1e-6))
            last = int(np.searchsorted(ends, begin + length + 1e-6)) - 1
            if last >= first:
                groups.setdefault((first, last), list(range(first, last + 1)))
    return list(groups.values()) or [list(range(len(times)))]


def suppress(
    spans: Sequence[tuple[float, float]], scores: NDArray[np.floating], limit: int, overlap: float = 0.2
) -> list[int]:
    """The best spans that don't overlap, best first: non-maximum suppression.

    Parameters
    ----------
    overlap
        Share of the shorter of two spans that they may have in common.

    Examples
    --------
    >>> suppress([(0, 2), (1, 3), (3, 5)], np.array([0.5, 0.9, 0.3]), limit=5)
    [1, 2]
    """
    kept: list[int] = []
    for candidate in np.argsort(-np.asarray(scores), kind="stable"):
        start, end = spans[candidate]
        if all(
            min(end, spans[k][1]) - max(start, spans[k][0])
            <= overlap * min(end - start, spans[k][1] - spans[k][0])
            for k in kept
        ):
            kept.append(int(candidate))
            if len(kept) == limit:
                break
    return kept
