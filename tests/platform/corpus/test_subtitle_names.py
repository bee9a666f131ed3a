"""Subtitle files find their video and their language by name."""

from pathlib import Path

import pytest

from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.read import ReadSettings, read_corpus
from cico_platform.corpus.readers import find_readers
from cico_platform.corpus.readers.subtitle_names import find_video, parse_name
from cico_platform.steps import Summary

FAST = ReadSettings(find_signer=False, trim=False)
CUE = "WEBVTT\n\n00:00.000 --> 00:00.400\nhello you there\n"


def read(source: Path, out: Path, **more: object) -> Summary:
    return read_corpus(source, out, settings=FAST, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("talk.en", "en"), ("talk.EN", "en"), ("talk.eng", "en"), ("talk.ger", "de"), ("talk.pt_BR", "pt-BR"),
        ("talk.zh-Hans", "zh-Hans"), ("talk.en-orig", "en"), ("talk.en.sdh", "en"), ("talk.en.hi", "en"),
        ("talk.hi", "hi"), ("talk.en.cc.forced", "en"), ("talk.sdh", None), ("talk.mov", None),
        ("talk.mov.en", "en"), ("talk.mp4.fr.auto", "fr"), ("talk.German", "de"), ("talk.fil", "fil"),
        ("talk", None), ("talk.captions", None),
    ],
)  # fmt: skip
def test_subtitles_find_their_video_and_language(tmp_path: Path, name: str, language: str | None) -> None:
    (tmp_path / "talk.MP4").touch()
    (tmp_path / f"{name}.vtt").write_text(CUE)
    rows = find_readers(tmp_path)[0].read(tmp_path, None)
    assert [(row.file, row.language) for row in rows.good] == [("talk.MP4", language)]
    assert not rows.notes


@pytest.mark.parametrize("part", ["v2", "new", "raw", "final", "ann", "part1", "2023"])
def test_what_is_no_language_is_told(tmp_path: Path, part: str) -> None:
    (tmp_path / "talk.mp4").touch()
    media = MediaFolder(tmp_path)
    found, note = find_video(media, f"talk.{part}")
    assert (found, parse_name(f"talk.{part}").language) == ("talk.mp4", None)
    assert note
    assert part in note
    (tmp_path / f"talk.{part}.mp4").touch()
    assert find_video(MediaFolder(tmp_path), f"talk.{part}") == (f"talk.{part}.mp4", None)


def test_subtitles_of_a_quicktime_file_keep_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "talk.mov").touch()
    (tmp_path / "talk.mp4").touch()
    assert find_video(MediaFolder(tmp_path), "talk.mov") == ("talk.mov", None)
    assert find_video(MediaFolder(tmp_path), "talk.mov.en.sdh") == ("talk.mov", None)


def test_subtitles_in_a_folder_of_their_own_find_the_only_video_of_their_name(tmp_path: Path) -> None:
    for name in ("subs/talk.en.vtt", "videos/day1/talk.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert find_video(MediaFolder(tmp_path), "subs/talk.en") == ("videos/day1/talk.mp4", None)
    (tmp_path / "videos/talk.webm").touch()
    assert find_video(MediaFolder(tmp_path), "subs/talk.en") == (None, None)
