"""Any table of clips is understood, or told why not; no row is lost and none leaves its folder."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cico_platform.corpus.readers import find_reader, labels
from cico_platform.corpus.readers.rows import Rows, locate
from cico_platform.errors import InputError


def read(tmp_path: Path, content: str | bytes, name: str = "labels.csv") -> Rows:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return labels.read(path)


def texts(rows: Rows) -> list[tuple[str, str]]:
    return [(row.file, row.text) for row in rows.good]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiter_line_end_and_mark_do_not_matter(
    tmp_path: Path, delimiter: str, ending: str, mark: str
) -> None:
    lines = [["File", "Sentence", "split"], ["a.mp4", "Good day", "dev"], ["b.mp4", "日本語 ok", ""]]
    rows = read(tmp_path, mark + ending.join(delimiter.join(line) for line in lines))
    assert texts(rows) == [("a.mp4", "Good day"), ("b.mp4", "日本語 ok")]
    assert [row.split for row in rows.good] == ["validation", ""]
    assert not rows.bad


def test_json_lines_and_json_lists(tmp_path: Path) -> None:
    entry = {"file": "a.mp4", "word": "home", "start": 1, "end": "00:00:02.5", "license": "MIT", "signer": 3}
    for content in (json.dumps(entry) + "\nnot json\n[]\n", json.dumps([entry, "not json", []])):
        rows = read(tmp_path, content, "labels.jsonl")
        (row,) = rows.good
        assert (row.start, row.end, row.licence, row.signer) == (1.0, 2.5, "MIT", "3")
        assert (row.text, row.label) == ("home", "home")
        assert rows.named
        assert len(rows.bad) == 2


def test_a_table_without_a_header_is_file_and_text(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "a.mp4,home\nb.mp4,tree\n")) == [("a.mp4", "home"), ("b.mp4", "tree")]


def test_quotes_hold_delimiters_and_lines(tmp_path: Path) -> None:
    rows = read(tmp_path, 'file,text\na.mp4,"one, two\nthree ""four"""\nb.mp4,5\'10" tall\nc.mp4,six\n')
    assert texts(rows) == [("a.mp4", 'one, two\nthree "four"'), ("b.mp4", "5'10\" tall"), ("c.mp4", "six")]


def test_a_quote_that_is_never_closed_swallows_no_rows(tmp_path: Path) -> None:
    rows = read(tmp_path, 'file,text\na.mp4,"never closed\n' + "b.mp4,fine\n" * 30)
    assert len(rows.good) == 31


def test_quotes_that_are_characters_join_no_rows(tmp_path: Path) -> None:
    rows = read(tmp_path, 'file,text\na.mp4,5" nail\nb.mp4,two\nc.mp4,three\nd.mp4,6" nail\ne.mp4,five\n')
    assert texts(rows) == [
        ("a.mp4", '5" nail'), ("b.mp4", "two"), ("c.mp4", "three"), ("d.mp4", '6" nail'), ("e.mp4", "five"),
    ]  # fmt: skip
    rows = read(tmp_path, 'file,text\na.mp4,5" nail\nb.mp4,"one,\ntwo"\nc.mp4,three\n')
    assert texts(rows) == [("a.mp4", '5" nail'), ("b.mp4", "one,\ntwo"), ("c.mp4", "three")]


def test_a_cell_that_is_quoted_wrongly_costs_its_own_row(tmp_path: Path) -> None:
    rows = read(
        tmp_path, 'file,text\na.mp4,"open\nb.mp4,two\nc.mp4,"third" word\nd.mp4,4" long\ne.mp4,five\n'
    )
    assert texts(rows) == [
        ("b.mp4", "two"),
        ("c.mp4", '"third" word'),
        ("d.mp4", '4" long'),
        ("e.mp4", "five"),
    ]
    assert [(bad.where, bad.file) for bad in rows.bad] == [("labels.csv:2", "a.mp4")]


