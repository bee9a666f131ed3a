"""Any table of clips: CSV, TSV and the like, or JSON lines, with at least a file and a text in every row."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from cico_platform.corpus.media_files import VIDEO_SUFFIXES
from cico_platform.corpus.readers.columns import Columns, columns_of
from cico_platform.corpus.readers.rows import Rows, decode_text, read_bytes
from cico_platform.errors import InputError
from cico_platform.storage import Place

NAME = "labels"
SUFFIXES = {".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json"}
DELIMITERS = ",\t;|"
FRAMES_NOTE = "frames are counted from 0, and the end frame is the first one after the clip"
# A quote that is not closed within so many lines is a character of the text.
LONGEST_QUOTED = 20


def sniff(source: Place) -> bool:
    """Whether the source is a table with a file and a text column."""
    if not source.is_file() or source.suffix.lower() not in SUFFIXES:
        return False
    try:
        read(source)
    except InputError:
        return False
    return True


def read(source: Place, videos: Place | None = None) -> Rows:
    """Read a table; rows that cannot be used are kept with their reason.

    Raises
    ------
    InputError
        If the file cannot be read, is empty, or has no file and text columns.
    """
    text = decode_text(read_bytes(source))
    if not text.strip():
        raise InputError(f"'{source}' is empty")
    rows = _json_rows(source, text) if text.lstrip()[0] in "{[" else _table_rows(source, text)
    rows.read_from(source)
    return rows


def _table_rows(source: Place, text: str) -> Rows:
    lines = re.split(r"\r\n|\n|\r", text)
    first = next(index for index, line in enumerate(lines) if line.strip())
    delimiter, header = _header(source, lines[first])
    columns, body = columns_of(header), lines[first + 1 :]
    if columns.empty:
        columns, body = Columns({"file": 0, "text": 1}, None, None, None, ()), lines[first:]
    rows = Rows(named="text" not in columns.fields, unused_columns=list(columns.unused))
    width = len(header)
    for number, cells in _records(body, delimiter):
        where = f"{source.name}:{number + len(lines) - len(body) + 1}"
        if len(cells) != width:
            at = columns.fields["file"]
            file = cells[at] if at < len(cells) else ""
            rows.refuse(where, file, f"{len(cells)} fields where the header has {width}")
            continue
        _add(rows, where, columns, cells)
    return rows


def _header(source: Place, line: str) -> tuple[str, list[str]]:
    """The delimiter and the column names; the names fit no field where the table has no header."""
    guesses = [(d, _split(line, d)) for d in DELIMITERS]
    complete = [guess for guess in guesses if columns_of(guess[1]).complete]
    if complete:
        return max(complete, key=lambda guess: len(guess[1]))
    bare = [g for g in guesses if len(g[1]) == 2 and g[1][0].lower().endswith(VIDEO_SUFFIXES)]
    if bare:
        return bare[0]
    seen = ", ".join(max(guesses, key=lambda guess: len(guess[1]))[1])[:200]
    seen = seen.encode("utf-8", "replace").decode()
    raise InputError(
        f"'{source}' has no header with 'file' and one of 'text', 'sentence', 'word', 'label'; its first line"
        f" is: {seen}"
    )


def _split(line: str, delimiter: str) -> list[str]:
    """One record's cells; a record that breaks the rules of quoting is cut at every delimiter."""
    if delimiter in "\t|":
        return [_unquote(cell) for cell in line.split(delimiter)]
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return [_unquote(cell) for cell in line.split(delimiter)]


def _unquote(cell: str) -> str:
    cell = cell.strip()
    if len(cell) >= 2 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def _records(lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Records with the number of their first line; a quoted cell may run over a few lines."""
    index = 0
    while index < len(lines):
        begin, line = index, lines[index]
        index += 1
        if not line.strip():
            continue
        last = _closing(lines, begin) if delimiter in ",;" else None
        records = [] if last is None else _parsed(lines[begin : last + 1], delimiter)
        if last is not None and len(records) == 1:
            index = last + 1
            yield begin, records[0]
        elif last is None or _parsed([line], delimiter):
            yield begin, _split(line, delimiter)
        else:  # a cell that is quoted wrongly costs its own line alone
            yield begin, [line.split(delimiter)[0]]


def _closing(lines: list[str], begin: int) -> int | None:
    """The line that may close a quote that a line leaves open."""
    if lines[begin].count('"') % 2 == 0:
        return None
    ahead = range(begin + 1, min(begin + 1 + LONGEST_QUOTED, len(lines)))
    return next((index for index in ahead if lines[index].count('"') % 2), None)


def _parsed(lines: list[str], delimiter: str) -> list[list[str]]:
    """The records of some lines; none if they break the rules of quoting."""
    try:
        text = [f"{line}\n" for line in lines[:-1]] + lines[-1:]
        return list(csv.reader(text, delimiter=delimiter, strict=True))
    except csv.Error:
        return []


def _json_rows(source: Place, text: str) -> Rows:
    entries: list[tuple[str, object]] = []
    if text.lstrip()[0] == "[":
        try:
            entries = [(f"{source.name}[{i}]", entry) for i, entry in enumerate(json.loads(text))]
        except (ValueError, RecursionError) as error:
            raise InputError(f"'{source}' is not JSON: {error}") from error
    else:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    entries.append((f"{source.name}:{number}", json.loads(line)))
                except (ValueError, RecursionError):
                    entries.append((f"{source.name}:{number}", None))
    objects = [entry for _, entry in entries if isinstance(entry, dict)]
    if not any(columns_of([str(key) for key in entry]).complete for entry in objects):
        raise InputError(f"no object of '{source}' has 'file' and one of 'text', 'sentence', 'word', 'label'")
    rows = Rows(named=True)
    unused: dict[str, None] = {}
    known: dict[tuple[str, ...], Columns] = {}
    for where, entry in entries:
        if not isinstance(entry, dict):
            rows.refuse(where, "", "not a JSON object")
            continue
        keys = tuple(str(key) for key in entry)
        columns = known[keys] if keys in known else known.setdefault(keys, columns_of(keys))
        unused.update(dict.fromkeys(columns.unused))
        rows.named = rows.named and "text" not in columns.fields
        _add(rows, where, columns, [_cell(value) for value in entry.values()])
    rows.unused_columns = list(unused)
    return rows


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ";".join(_cell(item) for item in value)
    return "" if value is None else str(value)


def _add(rows: Rows, where: str, columns: Columns, cells: Sequence[str]) -> None:
    values: dict[str, Any] = columns.values(cells)
    file, label = values.pop("file", ""), values.pop("label", "")
    text = values.pop("text", "") or label
    people = re.split(r"\s*[;,&+]\s*", values.pop("participants", "").strip())
    shown = tuple(dict.fromkeys(name for name in (values.get("signer", "").strip(), *people) if name))
    try:
        times = columns.times(cells)
    except InputError as error:
        rows.refuse(where, file, str(error))
        return
    rows.add(where, file, text, label=label or None, participants=shown, **values, **times)
    if "frames" in times:
        rows.notes[FRAMES_NOTE] += 1
