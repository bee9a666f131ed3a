"""The times of a video as its container and its packets tell them; nothing is decoded."""

import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.container import open_video
from cico_platform.corpus.limits import ClipError, Deadline, DecodeLimits
from cico_platform.corpus.packet_table import NONE, packet_table
from cico_platform.corpus.timeline import EPSILON, counted_times

# Containers whose timestamps are those of MPEG's clock.
MPEG_CLOCK = {"mpegts", "mpeg"}


def packet_times(path: str, limits: DecodeLimits) -> NDArray[np.float64]:
    """The times of a video's frames, in the order in which they are shown, as `decode_clip` gives them.

    Returns
    -------
    NDArray
        float64 [N], seconds on the player's clock. Frames that an edit list leaves out are not among them.

    Raises
    ------
    ClipError
        If the file cannot be read, has no frame, or a limit is exceeded.
    """
    deadline = Deadline(limits)
    with open_video(path, limits) as video:
        table = packet_table(path, limits, deadline)
        if not len(table):
            raise ClipError("no frame could be read")
        counted = counted_times(video, table)
        if counted is not None:
            return counted
        stamps = np.where(table.pts == NONE, table.dts, table.pts)
        if (stamps == NONE).any():
            return np.arange(len(stamps)) / video.rate
        times = np.sort(stamps + table.shift) * video.tick - video.start
        shown: NDArray[np.float64] = np.round(times[times >= -EPSILON], 9)
        return shown


def clock_start(path: str, limits: DecodeLimits) -> float:
    """The moment on the file's own clock at which a player's clock shows 0, in seconds.

    Not a number where the file tells nothing of the clock that it was recorded or sent with: what is no MPEG
    stream and begins at 0 may have begun at any time.

    Raises
    ------
    ClipError
        If the file cannot be read, or a limit is exceeded.
    """
    with open_video(path, limits) as video:
        if video.names & MPEG_CLOCK or video.start > EPSILON:
            return video.start
        return float("nan")
