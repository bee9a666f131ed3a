"""Training windows are augmented in batches with the numbers and pixels of the published augmentation."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cico_model.augmentation import (
    Augmentation,
    augment_as_batch,
    augment_clip,
    augment_clips,
    backdrop_of,
    draw_augmentation,
    fade_backdrop,
    fade_backdrops,
    random_window,
    window_frames,
)
from cico_model.config import SignEncoderConfig

CONFIG = SignEncoderConfig("micro", 0.125, 56)
SIZE = CONFIG.resize
LEVEL = 1 / 255


def pictures(count: int, seed: int, size: int = SIZE) -> torch.Tensor:
    """Windows with edges and colours, uint8 [count, 16, size, size, 3]."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.integers(0, 256, (count * 16, 3, 9, 9))).float()
    smooth = functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 255)
    smooth[..., size // 3 :, size // 2 :] = 255 - smooth[..., size // 3 :, size // 2 :]
    return smooth.to(torch.uint8).permute(0, 2, 3, 1).reshape(count, 16, size, size, 3).contiguous()


@pytest.mark.parametrize("frame_size", [56, 61])
def test_a_batch_on_a_device_has_the_pixels_of_the_clip_by_clip_code(frame_size: int) -> None:
    config = SignEncoderConfig("micro", 0.125, frame_size)
    size = config.resize
    clips = pictures(6, 0, size)
    rng = np.random.default_rng(1)
    drawn = [draw_augmentation(size, config, rng, flip=0.5) for _ in range(4)]
    # The largest and the smallest crop, in two corners.
    drawn.append(Augmentation(size, 0, 0, True, (0.8, 1.0, 1.2)))
    least = round(frame_size * 0.9)
    drawn.append(Augmentation(least, size - least, 0, False, (1.2, 1.0, 0.8)))
    by_clip, at_once = augment_clips(clips, drawn, config), augment_as_batch(clips, drawn, config)
    assert by_clip.shape == at_once.shape == (6, 3, 16, frame_size, frame_size)
    assert by_clip.is_contiguous(memory_format=torch.channels_last_3d)
    assert at_once.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(at_once, by_clip, rtol=0, atol=1.5 * LEVEL)


def test_a_batch_has_the_pixels_of_augment_clip() -> None:
    clips = pictures(5, 2)
    drawn = [draw_augmentation(SIZE, CONFIG, np.random.default_rng(seed), flip=0.5) for seed in range(5)]
    expected = [augment_clip(clip.numpy(), CONFIG, np.random.default_rng(s)) for s, clip in enumerate(clips)]
    assert torch.equal(augment_clips(clips, drawn, CONFIG), torch.stack(expected))


def test_moments_on_a_device_are_those_of_the_clip_by_clip_code() -> None:
    clips, count = pictures(1, 3), 300
    crops = 8  # what is compared: means and deviations over windows of each cell of an 8 x 8 grid
    by_clip, at_once = [], []
    for seed in range(count):
        rng = np.random.default_rng([7, seed])
        by_clip.append(grid(augment_clip(clips[0].numpy(), CONFIG, rng)[None], crops))
        drawn = draw_augmentation(SIZE, CONFIG, np.random.default_rng([8, seed]))
        at_once.append(grid(augment_as_batch(clips, [drawn], CONFIG), crops))
    a, b = np.concatenate(by_clip), np.concatenate(at_once)
    error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / count)
    assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 5 * error).all()
    ratio = a.std(axis=0) / b.std(axis=0)
    assert (np.abs(np.log(ratio)) < 5 / np.sqrt(count)).all()


def grid(clips: torch.Tensor, cells: int) -> NDArray[np.float32]:
    """Means [B, 3, cells, cells] of the first frame."""
    means: NDArray[np.float32] = functional.adaptive_avg_pool2d(clips[:, :, 0], cells).numpy()
    return means


def test_the_drawn_numbers_have_the_published_distribution() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_augmentation(256, SignEncoderConfig(), rng, flip=0.5) for _ in range(4000)]
    sides = np.array([d.side for d in drawn])
    assert (sides.min(), sides.max()) == (202, 246)
    assert abs(sides.mean() - 224) < 1
    assert abs(sides.std() - 0.2 * 224 / np.sqrt(12)) < 0.5
    shares = np.array([[d.top / (256 - d.side), d.left / (256 - d.side)] for d in drawn])
    assert (shares.min(), shares.max()) == (0, 1)
    assert (np.abs(shares.mean(axis=0) - 0.5) < 0.03).all()
    jitter = np.array([d.jitter for d in drawn])
    assert jitter.min() >= 0.8
    assert jitter.max() <= 1.2
    assert (np.abs(jitter.mean(axis=0) - 1) < 0.01).all()
    assert (np.abs(jitter.std(axis=0) - 0.4 / np.sqrt(12)) < 0.005).all()
    assert (np.abs(np.corrcoef(jitter.T)[np.triu_indices(3, 1)]) < 0.06).all()  # channel by channel
    assert abs(np.mean([d.flip for d in drawn]) - 0.5) < 0.04


def test_backdrops_fade_in_a_batch_as_they_do_one_by_one() -> None:
    clips, others = pictures(3, 4), pictures(3, 5)
    backdrops = torch.stack([torch.from_numpy(backdrop_of(clip.numpy())) for clip in others])
    shares = [0.0, 0.4, 1.0]
    expected = [
        fade_backdrop(c.numpy(), b.numpy(), s) for c, b, s in zip(clips, backdrops, shares, strict=True)
    ]
    faded = fade_backdrops(clips.clone(), backdrops, shares)
    assert faded.dtype == torch.uint8
    assert (faded.numpy() == np.stack(expected)).all()


@pytest.mark.parametrize("count", [1, 9, 16, 40])
@pytest.mark.parametrize("speed", [0.0, 1.0])
def test_indices_of_a_window_are_those_of_its_frames(count: int, speed: float) -> None:
    frames = np.arange(count, dtype=np.uint8)[:, None, None, None]
    for seed in range(20):
        indices = window_frames(count, np.random.default_rng(seed), speed)
        assert indices.shape == (16,)
        window = random_window(frames, np.random.default_rng(seed), speed)
        assert (window[:, 0, 0, 0] == indices).all()
