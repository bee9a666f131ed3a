"""The times of a video's frames, read without decoding it: intervals that a corpus gives as frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.frame_folder import FRAME_FOLDER_FPS, frame_files, frame_positions
from cico_platform.corpus.isolation import frame_times_isolated
from cico_platform.corpus.limits import ClipError
from cico_platform.storage import is_remote, place

# A file that should hold a clip alone may have so many frames more or fewer.
CUT_TOLERANCE = 2


@dataclass(frozen=True)
class FrameInterval:
    """An interval in seconds.

    `clipped` tells that it went on after the video, `is_cut` that the file holds it alone.
    """

    start: float | None
    end: float | None
    clipped: bool = False
    is_cut: bool = False


def frame_interval(path: str, first: int, last: int | None, cut_frames: int | None = None) -> FrameInterval:
    """The times of frames of a video, in the order in which they are shown.

    Parameters
    ----------
    path
        A video file, a URL, or a folder of frames.
    first, last
        The first frame and the one after the last, from 0; None goes to the end.
    cut_frames
        The number of frames of the file if it holds the interval alone: then it is taken whole.

    Raises
    ------
    ClipError
        If the file cannot be read, or the interval begins after its last frame.
    """
    times = _times(path)
    if cut_frames is not None and abs(len(times) - cut_frames) <= CUT_TOLERANCE:
        return FrameInterval(None, None, is_cut=True)
    if first >= len(times):
        raise ClipError(f"the interval begins at frame {first}; the video has {len(times)}")
    end = float(times[last]) if last is not None and last < len(times) else None
    return FrameInterval(float(times[first]), end, clipped=last is not None and last > len(times))


def _times(path: str) -> NDArray[np.float64]:
    if not is_remote(path) and Path(path).is_dir():
        files = frame_files(place(path))
        return np.asarray(frame_positions(files) if files else [], np.float64) / FRAME_FOLDER_FPS
    return frame_times_isolated(path)
