"""Columns of a table by name: fields of a row, and times in seconds, milliseconds or frames."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cico_platform.corpus.readers.rows import seconds
from cico_platform.errors import InputError

# Each field with the column names it is known by (letters only, lower case), the preferred first.
FIELDS: dict[str, tuple[str, ...]] = {
    "file": (
        "file", "filename", "videofile", "videofilename", "path", "filepath", "videopath", "video", "clip",
    ),
    "text": ("text", "sentence", "translation", "caption", "transcript"),
    "label": ("label", "word", "gloss", "sign"),
    "split": ("split", "set", "subset", "partition"),
    "signer": ("signer", "signerid", "participant", "participantid", "speaker", "speakerid", "person"),
    "participants": ("participants", "signers", "people", "speakers"),
    "language": ("language", "lang"),
    "sign_language": ("signlanguage",),
    "licence": ("licence", "license"),
    "video_id": ("videoid", "id", "clipid"),
}  # fmt: skip
# Names of times: a unit that the name tells is preferred to none.
START, END, DURATION = ("start", "begin"), ("end", "stop"), ("duration", "length")
SECONDS = ("{}time", "time{}", "{}seconds", "{}sec", "{}secs", "{}s", "{}timeseconds", "{}timesec", "{}times")
MILLISECONDS = ("{}ms", "{}msec", "{}millis", "{}milliseconds", "{}timems", "{}timemilliseconds")
FRAMES = ("{}frame", "frame{}", "{}frames", "{}frameindex", "{}frameid", "{}framenumber")
UNITS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("seconds", SECONDS), ("milliseconds", MILLISECONDS), ("frames", FRAMES), ("seconds", ("{}",)),
)  # fmt: skip
# A whole number of thousands in English, a fraction in other languages.
AMBIGUOUS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
# A column whose name holds one of these words looks as if it held something of the clip.
KNOWN_WORDS = (
    "file", "path", "video", "clip", "text", "sentence", "translation", "caption", "transcript", "label",
    "word", "gloss", "sign", "split", "subset", "partition", "fold", "signer", "participant", "speaker",
    "person", "language", "lang", "licence", "license", "start", "begin", "onset", "end", "stop",
    "offset", "time", "frame", "duration", "fps", "box", "bbox", "url", "id", "from", "to", "until", "till",
    "in", "out", "t", "tc", "length", "dur",
)  # fmt: skip


@dataclass(frozen=True)
class TimeColumn:
    """A column of times: its index and its unit, "seconds", "milliseconds" or "frames"."""

    index: int
    unit: str


@dataclass(frozen=True)
class Columns:
    """The column index of each field; `unused` names columns that look known but are not read."""

    fields: dict[str, int]
    start: TimeColumn | None
    end: TimeColumn | None
    duration: TimeColumn | None
    unused: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether there is a file, and a text or a label."""
        return "file" in self.fields and ("text" in self.fields or "label" in self.fields)

    @property
    def empty(self) -> bool:
        """Whether no column is known."""
        return not self.fields and self.start is None and self.end is None

    def values(self, cells: Sequence[str]) -> dict[str, str]:
        """The fields of one record."""
        return {field: cells[column] for field, column in self.fields.items()}

    def times(self, cells: Sequence[str]) -> dict[str, Any]:
        """The interval of one record: `start` and `end` in seconds, or `frames`.

        Raises
        ------
        InputError
            If a value is no time, or one is a frame where the other is a time.
        """
        start, end = _time(self.start, cells), _time(self.end, cells)
        units = {c.unit == "frames" for c, v in ((self.start, start), (self.end, end)) if c and v is not None}
        if units == {True, False}:
            raise InputError("the start and the end are a frame and a time")
        if end is None:
            length = _time(self.duration, cells)
            counted = {self.duration.unit == "frames"} if self.duration else set()
            if length is not None and counted == (units or counted):
                end, units = round((start or 0) + length, 6), counted
        if units == {True}:
            # A negative last frame means "to the end", as in several published tables.
            last = None if end is None or end < 0 else int(end)
            first = int(start or 0)
            return {"frames": (max(0, first), last), "clipped": first < 0}
        return {"start": start, "end": end}


def columns_of(names: Sequence[str]) -> Columns:
    """Find the column of each field; names match in any case and with any separators.

    >>> columns_of(["Video file", "Gloss", "start", "start_time"]).start
    TimeColumn(index=3, unit='seconds')
    """
    plain = [re.sub(r"[^a-z]", "", name.lower()) for name in names]
    fields = {
        field: plain.index(known[0])
        for field, aliases in FIELDS.items()
        if (known := [alias for alias in aliases if alias in plain])
    }
    start, end = _time_columns(plain)
    duration = _time_column(plain, DURATION, None) if end is None else None
    used = {*fields.values(), *(c.index for c in (start, end, duration) if c)}
    unused = (name for i, name in enumerate(names) if i not in used and _looks_known(name))
    return Columns(fields, start, end, duration, tuple(unused))


def _looks_known(name: str) -> bool:
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    parts = re.split(r"[^a-z]+", words)
    return any(
        part.startswith(word) if len(word) > 3 else part == word for part in parts for word in KNOWN_WORDS
    )


def _time_columns(plain: list[str]) -> tuple[TimeColumn | None, TimeColumn | None]:
    """The columns of start and end: of the first unit in which both are there, else each of its first."""
    for _, patterns in UNITS:
        start, end = _time_column(plain, START, patterns), _time_column(plain, END, patterns)
        if start and end:
            return start, end
    return _time_column(plain, START, None), _time_column(plain, END, None)


def _time_column(plain: list[str], stems: tuple[str, ...], only: tuple[str, ...] | None) -> TimeColumn | None:
    for unit, patterns in UNITS:
        if only is not None and patterns != only:
            continue
        for pattern in patterns:
            for stem in stems:
                if pattern.format(stem) in plain:
                    return TimeColumn(plain.index(pattern.format(stem)), unit)
    return None


def _time(column: TimeColumn | None, cells: Sequence[str]) -> float | None:
    if column is None:
        return None
    text = cells[column.index].strip()
    if column.unit == "seconds":
        return seconds(text)
    if not text:
        return None
    if AMBIGUOUS.fullmatch(text):
        raise InputError(f"'{text[:40]}' may mean thousands or decimals; write it without a comma")
    try:
        value = float(text.replace(",", "."))
        if not abs(value) < 1e12 or (column.unit == "frames" and value != int(value)):
            raise ValueError
    except ValueError:
        unit = "a number of a frame" if column.unit == "frames" else "a time in milliseconds"
        raise InputError(f"'{text[:40]}' is not {unit}") from None
    return value if column.unit == "frames" else value / 1000


def unused_columns(objects: Sequence[Mapping[str, Any]], used: frozenset[str]) -> list[str]:
    """The keys of a list of objects that look known and are not among those that are used."""
    keys = dict.fromkeys(str(key) for entry in objects for key in entry)
    return [key for key in keys if key not in used and _looks_known(key)]
