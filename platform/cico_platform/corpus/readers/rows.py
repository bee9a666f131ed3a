"""What every reader gives: rows as they were written, and the rows that cannot be used with the reason."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cico_model.text_cleaning import clean_text
from cico_platform.corpus.text import LONGEST_TEXT
from cico_platform.errors import InputError
from cico_platform.storage import Place, absolute_place, inside, relative

VIDEO_SUFFIXES = (
    ".mp4",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ts",
    ".flv",
    ".wmv",
    ".ogv",
)
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One clip as a corpus writes it; `where` says in which file and line, for people.

    `split` is a manifest's split, or empty where the corpus gives none. `pixel_box` is `(x0, y0, x1, y1)`
    in pixels of the video, `crop` the same in fractions.
    """

    where: str
    file: str
    text: str
    video_id: str = ""
    label: str | None = None
    split: str = ""
    start: float | None = None
    end: float | None = None
    pixel_box: tuple[float, float, float, float] | None = None
    crop: tuple[float, float, float, float] | None = None
    signer: str | None = None
    language: str | None = None
    sign_language: str | None = None
    licence: str | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used."""

    where: str
    file: str
    reason: str


@dataclass
class Rows:
    """What a reader made of a source.

    `named` tells that the format itself calls the texts signs. `notes` are sentences that people should know
    of what was chosen, changed or left out, each with how often it applies.
    """

    good: list[Row] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    named: bool = False
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, where: str, file: str, text: str, **fields: Any) -> None:
        """Add a row, checked: a row that cannot be used is kept as bad, with its reason.

        Parameters
        ----------
        where, file, text
            As in `Row`.
        fields
            Further fields of `Row`; `start` and `end` may be text, `split` any common name of a split.
        """
        try:
            self.good.append(checked(where, file, text, **fields))
        except InputError as error:
            self.bad.append(BadRow(where, file, str(error)))


def checked(where: str, file: str, text: str, **fields: Any) -> Row:
    """A row whose text, times and split are usable.

    Raises
    ------
    InputError
        If one of them is not; the message is the reason.
    """
    for value in (file, text, *(v for v in fields.values() if isinstance(v, str))):
        if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            raise InputError("the row is not UTF-8 text")
    if not file.strip():
        raise InputError("no file is named")
    if len(text) > LONGEST_TEXT:
        raise InputError(f"the text has {len(text)} characters; at most {LONGEST_TEXT} are taken")
    if not clean_text(text):
        raise InputError("the text is empty")
    start, end = seconds(fields.pop("start", None)), seconds(fields.pop("end", None))
    if (start is not None and start < 0) or (end is not None and end <= (start or 0.0)):
        raise InputError(f"the times {start} to {end} are not a piece of a video")
    split = str(fields.pop("split", "") or "").strip().lower()
    if split and split not in SPLIT_NAMES:
        raise InputError(f"the split '{split}' is none of train, validation, test")
    cleaned = {
        k: (v.strip() or None) if isinstance(v, str) and k != "video_id" else v for k, v in fields.items()
    }
    known: dict[str, Any] = {**cleaned, "split": SPLIT_NAMES.get(split, ""), "start": start, "end": end}
    return Row(where, file.strip(), text, **known)


def seconds(value: object) -> float | None:
    """A time in seconds from a number or `[hh:]mm:ss[.mmm]`; empty is None.

    >>> seconds("00:01:02,500"), seconds(3), seconds("")
    (62.5, 3.0, None)

    Raises
    ------
    InputError
        If it is no time.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        text = str(value).strip().replace(",", ".")
        if re.fullmatch(r"(\d+:)?\d{1,2}:\d{1,2}(\.\d*)?", text):
            total = 0.0
            for part in text.split(":"):
                total = total * 60 + float(part)
        else:
            total = float(text)
    except (TypeError, ValueError, OverflowError):
        total = math.nan
    if not math.isfinite(total):
        raise InputError(f"'{str(value)[:40]}' is not a time in seconds")
    return total


def locate(root: Place, file: str) -> Place:
    """The file or frame folder that a row names, inside `root`; a missing suffix is looked for.

    Raises
    ------
    InputError
        If it is not there, or leads out of `root`.
    """
    try:
        for suffix in ("", *VIDEO_SUFFIXES):
            path = None if "\0" in file or "://" in file else inside(root, file + suffix)
            if path is None:
                raise InputError("the path leads out of the videos' folder")
            if path.exists():
                return path
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"the path cannot be used: {(str(error).splitlines() or [''])[0]}") from error
    raise InputError("the file does not exist")


def read_bytes(path: Place, limit: int = 1 << 30) -> bytes:
    """The content of an annotation file.

    Raises
    ------
    InputError
        If it cannot be read or is larger than `limit`.
    """
    try:
        if not path.is_file():
            raise InputError(f"'{path}' is not a file")
        if path.stat().st_size > limit:
            raise InputError(f"'{path}' is larger than {limit >> 20} MiB; is it an annotation file?")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error


def decode_text(data: bytes) -> str:
    """Bytes as text: UTF-8, or UTF-16 with a mark; other bytes become lone surrogates (see `checked`)."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def find_first(root: Place, names: Iterable[str]) -> str | None:
    """The first of some names (with or without suffix) that is there inside `root`, relative to it."""
    for name in names:
        try:
            return relative(locate(root, name), absolute_place(root))
        except (InputError, ValueError):
            continue
    return None


def split_in_name(name: str) -> str:
    """The split that a file's name tells, as `how2sign_realigned_val.csv` does; empty where it tells none.

    >>> split_in_name("PHOENIX-2014-T.dev.corpus.csv"), split_in_name("labels.csv")
    ('validation', '')
    """
    parts = re.split(r"[^a-z]+", name.lower())
    return next((SPLIT_NAMES[part] for part in parts if part in SPLIT_NAMES), "")
