"""A clip's key changes with what decides its frames, and with nothing else."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cico_platform.corpus.clip_keys import clip_keys, file_version
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.storage import place, write_whole

CLIP = Clip("a", "t", "train", "a.mp4", "hello", "Hello")


def key(folder: Path, clip: Clip) -> str:
    (found,) = clip_keys(Corpus(folder), [clip]).values()
    return found


def test_times_box_and_file_count_and_words_and_place_do_not(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").write_bytes(b"video" * 100_000)
    folder = tmp_path / "one"
    first = key(folder, CLIP)
    assert key(tmp_path / "other", CLIP) == first
    assert key(folder, replace(CLIP, text="bye", text_original="Bye", signer="Ann", frames=9)) == first
    changed = {
        key(folder, replace(CLIP, start=1.0)),
        key(folder, replace(CLIP, end=1.0)),
        key(folder, replace(CLIP, crop=[0.0, 0.0, 0.5, 1.0])),
    }
    for content in (b"Video" + b"video" * 99_999, b"video" * 99_999 + b"videO", b"video" * 100_001):
        (folder / "a.mp4").write_bytes(content)
        changed.add(key(folder, CLIP))
    assert len(changed | {first}) == 7


def test_a_folder_of_frames_is_known_by_its_files(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"frame")
    first = file_version(str(tmp_path))
    assert file_version(str(tmp_path)) == first
    (tmp_path / "2.png").rename(tmp_path / "3.png")
    renamed = file_version(str(tmp_path))
    (tmp_path / "3.png").write_bytes(b"larger frame")
    assert len({first, renamed, file_version(str(tmp_path))}) == 3


@pytest.mark.timeout(60)
def test_what_is_no_video_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert file_version(str(tmp_path / "pipe")) == "not a file"
    assert file_version(str(tmp_path / "loop")) == "OSError"
    assert file_version(str(tmp_path / "none")) == "FileNotFoundError"
    assert key(tmp_path, replace(CLIP, path="../a.mp4")) == key(tmp_path, replace(CLIP, path="../b.mp4"))


def test_an_object_is_known_by_its_version(bucket: str) -> None:
    folder = place(f"{bucket}/clip-keys")
    write_whole(folder / "a.mp4", b"video")
    list(folder.iterdir())  # what was listed once must not hide a change
    (first,) = clip_keys(Corpus(folder), [CLIP]).values()
    assert list(clip_keys(Corpus(folder), [CLIP]).values()) == [first]
    write_whole(folder / "a.mp4", b"other")
    (second,) = clip_keys(Corpus(folder), [CLIP]).values()
    (folder / "a.mp4").unlink()
    (third,) = clip_keys(Corpus(folder), [CLIP]).values()
    assert len({first, second, third}) == 3
