"""Windows are cut where the method says, without copying frames sixteen times."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cico_model.augmentation import augment_clip, backdrop_of, fade_backdrop, fading, random_window
from cico_model.clips import centre_crop, select_windows, thin_windows, window_starts, windows
from cico_model.config import SignEncoderConfig

CONFIG = SignEncoderConfig("micro", 0.125, 28)


@given(st.integers(1, 500), st.integers(1, 20))
def test_windows_cover_a_video_to_its_last_frame(frames: int, stride: int) -> None:
    starts = window_starts(frames, stride)
    assert len(starts) == max(-(-(frames - 16) // stride) + 1, 1)
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert starts[-1] == max(frames - 16, 0)
    assert all(b - a <= stride for a, b in itertools.pairwise(starts))


def test_a_video_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a frame"):
        window_starts(0)


@given(st.integers(1, 2000), st.integers(2, 64))
def test_selected_windows_are_those_of_the_published_linspace(count: int, limit: int) -> None:
    selected = select_windows(count, limit)
    expected = list(range(count)) if count <= limit else np.linspace(0, count - 1, limit).astype(int).tolist()
    assert selected == expected


@given(st.integers(1, 79), st.integers(1, 9))
def test_thinned_windows_are_those_of_the_larger_stride(frames: int, stride: int) -> None:
    starts = window_starts(frames)
    assert [starts[i] for i in thin_windows(starts, stride)] == window_starts(frames, stride)


@given(st.integers(80, 900), st.integers(1, 9))
def test_thinned_windows_of_a_long_video_are_as_near_as_what_is_stored_allows(
    frames: int, stride: int
) -> None:
    every, wanted = window_starts(frames), window_starts(frames, stride)
    stored = [every[i] for i in select_windows(len(every))]
    wanted = [wanted[i] for i in select_windows(len(wanted))]
    kept = [stored[i] for i in thin_windows(stored, stride)]
    assert kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (0, frames - 16)
    largest = max(b - a for a, b in itertools.pairwise(stored))
    assert all(min(abs(k - w) for k in kept) <= largest / 2 for w in wanted)
    if stride == 1:
        assert kept == stored


def test_windows_hold_the_right_pixels() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    clips = windows(frames, [0, 3, 4], CONFIG)
    assert clips.shape == (3, 3, 16, 28, 28)
    expected = torch.from_numpy(frames[3:19, 2:30, 2:30]).permute(3, 0, 1, 2).float() / 255 - 0.5
    torch.testing.assert_close(clips[1], expected)


def test_a_short_video_repeats_its_last_frame() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    clip = windows(frames, window_starts(5), CONFIG)[0]
    assert torch.equal(clip[:, 4], clip[:, 15])
    assert not torch.equal(clip[:, 3], clip[:, 4])


def test_cropping_copies_nothing() -> None:
    frames = np.zeros((20, 32, 32, 3), dtype=np.uint8)
    assert np.shares_memory(centre_crop(frames, 28), frames)


def test_augmentation_is_seeded_and_stays_in_range() -> None:
    clip = np.random.default_rng(1).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    first, again, other = (augment_clip(clip, CONFIG, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first.shape == (3, 16, 28, 28)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= -0.5
    assert first.max() <= 0.5


def test_a_flip_is_the_mirror_image() -> None:
    clip = np.random.default_rng(1).integers(0, 256, (16, 28, 28, 3), dtype=np.uint8)
    config = SignEncoderConfig("micro", 0.125, 28)

    class NoScale(np.random.Generator):
        """Keeps the scale at 1 so that only the flip differs."""

        def uniform(self, low: float = 0.0, high: float = 1.0, size: int | None = None) -> object:  # type: ignore[override]
            return 1.0 if size is None else np.ones(size)

    plain = augment_clip(clip, config, NoScale(np.random.PCG64(0)), flip=0.0)
    flipped = augment_clip(clip, config, NoScale(np.random.PCG64(0)), flip=1.0)
    assert torch.equal(plain.flip(-1), flipped)


def test_a_window_at_another_speed_spans_more_or_fewer_frames() -> None:
    frames = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None, None], (40, 4, 4, 3))
    spans = set()
    for seed in range(60):
        numbers = random_window(frames, np.random.default_rng(seed), speed=1.0)[:, 0, 0, 0].astype(int)
        assert len(numbers) == 16
        assert (np.diff(numbers) >= 0).all()
        spans.add(numbers[-1] - numbers[0] + 1)
    assert min(spans) == 11
    assert max(spans) == 22
    plain = random_window(frames, np.random.default_rng(0))[:, 0, 0, 0].astype(int)
    assert (np.diff(plain) == 1).all()


@pytest.mark.parametrize("count", [1, 5, 11, 16])
def test_a_short_video_still_gives_a_whole_window(count: int) -> None:
    frames = np.zeros((count, 4, 4, 3), dtype=np.uint8)
    for speed in (0.0, 1.0):
        assert random_window(frames, np.random.default_rng(0), speed).shape == (16, 4, 4, 3)


def test_fading_takes_the_backdrop_and_leaves_what_moves() -> None:
    frames = np.full((9, 8, 8, 3), 200, dtype=np.uint8)
    frames[4, 2:4, 2:4] = 250
    backdrop = backdrop_of(frames)
    assert (backdrop == 200).all()
    faded = fade_backdrop(frames, backdrop, 1.0)
    assert abs(int(faded[0, 0, 0, 0]) - 128) <= 1
    assert abs(int(faded[4, 2, 2, 0]) - 178) <= 1
    assert fade_backdrop(frames, backdrop, 0.0) is frames


def test_the_backdrop_fades_fully_at_first_and_seldom_at_the_end() -> None:
    rng = np.random.default_rng(0)
    assert fading(0.0, 0.5, rng) == 1.0
    late = [fading(0.9, 0.5, rng) for _ in range(500)]
    assert 0.6 < np.mean(np.equal(late, 0.0)) < 0.8
    assert fading(0.0, 0.0, rng) == 0.0
