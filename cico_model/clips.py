"""Frames to windows to normalised clips: which windows of a video, and which pixels of a window."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cico_model.config import MAX_WINDOWS, WINDOW_FRAMES, SignEncoderConfig


def window_starts(num_frames: int, stride: int = 1) -> list[int]:
    """First frames of a video's windows; the last window is moved back so that it ends with the video.

    Raises
    ------
    ValueError
        If there is no frame or the stride is not positive.

    Examples
    --------
    >>> window_starts(20, stride=3)
    [0, 3, 4]
    >>> window_starts(7)
    [0]
    """
    if num_frames < 1 or stride < 1:
        raise ValueError(f"a video needs a frame and a stride of 1 or more, not {num_frames} and {stride}")
    count = max(math.ceil((num_frames - WINDOW_FRAMES) / stride) + 1, 1)
    last = max(num_frames - WINDOW_FRAMES, 0)
    return [min(i * stride, last) for i in range(count)]


def select_windows(count: int, limit: int = MAX_WINDOWS) -> list[int]:
    """Indices of the windows that retrieval uses: all of them, or `limit` spread evenly from first to last.

    Examples
    --------
    >>> select_windows(5, limit=3)
    [0, 2, 4]
    """
    if count <= limit:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, limit)]


def thin_windows(starts: Sequence[int], stride: int, limit: int = MAX_WINDOWS) -> list[int]:
    """Which of a video's windows stand for those that retrieval would use at a larger stride.

    Those are `window_starts` at this stride, of which `select_windows` takes `limit`; for each, the nearest
    of the windows at `starts` is taken, and no window twice. Where every window at stride 1 is there, that is
    exactly what extraction at this stride gives; of a video with more than `limit` of them only some are
    there, and the nearest is at most half their distance away.

    Parameters
    ----------
    starts
        First frames of the windows that there are, ascending; the last one ends with the video.

    Returns
    -------
    list[int]
        Indices into `starts`.

    Examples
    --------
    >>> thin_windows([0, 1, 2, 3, 4, 5], stride=2)
    [0, 2, 4, 5]
    """
    every = window_starts(starts[-1] + WINDOW_FRAMES, stride)
    wanted = np.asarray([every[i] for i in select_windows(len(every), limit)])
    distances = np.abs(np.asarray(starts)[None, :] - wanted[:, None])
    return [int(i) for i in np.unique(distances.argmin(axis=1))]


def normalise(frames: Tensor) -> Tensor:
    """Pixels uint8 [0, 255] to float32 [-0.5, 0.5]."""
    return frames.float().div_(255.0).sub_(0.5)


def pad_frames(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last frame of [N, H, W, 3] until a window is full."""
    missing = WINDOW_FRAMES - len(frames)
    return frames if missing <= 0 else np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])


def centre_crop(frames: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The middle `size` x `size` pixels of [N, H, W, 3]: a view, nothing is copied."""
    top, left = (frames.shape[1] - size) // 2, (frames.shape[2] - size) // 2
    return frames[:, top : top + size, left : left + size]


def windows(
    frames: NDArray[np.uint8],
    starts: Sequence[int],
    config: SignEncoderConfig,
    device: torch.device | None = None,
) -> Tensor:
    """Cut windows out of a decoded video, ready for the sign encoder.

    Parameters
    ----------
    frames
        uint8 [N, R, R, 3] RGB, R being `config.resize`. Fewer than 16 frames repeat the last one.
    starts
        First frames of the wanted windows, from `window_starts`.
    device
        Where they are wanted; on the CPU by default.

    Returns
    -------
    Tensor
        float32 [len(starts), 3, 16, S, S] in [-0.5, 0.5]. Each frame between the first and the last window is
        normalised once, however many windows share it; then whole planes are copied.
    """
    first, last = min(starts), max(starts)
    values = planes(pad_frames(frames)[first : last + WINDOW_FRAMES], config, device)
    if values.device.type != "cpu":
        places = torch.tensor(starts)[:, None] - first + torch.arange(WINDOW_FRAMES)
        return values[:, places.to(values.device)].transpose(0, 1)
    # NumPy's allocation, not torch's: it asks for huge pages, which halves the time of a batch this large.
    clips, known = np.empty((len(starts), 3, WINDOW_FRAMES, *values.shape[2:]), np.float32), values.numpy()
    for row, start in enumerate(starts):
        clips[row] = known[:, start - first : start - first + WINDOW_FRAMES]
    return torch.from_numpy(clips)


def planes(
    frames: NDArray[np.uint8], config: SignEncoderConfig, device: torch.device | None = None
) -> Tensor:
    """Decoded frames uint8 [N, R, R, 3] as the sign encoder takes them: float32 [3, N, S, S], normalised.

    To another device than the CPU they travel as bytes, a quarter of the way.
    """
    cropped = centre_crop(frames, config.frame_size)
    if device is not None and device.type != "cpu":
        return normalise(torch.from_numpy(np.ascontiguousarray(cropped)).to(device).permute(3, 0, 1, 2))
    values = np.ascontiguousarray(cropped.transpose(3, 0, 1, 2)).astype(np.float32)
    values /= 255.0
    values -= 0.5
    return torch.from_numpy(values)
