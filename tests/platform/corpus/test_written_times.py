"""Times and frame numbers as people and programs write them: read rightly, or refused with the reason."""

from pathlib import Path

import pytest

from cico_platform.corpus.readers import labels
from cico_platform.corpus.readers.rows import Rows


def table(tmp_path: Path, content: str) -> Rows:
    (tmp_path / "labels.csv").write_text(content)
    return labels.read(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("unit", "value", "told"),
    [
        ("start_ms", "1,500", "thousands or decimals"), ("start_frame", "1,000", "thousands or decimals"),
        ("start", "1:75", "not a time"), ("start", "0:75:00", "not a time"),
        ("start", "00:00:01:12", "not a time"),
    ],
)  # fmt: skip
def test_numbers_that_can_be_read_in_two_ways_are_refused(
    tmp_path: Path, unit: str, value: str, told: str
) -> None:
    rows = table(tmp_path, f"file;text;{unit}\na.mp4;words;{value}\nb.mp4;words;2\n")
    assert [row.file for row in rows.good] == ["b.mp4"]
    assert told in rows.bad[0].reason


def test_decimal_commas_are_read(tmp_path: Path) -> None:
    rows = table(tmp_path, "file;text;start;end\na.mp4;words;1,5;0:02,75\nb.mp4;words;1,250;90:30\n")
    assert [(row.start, row.end) for row in rows.good] == [(1.5, 2.75), (1.25, 5430.0)]
    rows = table(tmp_path, "file;text;start_ms;end_ms\na.mp4;words;400,5;1200,75\n")
    assert [(row.start, row.end) for row in rows.good] == [(0.4005, 1.20075)]


def test_frames_before_the_video_are_told_as_times_are(tmp_path: Path) -> None:
    rows = table(tmp_path, "file,text,start_frame,end_frame\na.mp4,words,-5,10\nb.mp4,words,0,10\n")
    assert [(row.frames, row.clipped) for row in rows.good] == [((0, 10), True), ((0, 10), False)]
