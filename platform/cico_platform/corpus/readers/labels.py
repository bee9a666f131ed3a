"""Any table of clips: CSV, TSV and the like, or JSON lines, with at least a file and a text in every row."""

import csv
import json
import re
from collections.abc import Iterator

from cico_platform.corpus.readers.rows import VIDEO_SUFFIXES, BadRow, Rows, decode_text, read_bytes
from cico_platform.errors import InputError
from cico_platform.storage import Place

NAME = "labels"
SUFFIXES = {".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json"}
DELIMITERS = ",\t;|"
# Each field with the column names it is known by, the preferred first.
COLUMNS: dict[str, tuple[str, ...]] = {
    "file": ("file", "filename", "videofile", "path", "filepath", "videopath", "video", "clip"),
    "text": ("text", "sentence", "translation", "caption"),
    "label": ("label", "word", "gloss", "sign"),
    "split": ("split", "set", "subset"),
    "start": ("start", "starttime", "begin"),
    "end": ("end", "endtime", "stop"),
    "signer": ("signer", "signerid", "speaker"),
    "language": ("language", "lang"),
    "sign_language": ("signlanguage",),
    "licence": ("licence", "license"),
    "video_id": ("videoid", "id", "clipid"),
}
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
    if text.lstrip()[0] in "{[":
        return _json_rows(source, text)
    return _table_rows(source, text)


def _fields(names: list[str]) -> dict[str, int]:
    """Which column holds which field, by the columns' names in any case and with any separators."""
    plain = [re.sub(r"[^a-z]", "", name.lower()) for name in names]
    return {
        field: plain.index(known[0])
        for field, aliases in COLUMNS.items()
        if (known := [alias for alias in aliases if alias in plain])
    }


def _complete(fields: dict[str, int]) -> bool:
    return "file" in fields and ("text" in fields or "label" in fields)


def _table_rows(source: Place, text: str) -> Rows:
    lines = re.split(r"\r\n|\n|\r", text)
    first = next(index for index, line in enumerate(lines) if line.strip())
    delimiter, header = _header(source, lines[first])
    fields = _fields(header)
    body = lines[first + 1 :]
    if not fields:
        fields, body = {"file": 0, "text": 1}, lines[first:]
    rows = Rows(named="text" not in fields)
    width = len(header)
    for number, cells in _records(body, delimiter):
        where = f"{source.name}:{number + len(lines) - len(body) + 1}"
        if len(cells) != width:
            file = cells[fields["file"]] if fields["file"] < len(cells) else ""
            rows.bad.append(BadRow(where, file, f"{len(cells)} fields where the header has {width}"))
            continue
        _add(rows, where, {field: cells[column] for field, column in fields.items()})
    return rows


def _header(source: Place, line: str) -> tuple[str, list[str]]:
    """The delimiter and the column names; the names fit no field where the table has no header."""
    guesses = [(d, _split(line, d)) for d in DELIMITERS]
    complete = [guess for guess in guesses if _complete(_fields(guess[1]))]
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
        if delimiter in ",;" and line.count('"') % 2:
            joined = line
            for ahead in range(index, min(index + LONGEST_QUOTED, len(lines))):
                joined += "\n" + lines[ahead]
                if lines[ahead].count('"') % 2:
                    line, index = joined, ahead + 1
                    break
        yield begin, _quoted(line, delimiter)


def _quoted(record: str, delimiter: str) -> list[str]:
    if "\n" not in record:
        return _split(record, delimiter)
    try:
        return next(csv.reader(record.splitlines(keepends=True), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return [record.split(delimiter)[0]]


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
    if not any(_complete(_fields([str(key) for key in entry])) for entry in objects):
        raise InputError(f"no object of '{source}' has 'file' and one of 'text', 'sentence', 'word', 'label'")
    rows = Rows(named=True)
    for where, entry in entries:
        if not isinstance(entry, dict):
            rows.bad.append(BadRow(where, "", "not a JSON object"))
            continue
        keys = list(entry)
        fields = _fields([str(key) for key in keys])
        values = {field: entry[keys[column]] for field, column in fields.items()}
        rows.named = rows.named and "text" not in values
        _add(rows, where, {k: "" if v is None else str(v) for k, v in values.items()})
    return rows


def _add(rows: Rows, where: str, values: dict[str, str]) -> None:
    label = values.pop("label", "")
    text = values.pop("text", "") or label
    rows.add(where, values.pop("file", ""), text, label=label or None, **values)
