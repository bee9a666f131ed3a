"""A part of an indexed clip as a query: the tokens of its windows, without decoding anything."""

import numpy as np

from cico_platform.encoding.video_queries import VideoQuery
from cico_platform.errors import InputError
from cico_platform.index.clips import Hit
from cico_platform.index.ranking import hit_windows, tokens_of


def part_of_clip(hit: Hit, start: float | None = None, end: float | None = None) -> VideoQuery:
    """The windows of a clip whose middle lies between `start` and `end`, in seconds within the clip.

    Without them, the part begins or ends with the clip. The hit came with its tokens.

    Raises
    ------
    InputError
        If the part ends before it starts, or holds the middle of no window; the message says which part does.
    """
    first, last = start or 0.0, np.inf if end is None else end
    if last <= first:
        raise InputError(f"the part ends at {last:.2f} s, which is not after its start at {first:.2f} s")
    windows, tokens = hit_windows(hit), np.asarray(tokens_of(hit), np.float32)
    middles = np.array([(one[0] + one[1]) / 2 for one in windows])
    inside = np.flatnonzero((middles >= first) & (middles <= last))
    if start is None and end is None:
        inside = np.arange(len(windows))
    if not len(inside):
        raise InputError(
            f"no window of the clip has its middle between {first:.2f} and {last:.2f} s; mark a longer part: "
            f"the middles of its {len(windows)} windows lie between {middles.min():.2f} and "
            f"{middles.max():.2f} s"
        )
    chosen = [windows[i] for i in inside]
    return VideoQuery(tokens[inside], chosen[0][0], max(end for _, end in chosen), chosen)
