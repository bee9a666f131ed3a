"""Segments of a stream's subtitles: joined to one file, on MPEG's clock, and moved to the player's."""

from pathlib import Path

import pytest
from numbered_videos import Kind, write

from cico_platform.corpus.readers.cues import REPEATED, Cues, read_cues
from cico_platform.corpus.readers.rows import Rows
from cico_platform.corpus.readers.subtitles import MAPPED, read
from cico_platform.corpus.readers.webvtt_repair import JOINED, TIMESTAMP_MAP

CUES = "00:00:01.000 --> 00:00:02.000\none more thing\n\n00:00:02.000 --> 00:00:03.000\ntwo more\n\n"
TICKS = 90_000


def said(found: Cues) -> list[tuple[float, float, str]]:
    return [(cue.start, cue.end, cue.text) for cue in found.cues]


def segment(*cues: tuple[int, int, str], header: str = "WEBVTT") -> str:
    shown = (f"00:00:{a:02d}.000 --> 00:00:{b:02d}.000\n{text}\n" for a, b, text in cues)
    return f"{header}\n\n" + "\n".join(shown) + "\n"


def mapped(seconds: float, local: str = "00:00:00.000", first: str = "MPEGTS") -> str:
    parts = [f"MPEGTS:{round(seconds * TICKS) % 2**33}", f"LOCAL:{local}"]
    return f"WEBVTT\nX-TIMESTAMP-MAP={','.join(parts if first == 'MPEGTS' else parts[::-1])}"


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Streams of four seconds whose clocks begin at 10 s and just before they start anew, and an MP4."""
    folder = tmp_path_factory.mktemp("streams")
    kinds = {
        "ten": Kind("ts", muxer={"output_ts_offset": "10", "muxdelay": "0", "muxpreload": "0"}),
        "anew": Kind("ts", muxer={"output_ts_offset": "95440"}),
        "mp4": Kind("mp4"),
    }
    return {name: write(folder / f"{name}.{kind.suffix}", kind, 100) for name, kind in kinds.items()}


def rows_for(video: Path, text: str, tmp_path: Path) -> Rows:
    (tmp_path / f"talk{video.suffix}").symlink_to(video)
    (tmp_path / "talk.vtt").write_text(text)
    return read(tmp_path)


def start_of(video: Path) -> float:
    import av

    with av.open(str(video)) as container:
        assert container.start_time is not None
        return container.start_time / 1e6


@pytest.mark.parametrize("name", ["ten", "anew"])
@pytest.mark.parametrize("first", ["MPEGTS", "LOCAL"])
def test_times_are_moved_to_the_clock_of_the_video(
    name: str, first: str, streams: dict[str, Path], tmp_path: Path
) -> None:
    begins = start_of(streams[name])
    rows = rows_for(streams[name], mapped(begins + 0.5, "00:00:00.250", first) + "\n\n" + CUES, tmp_path)
    assert [(row.start, row.end) for row in rows.good] == [
        (pytest.approx(1.25, abs=1e-4), pytest.approx(2.25, abs=1e-4)),
        (pytest.approx(2.25, abs=1e-4), pytest.approx(3.25, abs=1e-4)),
    ]
    assert rows.notes == {MAPPED: 1}


def test_the_clock_may_start_anew_between_the_video_and_its_subtitles(
    streams: dict[str, Path], tmp_path: Path
) -> None:
    begins = start_of(streams["anew"])
    later = begins + 4000  # beyond 2^33 ticks
    local = "01:06:40.000"  # so that the map means no shift at all
    rows = rows_for(streams["anew"], mapped(later, local) + "\n\n" + CUES, tmp_path)
    assert rows.good[0].start == pytest.approx(1.0, abs=1e-4)


def test_a_map_is_not_applied_where_the_video_does_not_tell_its_clock(
    streams: dict[str, Path], tmp_path: Path
) -> None:
    rows = rows_for(streams["mp4"], mapped(10) + "\n\n" + CUES, tmp_path)
    assert [(row.start, row.end) for row in rows.good] == [(1.0, 2.0), (2.0, 3.0)]
    assert rows.notes == {TIMESTAMP_MAP: 1}


@pytest.mark.parametrize("broken", ["MPEGTS:soon,LOCAL:00:00:00.000", "MPEGTS:900000", "LOCAL:0", ""])
def test_a_map_that_cannot_be_read_is_told(broken: str, streams: dict[str, Path], tmp_path: Path) -> None:
    rows = rows_for(streams["ten"], f"WEBVTT\nX-TIMESTAMP-MAP={broken}\n\n{CUES}", tmp_path)
    assert rows.good[0].start == 1.0
    assert rows.notes == {TIMESTAMP_MAP: 1}


def test_a_map_without_a_video_is_told(tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text(mapped(10) + "\n\n" + CUES)
    assert read(tmp_path).notes == {TIMESTAMP_MAP: 1}


@pytest.mark.parametrize("between", ["", "\n", "\ufeff", "\n\n\ufeff"])
@pytest.mark.parametrize(
    "fields", ["", "\nKind: captions\nLanguage: en", "\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00"]
)
def test_headers_in_the_middle_are_no_text(between: str, fields: str) -> None:
    parts = [
        segment((1, 2, "one"), header=f"WEBVTT{fields}"),
        segment((3, 4, "two"), header=f"WEBVTT{fields}"),
    ]
    found = read_cues(parts[0].rstrip("\n") + "\n" + between + parts[1])
    assert said(found) == [(1.0, 2.0, "one"), (3.0, 4.0, "two")]
    assert found.notes[JOINED] == 1


def test_segments_with_clocks_of_their_own_are_on_one_clock() -> None:
    header = [mapped(95440), mapped(95446), mapped(95452)]
    text = "".join(segment((1, 3, f"part {i}"), header=head) for i, head in enumerate(header))
    assert said(read_cues(text)) == [(1.0, 3.0, "part 0"), (7.0, 9.0, "part 1"), (13.0, 15.0, "part 2")]


def test_a_cue_that_two_segments_hold_is_one() -> None:
    text = segment((1, 2, "one"), (5, 7, "across")) + segment((5, 7, "across"), (8, 9, "two"))
    found = read_cues(text)
    assert said(found) == [(1.0, 2.0, "one"), (5.0, 7.0, "across"), (8.0, 9.0, "two")]
    assert found.notes[REPEATED] == 1


def test_marks_at_the_beginning_of_lines_are_no_text() -> None:
    cue = "{}\n00:00:0{},000 --> 00:00:0{},000\n{}\n\n"
    text = "".join(cue.format(f"\ufeff{i}", i, i + 1, f"text {i}") for i in (1, 2, 3))
    assert [cue.text for cue in read_cues(text).cues] == ["text 1", "text 2", "text 3"]
    marked = "\u200e1\n\u200e00:00:01,000 --> 00:00:02,000\n\u200eשלום\n\n"
    marked += "\u200e2\n00:00:02,000 --> 00:00:03,000\nx\n"
    assert [cue.text for cue in read_cues(marked).cues] == ["שלום", "x"]


def test_a_text_about_the_format_is_text() -> None:
    assert said(read_cues(segment((1, 2, "the format is\nWEBVTT of course")))) == [
        (1.0, 2.0, "the format is WEBVTT of course")
    ]


@pytest.mark.parametrize(
    "text", ["<ruby>漢字<rt>かんじ</rt></ruby>です", "<ruby>漢<rt>かん<rp>)</rp>字<rt>じ</ruby>です"]
)
def test_the_reading_above_characters_is_not_said_twice(text: str) -> None:
    assert said(read_cues(segment((1, 2, text)))) == [(1.0, 2.0, "漢字です")]
