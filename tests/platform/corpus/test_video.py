"""Decoding gives the frames that a clip needs, or a reason in a sentence."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sample_videos import signing, turn_header, write, write_sound

from cico_platform.corpus.video import ClipError, DecodeLimits, decode_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def video(folder: Path) -> Path:
    return write(folder / "good.mp4", signing())


def test_a_clip_is_decoded_straight_to_the_asked_size(video: Path) -> None:
    clip = decode_clip(video, size=64)
    assert clip.frames.shape == (40, 64, 64, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.fps == pytest.approx(25)
    assert not clip.truncated


def test_colours_come_out_as_they_went_in(video: Path) -> None:
    clip = decode_clip(video)
    assert np.abs(clip.frames[20].astype(int) - signing()[20]).mean() < 6


def test_start_and_end_choose_the_frames_in_between(video: Path) -> None:
    whole = decode_clip(video).frames
    part = decode_clip(video, start=0.8, end=1.2)
    assert len(part.frames) == 10
    assert np.array_equal(part.frames, whole[20:30])
    assert part.times[0] == pytest.approx(0.8)


def test_the_crop_is_cut_before_scaling(video: Path) -> None:
    right = decode_clip(video, crop=[0.5, 0.0, 1.0, 1.0], size=32)
    assert abs(int(right.frames[0].mean()) - 90) <= 3
    assert decode_clip(video, crop=[0.0, 0.0, 0.5, 1.0]).frames.shape[1:3] == (108, 96)


def test_variable_frame_rates_keep_their_times(folder: Path) -> None:
    times = [0, 40, 80, 200, 320, 1000, 1040, 1500]
    path = write(folder / "variable.mp4", signing(8), times=times)
    assert decode_clip(path).times * 1000 == pytest.approx(times, abs=1)
    assert len(decode_clip(path, start=0.2, end=1.02).frames) == 3


def test_a_frame_that_is_stored_turned_comes_out_upright(folder: Path) -> None:
    frames = np.zeros((4, 64, 128, 3), np.uint8)
    frames[:, :, :64] = (255, 0, 0)  # stored: red on the left
    turned = decode_clip(turn_header(write(folder / "turned.mp4", frames), 90)).frames
    assert turned.shape[1:3] == (128, 64)
    assert turned[0, 20, 32, 0] > 200  # a quarter turn clockwise: red on top
    assert turned[0, 100, 32, 0] < 50
    half = decode_clip(turn_header(write(folder / "half.mp4", frames), 180)).frames
    assert half.shape[1:3] == (64, 128)
    assert half[0, 32, 100, 0] > 200


def test_a_single_frame_is_a_clip(folder: Path) -> None:
    assert decode_clip(write(folder / "one.mp4", signing(1)), size=32).frames.shape == (1, 32, 32, 3)


def test_odd_sizes_decode(folder: Path) -> None:
    path = write(folder / "odd.mp4", signing(5, size=(98, 54)))
    assert decode_clip(path, crop=[0.011, 0.013, 0.987, 0.9], size=33).frames.shape == (5, 33, 33, 3)


def test_a_folder_of_frames_is_a_clip(folder: Path) -> None:
    frames = folder / "frames"
    frames.mkdir()
    for number, frame in enumerate(signing(12)):
        Image.fromarray(frame).save(frames / f"images{number + 1}.png")
    clip = decode_clip(frames, start=0.2, end=0.4, size=32)
    assert clip.frames.shape == (5, 32, 32, 3)
    whole = decode_clip(frames)
    assert np.array_equal(whole.frames[10], signing(12)[10])  # 11 comes after 2, not after 10


def test_every_bad_file_has_its_reason(folder: Path, video: Path) -> None:
    good = video.read_bytes()
    bad = {
        "empty": (b"", "empty"),
        "text": (b"this is not a video\n" * 50, "not a video"),
        "cut": (good[: len(good) // 2], "not a video"),  # the index stands at the end
        "playlist": (b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n", "not a video"),
    }
    for name, (content, reason) in bad.items():
        path = folder / f"{name}.mp4"
        path.write_bytes(content)
        with pytest.raises(ClipError, match=reason):
            decode_clip(path)
    with pytest.raises(ClipError, match="no video stream"):
        decode_clip(write_sound(folder / "sound.mp4"))
    with pytest.raises(ClipError, match="does not exist"):
        decode_clip(folder / "missing.mp4")
    os.mkfifo(folder / "pipe.mp4")
    with pytest.raises(ClipError, match="not a plain file"):
        decode_clip(folder / "pipe.mp4")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    with pytest.raises(ClipError):
        decode_clip(folder / "loop.mp4")
    with pytest.raises(ClipError, match="no frame"):
        decode_clip(video, start=100, end=101)
    with pytest.raises(ClipError, match="before it begins"):
        decode_clip(video, start=1, end=0.5)
    with pytest.raises(ClipError, match="crop"):
        decode_clip(video, crop=[0.5, 0, 0.2, 1])


def test_a_file_that_breaks_off_is_used_as_far_as_it_goes(folder: Path, shared_dir: Path) -> None:
    content = (shared_dir / "corpus/isl_avatar/Again.mp4").read_bytes()
    path = folder / "broken.mp4"
    path.write_bytes(content[: len(content) * 6 // 10])
    clip = decode_clip(path, size=64)
    assert 1 <= len(clip.frames) < 35
    assert clip.truncated


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bytes_give_frames_or_a_reason(folder: Path, video: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(video.read_bytes())
    for at in rng.integers(0, len(content), 60):
        content[at] ^= int(rng.integers(1, 256))
    path = folder / f"flipped{seed}.mp4"
    path.write_bytes(bytes(content))
    try:
        assert len(decode_clip(path, size=32).frames) >= 1
    except ClipError as error:
        if not str(error):
            raise AssertionError("an error without a reason") from error


def test_limits_hold(video: Path) -> None:
    with pytest.raises(ClipError, match="pixels"):
        decode_clip(video, limits=DecodeLimits(pixels=1000))
    with pytest.raises(ClipError, match="frames"):
        decode_clip(video, limits=DecodeLimits(frames=10))
    with pytest.raises(ClipError, match="bytes"):
        decode_clip(video, limits=DecodeLimits(bytes=100_000))
    with pytest.raises(ClipError, match="seconds"):
        decode_clip(video, limits=DecodeLimits(seconds=0.0))
    assert len(decode_clip(video, end=0.3, limits=DecodeLimits(frames=10)).frames) == 8


def test_a_url_is_read_through_fsspec(video: Path) -> None:
    assert np.array_equal(decode_clip(f"file://{video}").frames, decode_clip(video).frames)
    with pytest.raises(ClipError, match="cannot be opened"):
        decode_clip("nosuchscheme://bucket/clip.mp4")