@given(
    st.lists(st.lists(st.sampled_from(['"', "a", " ", "b"]), min_size=1, max_size=6), min_size=1, max_size=8)
)
@settings(max_examples=200, deadline=None)
def test_no_quote_loses_the_rows_around_it(cells: list[list[str]]) -> None:
    lines = [f"{number}.mp4,{''.join(cell)}" for number, cell in enumerate(cells)]
    rows = _survives(("file,text\n" + "\n".join(lines) + "\nlast.mp4,fine\n").encode())
    assert rows is not None
    seen = "\n".join(f"{row.file},{row.text}" for row in rows.good) + "\n".join(bad.file for bad in rows.bad)
    assert all(f"{number}.mp4" in seen for number in range(len(cells)))


def test_a_bad_row_is_kept_with_its_line_and_reason(tmp_path: Path) -> None:
    content = (
        b"file,text,start,end,split\na.mp4,fine,,,\nb.mp4,,,,\n,x,,,\nc.mp4,x,-2,-1,\nd.mp4,x,3,2,\n"
        b"e.mp4,x,nan,,\nf.mp4,x,,,holdout\ng.mp4,x\nh.mp4,caf\xe9,,,\ni.mp4," + b"y" * 100_000 + b",,,\n"
    )
    rows = read(tmp_path, content)
    assert texts(rows) == [("a.mp4", "fine")]
    reasons = {bad.where.split(":")[1]: bad.reason for bad in rows.bad}
    expected = [
        "empty",
        "no file",
        "times",
        "times",
        "not a time",
        "split",
        "2 fields",
        "UTF-8",
        "characters",
    ]
    assert sorted(reasons, key=int) == [str(line) for line in range(3, 12)]
    for line, part in enumerate(expected, 3):
        assert part in reasons[str(line)]


@pytest.mark.parametrize(
    "content", ["", "  \n", "a,b\n1,2\n", "file,other\na.mp4,x\n", "{}", "[1, 2", "\0\0\0"]
)
def test_what_is_no_table_of_clips_is_told_in_a_sentence(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError):
        read(tmp_path, content)


def test_a_path_cannot_leave_the_videos_folder(tmp_path: Path) -> None:
    root = tmp_path / "videos"
    root.mkdir()
    (tmp_path / "secret.mp4").write_text("x")
    (root / "a.mp4").write_text("x")
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    assert locate(root, "a").name == "a.mp4"
    assert locate(root, str(root / "a.mp4")).name == "a.mp4"
    for file in ("../secret.mp4", str(tmp_path / "secret.mp4"), "link.mp4", "http://x/a.mp4", "a\0.mp4"):
        with pytest.raises(InputError, match="leads out"):
            locate(root, file)
    for file in ("missing.mp4", "x" * 5000, "a.mp4/b"):
        with pytest.raises(InputError):
            locate(root, file)


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_garbage_is_an_error_or_bad_rows_never_a_traceback(content: bytes) -> None:
    _survives(content)
    _survives(b"file,text,start\n" + content)
    _survives(b'{"file": "a.mp4", "text": "x"}\n' + content)


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=5),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=100, deadline=None)
def test_no_row_of_a_table_is_lost(cells: list[list[str]]) -> None:
    lines = [["".join(c for c in cell if c not in '"\r\n,') or "x" for cell in row] for row in cells]
    rows = _survives(("file,text\n" + "\n".join(",".join(line) for line in lines)).encode())
    assert rows is not None
    blank = sum(not ",".join(line).strip() for line in lines)
    assert len(rows.good) + len(rows.bad) == len(lines) - blank


def _survives(content: bytes) -> Rows | None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        path.write_bytes(content)
        try:
            return labels.read(path)
        except InputError as error:
            if not str(error).encode():
                raise AssertionError("an error without a reason") from error
            return None


def test_formats_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,text\na.mp4,x\n")
    (tmp_path / "a.mp4").write_text("")
    assert find_reader(tmp_path / "labels.csv").name == "labels"
    assert find_reader(tmp_path).name == "folder"
    with pytest.raises(InputError, match="not a corpus format"):
        find_reader(tmp_path, "nonsense")
    with pytest.raises(InputError, match="does not exist"):
        find_reader(tmp_path / "nothing")
