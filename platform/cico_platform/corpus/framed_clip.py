"""A video that nobody has looked at yet: find the signer, and decode what shows the signer signing."""

from pathlib import Path

from cico_platform.corpus.framing import FramingSettings, frame_clip
from cico_platform.corpus.limits import DecodedClip, DecodeLimits
from cico_platform.corpus.signer_box import SEARCH_SIDE
from cico_platform.corpus.video import decode_clip


def decode_framed_clip(
    path: str | Path, settings: FramingSettings, size: int, limits: DecodeLimits | None = None
) -> DecodedClip:
    """Decode the frames that `corpus read` and `cico features` make of a file together.

    Parameters
    ----------
    path
        As in `video.decode_clip`.
    size
        Side of the square that the signer's box is squeezed into, in pixels.

    Raises
    ------
    ClipError
        As `video.decode_clip`.
    """
    if settings.mode == "whole":
        return decode_clip(path, size=size, limits=limits)
    framing = frame_clip(decode_clip(path, longest=SEARCH_SIDE, limits=limits), settings)
    return decode_clip(
        path, start=framing.start, end=framing.end, crop=framing.crop, size=size, limits=limits
    )
