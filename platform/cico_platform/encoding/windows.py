"""Selection of windows: those of a video that get features, and those that a retrieval model reads."""

from collections.abc import Sequence

from cico_model.clips import select_windows, thin_windows, window_starts
from cico_model.config import MAX_WINDOWS, WINDOW_FRAMES


def encoded_windows(num_frames: int, stride: int = 1, limit: int | None = MAX_WINDOWS) -> list[int]:
    """First frames of the windows whose features are computed.

    Parameters
    ----------
    stride
        Frames from one window to the next.
    limit
        At most so many, spread evenly from first to last; all of them if None.

    Examples
    --------
    >>> encoded_windows(22, stride=2, limit=3)
    [0, 2, 6]
    """
    starts = window_starts(num_frames, stride)
    return starts if limit is None else [starts[i] for i in select_windows(len(starts), limit)]


def window_spans(starts: Sequence[int], boundaries: Sequence[float]) -> list[tuple[float, float]]:
    """When windows begin and end, in seconds.

    Parameters
    ----------
    starts
        Their first frames.
    boundaries
        When each frame appears, and when the last one disappears (`DecodedClip.boundaries`). A video shorter
        than a window ends before its only window does.

    Examples
    --------
    >>> window_spans([0, 2], [i / 10 for i in range(19)])
    [(0.0, 1.6), (0.2, 1.8)]
    """
    last = len(boundaries) - 1
    return [(float(boundaries[s]), float(boundaries[min(s + WINDOW_FRAMES, last)])) for s in starts]


def read_windows(starts: Sequence[int], stride: int) -> list[int]:
    """Indices of the windows, of those that have features, that a model of this stride reads.

    Examples
    --------
    >>> read_windows([0, 1, 2, 3, 4, 5], stride=2)
    [0, 2, 4, 5]
    """
    return list(range(len(starts))) if stride == 1 else thin_windows(starts, stride)
