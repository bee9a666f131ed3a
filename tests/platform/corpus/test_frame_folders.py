"""Folders of frames: a frame's number tells its time, missing ones are told, mixed series are refused."""

from pathlib import Path

import numpy as np
import pytest
from numbered_videos import numbered, numbers_of
from PIL import Image

from cico_platform.corpus.frame_times import frame_interval
from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.video import decode_clip


def pictures(folder: Path, *names: str) -> Path:
    """Frames that carry their position in the list."""
    folder.mkdir()
    for position, name in enumerate(names):
        Image.fromarray(numbered(position)).save(folder / name)
    return folder


def test_frames_that_are_missing_in_between_move_no_others(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "clip", *(f"images{n:04d}.png" for n in (5, 6, 7, 10, 11, 12)))
    clip = decode_clip(folder)
    assert clip.times * 25 == pytest.approx([0, 1, 2, 5, 6, 7])
    assert clip.truncated
    assert clip.source_frames is not None
    assert clip.source_frames.tolist() == [0, 1, 2, 5, 6, 7]
    part = decode_clip(folder, start=0.2, end=0.28)
    assert numbers_of(part.frames) == [3, 4]
    assert not part.truncated
    found = frame_interval(str(folder), 3, 5)
    assert numbers_of(decode_clip(folder, start=found.start, end=found.end).frames) == [3, 4]


@pytest.mark.parametrize("names", [range(0, 50, 5), range(1, 11), [*range(0, 50, 5), 55]])
def test_even_steps_are_no_gaps(names: range, tmp_path: Path) -> None:
    clip = decode_clip(pictures(tmp_path / "clip", *(f"{n}.png" for n in names)))
    assert clip.truncated is (55 in names)
    assert clip.times[9] * 25 == pytest.approx(9)


@pytest.mark.parametrize(
    "names",
    [("1000.png", "1033.png", "1067.png", "9100.png"), ("a1_b9.png", "a2_b8.png"), ("x.png", "y.png")],
)
def test_numbers_that_do_not_count_frames_change_nothing(names: tuple[str, ...], tmp_path: Path) -> None:
    clip = decode_clip(pictures(tmp_path / "clip", *names))
    assert not clip.truncated
    assert clip.times * 25 == pytest.approx(np.arange(len(names)))


@pytest.mark.parametrize(
    "names", [("1.png", "2.png", "1.jpg"), ("frame_1.png", "mask_1.png"), ("01.png", "1.png")]
)
def test_two_frames_of_one_number_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="two frames of one number"):
        decode_clip(pictures(tmp_path / "clip", *names))


def test_signs_that_look_like_digits_are_letters(tmp_path: Path) -> None:
    assert len(decode_clip(pictures(tmp_path / "clip", "².png", "1.png", "frame ½.png")).frames) == 3


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_shows_no_hidden_colour(mode: str, tmp_path: Path) -> None:
    picture = np.full((32, 64, 4), (200, 200, 200, 255), np.uint8)
    picture[:, 32:] = (250, 250, 10, 0)
    (tmp_path / "clip").mkdir()
    image = Image.fromarray(picture).convert("L" if mode == "LA" else "RGB")
    image.putalpha(Image.fromarray(picture[:, :, 3]))
    image.save(tmp_path / "clip/1.png")
    frame = decode_clip(tmp_path / "clip").frames[0]
    assert np.abs(frame[16, 10].astype(int) - 200).max() < 8
    assert frame[16, 50].max() == 0
