"""How training windows are varied: in colour, scale and offset as published, and in speed and backdrop."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cico_model.clips import pad_frames
from cico_model.config import WINDOW_FRAMES, SignEncoderConfig

Frames = NDArray[np.uint8]
MID_GREY = 127.5
# Frames that a window may be squeezed or stretched from.
SHORTEST, LONGEST = 11, 22
# How often, and at most how far, the backdrop still fades after its time.
LATE_FADING = 0.3


def random_window(frames: Frames, rng: np.random.Generator, speed: float = 0.0) -> Frames:
    """16 frames of a video at random, uint8 [16, H, W, 3]; a shorter video repeats its last frame.

    Parameters
    ----------
    speed
        How often the window is taken from 11 to 22 frames instead of 16, so that the signing is faster or
        slower.
    """
    if rng.random() >= speed:
        frames = pad_frames(frames)
        start = int(rng.integers(0, len(frames) - WINDOW_FRAMES + 1))
        return frames[start : start + WINDOW_FRAMES]
    longest = min(LONGEST, len(frames))
    count = int(rng.integers(min(SHORTEST, longest), longest + 1))
    start = int(rng.integers(0, len(frames) - count + 1))
    return frames[np.round(np.linspace(start, start + count - 1, WINDOW_FRAMES)).astype(np.int64)]


def backdrop_of(frames: Frames) -> Frames:
    """What stands still in a video: each pixel's median over time, uint8 [H, W, 3]."""
    middle: Frames = np.median(frames, axis=0).astype(np.uint8)
    return middle


def fade_backdrop(clip: Frames, backdrop: Frames, share: float) -> Frames:
    """Replace a share of the still backdrop by mid-grey, so that what moves stands out.

    With several signers, walls and clothes differ more than signs do, and a network that starts from nothing
    finds the hands only after a long time. Fading the backdrop at first, and less and less, shortens that.

    Parameters
    ----------
    clip
        uint8 [16, H, W, 3].
    backdrop
        From `backdrop_of`.
    share
        0 changes nothing, 1 leaves only what differs from the backdrop.
    """
    if share <= 0:
        return clip
    shift = (share * (backdrop.astype(np.float32) - MID_GREY)).astype(np.int16)
    faded: Frames = np.clip(clip - shift, 0, 255).astype(np.uint8)
    return faded


def fading(progress: float, until: float, rng: np.random.Generator) -> float:
    """The share for `fade_backdrop` at a point of the training.

    Parameters
    ----------
    progress
        Part of the training that is done, 0 to 1.
    until
        Part of the training in which the backdrop comes back; 0 never fades it.
    """
    if until <= 0:
        return 0.0
    if progress < until:
        return 1.0 - progress / until * float(rng.random())
    return float(rng.random()) if rng.random() < LATE_FADING else 0.0


def augment_clip(
    clip: NDArray[np.uint8], config: SignEncoderConfig, rng: np.random.Generator, *, flip: float = 0.5
) -> Tensor:
    """One training window as the paper augments it: flip, colour jitter, scale and offset.

    Parameters
    ----------
    clip
        uint8 [16, R, R, 3], R being `config.resize`.
    flip
        Probability of a horizontal flip.

    Returns
    -------
    Tensor
        float32 [3, 16, S, S]: flipped, each colour channel scaled by 1 +- 0.2, the crop's side scaled by
        1 +- 0.1 and moved at random within the frame (method 1).
    """
    size = clip.shape[1]
    side = min(size, round(config.frame_size * rng.uniform(0.9, 1.1)))
    top, left = (int(v) for v in rng.integers(0, size - side + 1, 2))
    # Views all the way: a permuted NHWC array is channels-last, the fast path of uint8 interpolation.
    pixels = torch.from_numpy(clip)[:, top : top + side, left : left + side].permute(0, 3, 1, 2)
    if side != config.frame_size:
        pixels = functional.interpolate(pixels, (config.frame_size,) * 2, mode="bilinear", antialias=True)
    if rng.random() < flip:
        pixels = pixels.flip(-1)
    jitter = torch.from_numpy(rng.uniform(0.8, 1.2, 3).astype(np.float32)).view(1, 3, 1, 1)
    x = (pixels.float() * (jitter / 255.0)).clamp_(max=1.0).sub_(0.5)
    return x.permute(1, 0, 2, 3)
