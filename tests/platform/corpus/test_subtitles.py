"""Cues of WebVTT and SubRip files as people and programs write them: no word is lost, none is said twice."""

from pathlib import Path

import pytest

from cico_platform.corpus.readers.cues import ROLLED, Cues, read_cues, strip_tags
from cico_platform.corpus.readers.subtitles import read
from cico_platform.corpus.readers.webvtt_repair import ARROW, EMPTY_LINE, NO_HEADER


def said(found: Cues) -> list[tuple[float, float, str]]:
    return [(cue.start, cue.end, cue.text) for cue in found.cues]


def srt(*cues: str) -> str:
    times = [f"00:00:{i:02d},000 --> 00:00:{i + 1:02d},000" for i in range(len(cues))]
    return "\n".join(
        f"{i + 1}\n{time}\n{cue}\n" for i, (time, cue) in enumerate(zip(times, cues, strict=True))
    )


def vtt(*cues: str, header: str = "WEBVTT") -> str:
    """Cues of a second each that touch."""
    times = [f"00:{i:02d}.000 --> 00:{i + 1:02d}.000" for i in range(len(cues))]
    return f"{header}\n\n" + "\n".join(f"{t}\n{cue}\n" for t, cue in zip(times, cues, strict=True))


@pytest.mark.parametrize("write", [srt, vtt])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first line\n\nsecond line", "first line second line"),
        ("one\n \n\ntwo\n\n\nthree", "one two three"),
        ("if a < b and c > d then", "if a < b and c > d then"),
        ("I <3 you -> me", "I <3 you -> me"),
        ("go A --> B now\nand then stop", "go A --> B now and then stop"),
        ("hello\\Nyou\\hthere", "hello you there"),
        ('{\\an8}<i>up</i> <font color="#ff0000" size=3>there</font>', "up there"),
        ("<v.loud Mary Ann>Hi</v> <c.yellow.bg_blue>all</c>", "Hi all"),
        ("<lang en-GB>lorry</lang><br/>van", "lorry van"),
        ("<b and c>", "<b and c>"),
        ("R&amp;amp;D &lt;now&gt;", "R&D <now>"),
        ("in the year\n2024", "in the year 2024"),
        ("- Hi!\n- Hello.", "- Hi! - Hello."),
        ("NOTE this well", "NOTE this well"),
        ("こんにちは\n世界", "こんにちは 世界"),
    ],
)
def test_no_word_of_a_cue_is_lost(write: object, text: str, expected: str) -> None:
    found = read_cues(write("before", text, "after"))  # type: ignore[operator]
    assert said(found) == [(0.0, 1.0, "before"), (1.0, 2.0, expected), (2.0, 3.0, "after")]
    assert not found.broken
    last = read_cues(write("before", text))  # type: ignore[operator]
    assert said(last)[-1] == (1.0, 2.0, expected), "the last cue, too"


def test_cues_without_an_empty_line_between_them() -> None:
    text = srt("one", "2024", "three").replace("\n\n", "\n")
    assert [cue.text for cue in read_cues(text).cues] == ["one", "2024", "three"]
    text = vtt("one", "two\nmore", "three").replace("\n\n", "\n")
    assert [cue.text for cue in read_cues(text).cues] == ["one", "two more", "three"]


def test_the_number_of_a_cue_that_is_cut_off_is_no_text() -> None:
    assert [cue.text for cue in read_cues(srt("one", "two") + "\n3\n").cues] == ["one", "two"]
    assert [cue.text for cue in read_cues(srt("one", "it is\n\n1999")).cues] == ["one", "it is 1999"]


def test_cues_without_numbers_keep_numbers_that_are_text() -> None:
    text = "00:00:01,000 --> 00:00:02,000\nin\n2024\n\n00:00:03,000 --> 00:00:04,000\n1999\n\n"
    assert [cue.text for cue in read_cues(text).cues] == ["in 2024", "1999"]


def test_what_is_repaired_is_counted() -> None:
    found = read_cues(srt("a\n\nb", "c --> d", "e"))
    assert found.notes == {EMPTY_LINE: 1, ARROW: 1}
    assert read_cues(vtt("a", "b")).notes == {}
    assert read_cues("00:01.000 --> 00:02.000\na\n", named_webvtt=True).notes == {NO_HEADER: 1}


