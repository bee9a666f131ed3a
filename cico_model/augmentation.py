"""How training windows are varied: in colour, scale and offset as published, and in speed and backdrop."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cico_model.config import WINDOW_FRAMES, SignEncoderConfig

Frames = NDArray[np.uint8]
MID_GREY = 127.5
# Frames that a window may be squeezed or stretched from.
SHORTEST, LONGEST = 11, 22
# How often, and at most how far, the backdrop still fades after its time.
LATE_FADING = 0.3
# Windows that are augmented together on a GPU: a bound on the memory of float32 frames, 200 MB at 256 pixels.
CLIPS_AT_ONCE = 16


@dataclass(frozen=True)
class Augmentation:
    """Random numbers of one training window.

    Attributes
    ----------
    side, top, left
        The crop in pixels; it is resized to `config.frame_size`.
    flip
        Whether the window is mirrored.
    jitter
        Factor of each colour channel.
    """

    side: int
    top: int
    left: int
    flip: bool
    jitter: tuple[float, float, float]


def draw_augmentation(
    size: int, config: SignEncoderConfig, rng: np.random.Generator, *, flip: float = 0.5
) -> Augmentation:
    """Draw the numbers of the published augmentation (method 1) for frames of `size` pixels.

    The crop's side is `config.frame_size` times 0.9 to 1.1, at most `size`, and its offset is uniform within
    the frame. Each colour channel is scaled by 0.8 to 1.2. `flip` is the probability of a horizontal flip.
    """
    side = min(size, round(config.frame_size * rng.uniform(0.9, 1.1)))
    top, left = (int(v) for v in rng.integers(0, size - side + 1, 2))
    flipped = bool(rng.random() < flip)
    red, green, blue = (float(v) for v in rng.uniform(0.8, 1.2, 3))
    return Augmentation(side, top, left, flipped, (red, green, blue))


def window_frames(count: int, rng: np.random.Generator, speed: float = 0.0) -> NDArray[np.int64]:
    """Indices [16] of the frames of a random window; a shorter video repeats its last frame.

    Parameters
    ----------
    count
        Frames of the video.
    speed
        How often the window is taken from 11 to 22 frames instead of 16, so that the signing is faster or
        slower.
    """
    if rng.random() >= speed:
        start = int(rng.integers(0, max(count, WINDOW_FRAMES) - WINDOW_FRAMES + 1))
        return np.minimum(np.arange(start, start + WINDOW_FRAMES), count - 1)
    longest = min(LONGEST, count)
    span = int(rng.integers(min(SHORTEST, longest), longest + 1))
    start = int(rng.integers(0, count - span + 1))
    return np.round(np.linspace(start, start + span - 1, WINDOW_FRAMES)).astype(np.int64)


def random_window(frames: Frames, rng: np.random.Generator, speed: float = 0.0) -> Frames:
    """16 frames of a video at random, uint8 [16, H, W, 3]; see `window_frames`."""
    return frames[window_frames(len(frames), rng, speed)]


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
    drawn = draw_augmentation(clip.shape[1], config, rng, flip=flip)
    pixels = _cut(torch.from_numpy(clip), drawn, config.frame_size)
    scale = torch.tensor(drawn.jitter, dtype=torch.float32) / 255.0
    x = (pixels.float() * scale).clamp_(max=1.0).sub_(0.5)
    return x.permute(3, 0, 1, 2)


def augment_clips(clips: Tensor, drawn: Sequence[Augmentation], config: SignEncoderConfig) -> Tensor:
    """Augment a batch of windows on the device that holds it.

    Parameters
    ----------
    clips
        uint8 [B, 16, R, R, 3].
    drawn
        Numbers of each window, from `draw_augmentation`.

    Returns
    -------
    Tensor
        float32 [B, 3, 16, S, S] in [-0.5, 0.5], channels last in memory. On a CPU, frames are resized as
        bytes; elsewhere all at once in float32: values differ by rounding, at most 1.5 of 255 levels.
    """
    if clips.device.type != "cpu":
        firsts = range(0, len(clips), CLIPS_AT_ONCE)
        parts = [slice(first, first + CLIPS_AT_ONCE) for first in firsts]
        return torch.cat([augment_as_batch(clips[part], drawn[part], config) for part in parts])
    size = config.frame_size
    result = torch.empty(len(clips), clips.shape[1], size, size, 3)
    for clip, numbers, out in zip(clips, drawn, result, strict=True):
        scale = torch.tensor(numbers.jitter, dtype=torch.float32) / 255.0
        torch.mul(_cut(clip, numbers, size), scale, out=out)
    return result.clamp_(max=1.0).sub_(0.5).permute(0, 4, 1, 2, 3)


def augment_as_batch(clips: Tensor, drawn: Sequence[Augmentation], config: SignEncoderConfig) -> Tensor:
    """`augment_clips` in three products of matrices: crop, scale and flip are linear along each axis."""
    size, device = clips.shape[2], clips.device
    rows = np.stack([_resampling(size, d.top, d.side, config.frame_size, False) for d in drawn])
    columns = np.stack([_resampling(size, d.left, d.side, config.frame_size, d.flip) for d in drawn])
    down, across = (torch.from_numpy(w).to(device, non_blocking=True) for w in (rows, columns))
    scale = torch.tensor([d.jitter for d in drawn], device=device) / 255.0
    with torch.autocast(device.type, enabled=False):
        x = torch.einsum("bsy,btyxc->btsxc", down, clips.float())
        x = torch.einsum("bzx,btsxc->btszc", across, x).contiguous()
    x = x.mul_(scale[:, None, None, None, :]).clamp_(max=1.0).sub_(0.5)
    return x.permute(0, 4, 1, 2, 3)


def fade_backdrops(clips: Tensor, backdrops: Tensor, shares: Sequence[float]) -> Tensor:
    """`fade_backdrop` of a batch, on its device.

    Parameters
    ----------
    clips
        uint8 [B, 16, H, W, 3]; windows with a share above 0 are changed in place.
    backdrops
        uint8 [B, H, W, 3].
    shares
        Of each window.
    """
    for row, share in enumerate(shares):
        if share > 0:
            shift = (share * (backdrops[row].float() - MID_GREY)).to(torch.int16)
            clips[row] = (clips[row] - shift).clamp_(0, 255)
    return clips


def _cut(clip: Tensor, drawn: Augmentation, size: int) -> Tensor:
    """Crop, resize and flip one window of bytes [16, R, R, 3] to [16, S, S, 3]."""
    bottom, right = drawn.top + drawn.side, drawn.left + drawn.side
    # Views all the way: a permuted NHWC array is channels-last, the fast path of uint8 interpolation.
    pixels = clip[:, drawn.top : bottom, drawn.left : right].permute(0, 3, 1, 2)
    if drawn.side != size:
        pixels = functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return (pixels.flip(-1) if drawn.flip else pixels).permute(0, 2, 3, 1)


def _resampling(size: int, offset: int, side: int, out: int, flip: bool) -> NDArray[np.float32]:
    """Weights [out, size] of a crop's linear, antialiased resize along one axis, as PyTorch computes it."""
    scale = side / out
    centres = scale * (np.arange(out)[:, None] + 0.5)
    distances = np.abs(np.arange(side)[None, :] + 0.5 - centres) / max(scale, 1.0)
    weights = np.maximum(0.0, 1.0 - distances)
    whole = np.zeros((out, size), np.float32)
    whole[:, offset : offset + side] = weights / weights.sum(axis=1, keepdims=True)
    return whole[::-1].copy() if flip else whole
