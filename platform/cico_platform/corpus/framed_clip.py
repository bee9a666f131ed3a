"""A video that nobody has looked at yet: find the signer, and decode what shows the signer signing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from cico_platform.corpus.framing import Framing, FramingSettings, frame_clip
from cico_platform.corpus.limits import DecodedClip, DecodeLimits
from cico_platform.corpus.signer_box import SEARCH_SIDE
from cico_platform.corpus.timeline import Timed
from cico_platform.corpus.video import decode_clip, shape_frames

# Decoded frames that are kept until the signer is found: some seconds of a telephone's video.
KEPT_BYTES = 1 << 29


def decode_framed_clip(
    path: str | Path,
    settings: FramingSettings,
    size: int,
    limits: DecodeLimits | None = None,
    *,
    start: float | None = None,
    end: float | None = None,
) -> DecodedClip:
    """Decode the frames that `corpus read` and `cico features` together make of a file.

    The file is decoded once; if its frames take more than `KEPT_BYTES`, the signing part is decoded again.

    Parameters
    ----------
    path
        As in `video.decode_clip`.
    size
        Side of the square that the signer's box is squeezed into, in pixels.
    start, end
        Seconds; what comes before and after is not looked at.

    Returns
    -------
    DecodedClip
        `crop` is the square that was found, or None.

    Raises
    ------
    ClipError
        As `video.decode_clip`.
    """
    limits = limits or DecodeLimits()
    if settings.mode == "whole":
        return decode_clip(path, start=start, end=end, size=size, limits=limits)
    kept = _Kept()
    small = decode_clip(path, start=start, end=end, longest=SEARCH_SIDE, limits=limits, keep=kept.add)
    framing = frame_clip(small, settings, start=start, end=end)
    if len(kept.frames) < len(small.frames):
        clip = decode_clip(path, **_place(framing), size=size, limits=limits)
        return replace(clip, crop=framing.crop)
    clip = shape_frames(kept.frames, **_place(framing), size=size, limits=limits)
    cut_off = framing.end is None or float(small.times[-1]) < framing.end
    ends = small.end if framing.end == end else clip.end
    return replace(clip, truncated=small.truncated and cut_off, crop=framing.crop, end=ends)


def _place(framing: Framing) -> dict[str, Any]:
    return {"start": framing.start, "end": framing.end, "crop": framing.crop}


class _Kept:
    """Decoded frames, as long as they are not too large."""

    def __init__(self) -> None:
        self.frames: list[Timed] = []
        self.bytes = 0

    def add(self, timed: Timed) -> None:
        self.bytes += sum(plane.buffer_size for plane in timed.frame.planes)
        if self.bytes > KEPT_BYTES:
            self.frames.clear()
        else:
            self.frames.append(timed)