def test_blocks_that_are_no_cues_say_nothing() -> None:
    text = (
        "WEBVTT - a title\nKind: captions\nLanguage: en\n\nSTYLE\n::cue(.a) { color: red }\n\n"
        "REGION\nid:fred\nwidth:40%\n\nNOTE\na comment\nof two lines\n\n"
        "intro\n00:01.000 --> 00:02.000 line:0 position:20% align:start\nHello\n\nNOTE more\n\n"
        "7\n00:03.000 --> 00:04.000\nworld\n\nNOTE end\n"
    )
    found = read_cues(text)
    assert said(found) == [(1.0, 2.0, "Hello"), (3.0, 4.0, "world")]
    assert found.notes == {}
    assert [cue.line for cue in found.cues] == [17, 23]


def test_times_in_all_their_forms() -> None:
    times = [
        ("1:02.5", "1:03", 62.5, 63.0),
        ("00:00:05,123", "00:00:06,4", 5.123, 6.4),
        ("123:00:00.000", "123:00:01.000", 442800.0, 442801.0),
        ("0:0:7.25", "0:0:8.250000", 7.25, 8.25),
    ]
    text = "\n\n".join(f"{i}\n{a} --> {b} X1:100 X2:200\nt{i}" for i, (a, b, _, _) in enumerate(times, 1))
    assert said(read_cues(text)) == [(s, e, f"t{i}") for i, (_, _, s, e) in enumerate(times, 1)]
    odd = "1\n00:00:01,000 -> 00:00:02,000\na\n\n2\n00:00:03,000 → 00:00:04,000\nb\n"
    assert said(read_cues(odd)) == [(1.0, 2.0, "a"), (3.0, 4.0, "b")]


def test_times_that_cannot_be_read_are_named_and_cost_one_cue() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n00:61:00,000 --> 00:62:00,000\nb\n\n"
    text += "3\nsoon --> later\nc\n\n"
    found = read_cues(text + "4\n00:00:0x,000 --> 00:00:05,000\nd\n\n5\n00:00:06,000 --> 00:00:07,000\ne\n")
    assert said(found) == [(1.0, 2.0, "a"), (6.0, 7.0, "e")]
    assert found.broken == [6, 10, 14]


def youtube(*lines: str) -> str:
    """Automatic captions as YouTube writes them: a line comes in word by word, then scrolls in 10 ms."""
    cues, before = [], " "
    for i, line in enumerate(lines):
        first, *words = line.split()
        timed = first + "".join(f"<00:00:{2 * i:02d}.{n + 1}00><c> {w}</c>" for n, w in enumerate(words))
        settings = "align:start position:0%"
        cues.append(f"00:00:{2 * i:02d}.000 --> 00:00:{2 * i + 1:02d}.990 {settings}\n{before}\n{timed}")
        cues.append(f"00:00:{2 * i + 1:02d}.990 --> 00:00:{2 * i + 2:02d}.000 {settings}\n{line}\n ")
        before = line
    return "WEBVTT\nKind: captions\nLanguage: en\n\n" + "\n\n".join(cues) + "\n\n"


def test_automatic_captions_say_each_line_once() -> None:
    found = read_cues(youtube("hello my friends", "how are you", "fine", "fine"))
    assert said(found) == [
        (0.0, 1.99, "hello my friends"),
        (2.0, 3.99, "how are you"),
        (4.0, 5.99, "fine"),
        (6.0, 7.99, "fine"),
    ]
    assert found.notes[ROLLED] == 7
    assert [cue.number for cue in found.cues] == [1, 3, 5, 7]


def test_automatic_captions_made_into_subrip_say_each_line_once() -> None:
    text = (
        "1\n00:00:00,080 --> 00:00:02,470\n \nhello my friends\n\n"
        "2\n00:00:02,470 --> 00:00:02,480\nhello my friends\n \n\n"
        "3\n00:00:02,480 --> 00:00:04,000\nhello my friends\nhow are you\n\n"
        "4\n00:00:04,000 --> 00:00:04,010\nhow are you\n \n"
    )
    assert said(read_cues(text)) == [(0.08, 2.47, "hello my friends"), (2.48, 4.0, "how are you")]


