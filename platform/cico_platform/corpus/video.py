"""Decoding: the frames that a clip needs, cropped and at the encoder's size, or the reason why not."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import av
import numpy as np

from cico_platform.corpus.clip_frames import ClipFrames, Keep
from cico_platform.corpus.completeness import breaks_off
from cico_platform.corpus.container import reason_of
from cico_platform.corpus.frame_folder import read_frame_folder
from cico_platform.corpus.frame_numbers import frame_numbers
from cico_platform.corpus.limits import ClipError, Deadline, DecodedClip, DecodeLimits, check_crop
from cico_platform.corpus.picture import PictureMaker
from cico_platform.corpus.timeline import Timed, timed_frames
from cico_platform.errors import InputError
from cico_platform.storage import is_remote, place

__all__ = ["ClipError", "DecodeLimits", "DecodedClip", "decode_clip", "shape_frames"]


def decode_clip(
    path: str | Path,
    *,
    start: float | None = None,
    end: float | None = None,
    crop: list[float] | None = None,
    size: int | None = None,
    longest: int | None = None,
    numbered: bool = False,
    limits: DecodeLimits | None = None,
    keep: Keep | None = None,
) -> DecodedClip:
    """Decode one clip: find the key frame before `start`, decode, crop and scale, stop at `end`.

    A file that ends early, or breaks in the middle, is used as far as it can be decoded and `truncated`
    says so; it is an error only when not one frame comes out. A single frame is a clip.

    Parameters
    ----------
    path
        A video file, a folder of numbered images, or a URL that fsspec opens.
    start, end
        Seconds on the clock that a player shows, which is 0 where the file (sound or picture) begins; frames
        that appear at `start <= time < end` are kept.
    crop
        `[x0, y0, x1, y1]` in fractions of the upright frame; `None` takes all of it.
    size
        Side of the square that the crop is squeezed into, in pixels; `None` keeps the crop's own size.
    longest
        Instead of `size`: the longest side, the aspect kept. A smaller frame stays as it is.
    numbered
        Tell `source_frames`, too; this takes a pass over the file.
    limits
        What a hostile file may cost; `DecodeLimits()` by default.
    keep
        Called with each decoded frame that pictures are made of, see `shape_frames`; not for folders.

    Returns
    -------
    DecodedClip
        At least one frame.

    Raises
    ------
    ClipError
        If no frame of the clip can be had, or a limit is exceeded; the message is the reason.
    """
    limits = limits or DecodeLimits()
    if start is not None and end is not None and not end > max(start, 0.0):
        raise ClipError(f"the clip ends ({end:g} s) before it begins ({start:g} s)")
    if _is_folder(path):
        return read_frame_folder(place(path), start, end, check_crop(crop), size, longest, limits)
    pictures = PictureMaker(crop, size, longest, limits)
    deadline = Deadline(limits)
    clip = ClipFrames(start, end, limits, keep=keep)
    try:
        for timed in timed_frames(str(path), start, limits, deadline):
            deadline.check()
            clip.see(timed, pictures)
            if clip.over:
                break
        clip.add(pictures.flush())
    except (av.FFmpegError, ValueError, MemoryError) as error:
        clip.broken = reason_of(error)
    off = not clip.over and breaks_off(str(path), clip.source.names)
    wanted = numbered and clip.frames
    numbers = frame_numbers(str(path), np.asarray(clip.times), limits) if wanted else None
    return clip.finish(pictures, off, numbers)


def shape_frames(
    frames: Iterable[Timed],
    *,
    start: float | None,
    end: float | None,
    crop: list[float] | None,
    size: int,
    limits: DecodeLimits,
) -> DecodedClip:
    """Make a clip of decoded frames that `decode_clip` has handed to `keep`: as if it were called again.

    Whether the file breaks off, only that call can tell.

    Raises
    ------
    ClipError
        As `decode_clip`.
    """
    pictures, clip = PictureMaker(crop, size, None, limits), ClipFrames(start, end, limits)
    for timed in frames:
        clip.see(timed, pictures)
        if clip.over:
            break
    clip.add(pictures.flush())
    return clip.finish(pictures, breaks_off=False)


def _is_folder(path: str | Path) -> bool:
    # Behind a URL the question is a request: a name with a suffix is a file.
    if is_remote(path) and PurePosixPath(path).suffix:
        return False
    try:
        return place(path).is_dir()
    except (InputError, OSError, ValueError) as error:
        raise ClipError(f"'{path}' cannot be opened: {reason_of(error)}") from error
