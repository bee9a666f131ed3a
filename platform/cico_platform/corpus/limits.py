"""What decoding gives and what it may cost, shared by video files and frame folders."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cico_platform.errors import CicoError


class ClipError(CicoError):
    """A clip cannot be used; the message is the reason that its quarantine row gets."""


class StillError(ClipError):
    """No frame appears in a clip's time, though others do after it: the picture stands still."""

    def __init__(self) -> None:
        super().__init__(self.message)

    message = "no frame appears in the clip's time: the picture stands still"


@dataclass(frozen=True)
class DecodeLimits:
    """What one clip may cost at most, so that a hostile file cannot take a worker down.

    `pixels` of one frame before scaling, `frames` of the clip, `seconds` of decoding, `bytes` of decoded
    frames.
    """

    pixels: int = 8192 * 4608
    frames: int = 6000
    seconds: float = 120.0
    bytes: int = 1 << 30


class Deadline:
    """The time until which one clip may be decoded."""

    def __init__(self, limits: DecodeLimits) -> None:
        self.seconds = limits.seconds
        self._end = time.monotonic() + limits.seconds

    def check(self) -> None:
        """Refuse to go on after it.

        Raises
        ------
        ClipError
            If it has passed.
        """
        if time.monotonic() > self._end:
            raise ClipError(f"decoding took longer than {self.seconds:g} seconds")


@dataclass(frozen=True)
class DecodedClip:
    """The decoded frames of a clip and what is known of them. All times are seconds on the player's clock.

    Attributes
    ----------
    frames
        uint8 `[N, H, W, 3]` RGB, upright.
    fps
        Frames over time, measured; what the file declares where there is one frame.
    times
        float64 `[N]`: when each frame appears.
    truncated
        The file breaks off, or is damaged, before the clip's end.
    source_size
        Width and height of the whole upright frame with square pixels, as a player shows it.
    end
        When the last frame disappears.
    short
        The frames do not cover the interval that was asked for: the picture begins later or ends earlier.
    stored_size
        Width and height of the whole upright frame in the pixels that the file stores.
    crop
        The signer's square in fractions of the frame, where it was searched for.
    source_frames
        int64 `[N]`: number of each frame among all frames of the file, if it was asked for.
    """

    frames: NDArray[np.uint8]
    fps: float
    times: NDArray[np.float64]
    truncated: bool = False
    source_size: tuple[int, int] = (0, 0)
    end: float = 0.0
    short: bool = False
    stored_size: tuple[int, int] = (0, 0)
    crop: list[float] | None = None
    source_frames: NDArray[np.int64] | None = None

    def boundaries(self, begin: float = 0.0) -> NDArray[np.float64]:
        """When each frame appears and when the last one disappears, seconds from `begin`: float64 [N + 1]."""
        return np.append(self.times, self.end) - begin


def check_crop(crop: list[float] | None) -> list[float] | None:
    """The crop itself, once it is known to be `[x0, y0, x1, y1]` in fractions.

    Raises
    ------
    ClipError
        If it is not.
    """
    if crop is None:
        return None
    edge = 1 + 1e-6
    if len(crop) != 4 or not (0 <= crop[0] < crop[2] <= edge and 0 <= crop[1] < crop[3] <= edge):
        raise ClipError(f"the crop {crop} is not x0, y0, x1, y1 in fractions of the frame")
    return crop


def crop_pixels(crop: list[float] | None, width: int, height: int) -> tuple[int, int, int, int]:
    """The crop in whole pixels, `(x, y, width, height)`, at least one pixel and inside the frame.

    >>> crop_pixels([0.25, 0.0, 0.75, 1.0], 1280, 720)
    (320, 0, 640, 720)
    """
    if crop is None:
        return 0, 0, width, height
    x = min(round(crop[0] * width), width - 1)
    y = min(round(crop[1] * height), height - 1)
    right = min(max(round(crop[2] * width), x + 1), width)
    bottom = min(max(round(crop[3] * height), y + 1), height)
    return x, y, right - x, bottom - y


def target_size(width: int, height: int, size: int | None, longest: int | None) -> tuple[int, int]:
    """The size to scale to: a square, or the longest side with the aspect kept, never enlarged."""
    if size is not None:
        return size, size
    scale = min(1.0, (longest or max(width, height)) / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def check_pixels(width: int, height: int, limits: DecodeLimits) -> None:
    """Refuse a frame without a size, or one larger than the limit.

    Raises
    ------
    ClipError
        If so.
    """
    if width <= 0 or height <= 0:
        raise ClipError("the frames have no size")
    if width * height > limits.pixels:
        raise ClipError(f"frames of {width} x {height} exceed the limit of {limits.pixels} pixels")