def test_lines_that_roll_or_grow_are_merged() -> None:
    assert said(read_cues(vtt("a", "a\nb", "b\nc"))) == [(0, 1, "a"), (1, 2, "b"), (2, 3, "c")]
    assert said(read_cues(vtt("how", "how are", "how are you"))) == [(0, 3, "how are you")]
    assert said(read_cues(vtt("Hi.", "Hi.\nhow", "Hi.\nhow are", "how are\nyou"))) == [
        (0, 1, "Hi."),
        (1, 3, "how are"),
        (3, 4, "you"),
    ]
    assert said(read_cues(vtt("a", "a", "b", "b"))) == [(0, 2, "a"), (2, 4, "b")]
    assert said(read_cues(vtt("我喝", "我喝牛奶", "谢谢"))) == [(0, 2, "我喝牛奶"), (2, 3, "谢谢")]


def test_what_is_said_twice_is_not_merged() -> None:
    talk = ["Stop!", "Stop!", "Why?", "I said stop.", "No.", "Yes.", "how", "however"]
    assert [cue.text for cue in read_cues(vtt(*talk)).cues] == talk
    apart = "1\n00:00:01,000 --> 00:00:02,000\nNo.\n\n2\n00:00:05,000 --> 00:00:06,000\nNo.\n"
    assert len(read_cues(apart).cues) == 2


def test_the_reader_counts_what_it_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text(
        vtt("one", "\ufeff", "&amp;nbsp;") + "\n00:00:05.000 --> 00:00:05.010\na flash\n\n"
        "00:00:09.000 --> 00:00:08.000\nbackwards\n"
    )
    rows = read(tmp_path)
    assert [(row.text, row.start, row.end, row.video_id) for row in rows.good] == [
        ("one", 0.0, 1.0, "talk-0001")
    ]
    assert [bad.reason for bad in rows.bad] == [
        "the text is empty",
        "the text is empty",
        "the cue lasts 10 ms: too short for a sign",
        "the times 9.0 to 8.0 are not a piece of a video",
    ]
    assert [bad.where for bad in rows.bad] == ["talk.vtt:6", "talk.vtt:9", "talk.vtt:12", "talk.vtt:15"]


@pytest.mark.parametrize("newline", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_line_ends_and_marks_change_nothing(tmp_path: Path, newline: str, encoding: str) -> None:
    text = vtt("Ärger über\n\nÖl", "नमस्ते").replace("\n", newline)
    (tmp_path / "talk.vtt").write_bytes(text.encode(encoding))
    rows = read(tmp_path)
    assert [row.text for row in rows.good] == ["Ärger über Öl", "नमस्ते"]
    guessed = [note for note in rows.notes if "guessed" in note]
    assert len(guessed) == (encoding == "utf-16-le"), "only what no mark tells"


def test_a_guessed_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "talk.cs.srt").write_bytes(srt("Žluťoučký kůň", "úpěl ďábelské ódy").encode("cp1250"))
    rows = read(tmp_path)
    assert [row.text for row in rows.good] == ["Žluťoučký kůň", "úpěl ďábelské ódy"]
    assert rows.notes == {"file that is not UTF-8: its encoding was guessed to be cp1250": 1}


def test_broken_utf8_costs_the_rows_that_hold_it(tmp_path: Path) -> None:
    data = (
        srt("Ärger über Öl", "Größe", "schön").encode().replace("ö".encode() + b"\xc3\x9f", b"\xc3\xc3\x9f")
    )
    (tmp_path / "talk.srt").write_bytes(data)
    rows = read(tmp_path)
    assert [row.text for row in rows.good] == ["Ärger über Öl", "schön"]
    assert [bad.reason for bad in rows.bad] == ["the row is not UTF-8 text"]


def test_tags_are_known_by_their_names() -> None:
    assert strip_tags("<I>a</I> <u >b</u> <c.x>c</c> <00:01.500>d") == "a b c d"
    assert strip_tags("1 <2> 3 <x> <laughs>") == "1 <2> 3 <x> <laughs>"
