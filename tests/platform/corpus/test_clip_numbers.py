"""How2Sign clip numbers count all lines of a video, also the broken ones."""

from pathlib import Path

import pytest

from cico_platform.corpus.readers import find_reader
from cico_platform.corpus.readers.rows import Rows

HOW2SIGN = "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE"


def how2sign(tmp_path: Path, lines: list[str]) -> Rows:
    for video in ("v-8-rgb_front", "w-8-rgb_front"):
        for number in range(5):
            (tmp_path / f"{video}_clip{number}.mp4").touch()
    source = tmp_path / "how2sign_realigned_val.csv"
    source.write_text("\n".join([HOW2SIGN, *lines]))
    return find_reader(source).read(source, None)


def line(video: str, number: int, text: str = "a sentence") -> str:
    return f"{video}\t{video}-8-rgb_front\t{video}_{number}\t{video}_{number}-8-rgb_front\t1\t2\t{text}"


BROKEN = {
    "a tab in the sentence": line("v", 1, "two\thalves"),
    "too few fields": "v\tv-8-rgb_front\tv_1",
    "fields without the video": "v\t1\t2",
    "no text": line("v", 1, " "),
    "not UTF-8": line("v", 1, "caf\udce9"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_row_shifts_no_clip_number(tmp_path: Path, broken: str) -> None:
    lines = [line("v", 0), BROKEN[broken], line("v", 2), "", line("w", 0)]
    for video in ("v-8-rgb_front", "w-8-rgb_front"):
        for number in range(5):
            (tmp_path / f"{video}_clip{number}.mp4").touch()
    source = tmp_path / "how2sign_realigned_val.csv"
    source.write_text("\n".join([HOW2SIGN, *lines]), encoding="utf-8", errors="surrogateescape")
    rows = find_reader(source).read(source, None)
    assert [(row.video_id, row.file) for row in rows.good] == [
        ("v_0-8-rgb_front", "v-8-rgb_front_clip0.mp4"),
        ("v_2-8-rgb_front", "v-8-rgb_front_clip2.mp4"),
        ("w_0-8-rgb_front", "w-8-rgb_front_clip0.mp4"),
    ]
    assert len(rows.bad) == 1


def test_a_sentence_over_two_lines_is_one_row_that_cannot_be_used(tmp_path: Path) -> None:
    rows = how2sign(tmp_path, [line("v", 0), line("v", 1, "half a"), "sentence", line("v", 2)])
    assert [row.file for row in rows.good] == ["v-8-rgb_front_clip0.mp4", "v-8-rgb_front_clip2.mp4"]
    assert [bad.reason for bad in rows.bad] == [
        "the sentence goes on in line 4",
        "1 fields where the header has 7",
    ]


def test_a_broken_row_between_two_videos_makes_the_second_unsure(tmp_path: Path) -> None:
    rows = how2sign(tmp_path, [line("v", 0), "x\t1\t2", line("w", 0), line("w", 1)])
    assert [row.file for row in rows.good] == ["v-8-rgb_front_clip0.mp4"]
    assert [bad.reason[:20] for bad in rows.bad] == ["3 fields where the h", *["a broken line above "] * 2]
    (tmp_path / "w_1-8-rgb_front.mp4").touch()
    (tmp_path / "v-8-rgb_front_clip0.mp4").unlink()
    rows = how2sign(tmp_path, [line("v", 0), "x\t1\t2", line("w", 0), line("w", 1)])
    assert [row.file for row in rows.good][1:] == ["w_1-8-rgb_front.mp4"]
