"""Framing: which frames of a video, and which square of them, show the signer signing.

One rule serves corpora, queries and moment retrieval, so that a video has the same frames whichever way it
comes in.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cico_platform.corpus.limits import DecodedClip
from cico_platform.corpus.signer_box import find_signer

Mode = Literal["signer", "cut", "whole"]
WHOLE_FRAME = [0.0, 0.0, 1.0, 1.0]


@dataclass(frozen=True)
class FramingSettings:
    """How the part of a video that shows the signer is found.

    Attributes
    ----------
    mode
        "signer": the signer is searched for in every video. "cut": a square video has been cut to the signer
        already, any other is searched. "whole": every video is taken as it is, from its first to its last
        frame.
    trim
        Whether the still head and tail are left out.
    """

    mode: Mode = "signer"
    trim: bool = True


@dataclass(frozen=True)
class Framing:
    """The part of a file that is encoded.

    Attributes
    ----------
    start, end
        Seconds into the file; None is its beginning or its end.
    crop
        `[x0, y0, x1, y1]` in fractions of the upright frame; None is all of it.
    frames
        How many of the given frames lie in it.
    """

    start: float | None
    end: float | None
    crop: list[float] | None
    frames: int


def frame_clip(
    clip: DecodedClip,
    settings: FramingSettings,
    *,
    start: float | None = None,
    end: float | None = None,
    crop: list[float] | None = None,
) -> Framing:
    """Decide which part of a decoded clip is encoded.

    Parameters
    ----------
    clip
        Frames in their true aspect, of any scale, see `signer_box.SEARCH_SIDE`.
    start, end
        The times that the clip was decoded with.
    crop
        The signer's box, if it is known: it is taken, and only the still head and tail are searched for.
    """
    given = Framing(start, end, crop, len(clip.frames))
    searched = crop is None and not _is_cut(clip, settings)
    if settings.mode == "whole" or not (searched or settings.trim):
        return given
    box = find_signer(clip.frames, clip.fps)
    crop = box.crop if searched else crop
    frames = box.last_frame - box.first_frame + 1
    if not settings.trim or frames >= len(clip.frames):
        return Framing(start, end, crop, len(clip.frames))
    begins = round(float(clip.times[box.first_frame]), 6)
    ends = round(_end_of(clip, box.last_frame), 6)
    return Framing(begins, ends, crop, frames)


def _end_of(clip: DecodedClip, last: int) -> float:
    """A time between a frame and the next, so that rounding can neither lose it nor let the next in."""
    time = float(clip.times[last])
    end = time + 0.5 / clip.fps
    following = float(clip.times[last + 1]) if last + 1 < len(clip.times) else np.inf
    return end if end < following - 1e-3 else (time + following) / 2


def framing_of(crops: Iterable[list[float] | None], trim: bool = True) -> FramingSettings:
    """How most clips of a corpus were framed, read off their boxes: queries to it are framed alike.

    Boxes that are the whole frame were given with videos that had been cut to the signer; where there is no
    box, nobody has searched for the signer.

    Examples
    --------
    >>> framing_of([[0.2, 0.0, 0.8, 1.0], None, [0.3, 0.1, 0.7, 0.9]])
    FramingSettings(mode='signer', trim=True)
    """
    modes: dict[Mode, int] = {"signer": 0, "cut": 0, "whole": 0}
    modes.update(Counter(_mode(crop) for crop in crops))
    mode = max(modes, key=lambda name: modes[name])
    return FramingSettings(mode, trim and mode != "whole")


def _mode(crop: list[float] | None) -> Mode:
    return "whole" if crop is None else "cut" if list(crop) == WHOLE_FRAME else "signer"


def _is_cut(clip: DecodedClip, settings: FramingSettings) -> bool:
    width, height = clip.source_size
    return settings.mode == "cut" and width == height
