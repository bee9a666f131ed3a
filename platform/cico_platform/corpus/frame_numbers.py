"""The numbers of a clip's frames among all frames of their file."""

import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.container import open_video
from cico_platform.corpus.limits import Deadline, DecodeLimits
from cico_platform.corpus.packet_table import NONE, packet_table
from cico_platform.corpus.timeline import counted_times

WITHOUT_EDITS = (("ignore_editlist", "1"),)


def frame_numbers(path: str, times: NDArray[np.float64], limits: DecodeLimits) -> NDArray[np.int64]:
    """The number of each frame among all frames of the file, in the order in which they are shown.

    Frames that an edit list leaves out count, too.

    Parameters
    ----------
    times
        float64 [N]: when each frame appears, as it was decoded.

    Returns
    -------
    NDArray
        int64 [N].

    Raises
    ------
    ClipError
        If the file cannot be read, or takes longer than the limits allow.
    """
    deadline = Deadline(limits)
    with open_video(path, limits) as video:
        table = packet_table(path, limits, deadline)
        counted = counted_times(video, table)
        if counted is not None:
            return _nearest(counted, times)
        stamps = np.where(table.pts == NONE, table.dts, table.pts) + table.shift
        order = np.argsort(stamps, kind="stable")
        found = _nearest(stamps[order] * video.tick - video.start, times)
        if "mov" not in video.names:
            return found
    whole = packet_table(path, limits, deadline, WITHOUT_EDITS)
    shown = whole.position[np.argsort(whole.pts, kind="stable")]
    numbers = {position: number for number, position in enumerate(shown.tolist())}
    kept = table.position[order][found].tolist()
    return np.array([numbers.get(at, n) for at, n in zip(kept, found.tolist(), strict=True)], np.int64)


def _nearest(known: NDArray[np.floating], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the ascending `known` that is nearest to each time."""
    if len(known) < 2:
        return np.zeros(len(times), np.int64)
    middles = (known[1:] + known[:-1]) / 2
    return np.searchsorted(middles, times).astype(np.int64)
