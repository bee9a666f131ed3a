"""What every reader gives: rows as they were written, and the rows that cannot be used with the reason."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from cico_model.text_cleaning import clean_text
from cico_platform.corpus.media_folder import locate
from cico_platform.corpus.pixel_box import BoxScale
from cico_platform.corpus.text import LONGEST_TEXT
from cico_platform.errors import InputError
from cico_platform.storage import Place, absolute

__all__ = ["BadRow", "Row", "Rows", "checked", "locate", "read_bytes", "seconds"]

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One clip as a corpus writes it; `where` says in which file and line, for people.

    `split` is a manifest's split, or empty where the corpus gives none. `pixel_box` is `(x0, y0, x1, y1)`
    in pixels, `box_scale` what is known of the frames whose pixels these are, `crop` the same in fractions.
    `start` and `end` are seconds; `frames` is the first frame and the one after the last, from 0, where the
    corpus counts frames instead (None: to the end). `cut_frames` is the number of frames of the file if it
    should already hold the clip alone. `cut_if_square` tells that a square video has been cut to `pixel_box`
    already. `participants` are all people that the clip shows, its signer among them. `clipped` tells that
    the interval began before the video does. `number` counts the good and the bad rows of a source together,
    in their order.
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
    box_scale: BoxScale | None = None
    crop: tuple[float, float, float, float] | None = None
    signer: str | None = None
    language: str | None = None
    sign_language: str | None = None
    licence: str | None = None
    frames: tuple[int, int | None] | None = None
    cut_frames: int | None = None
    cut_if_square: bool = False
    participants: tuple[str, ...] = ()
    clipped: bool = False
    number: int = 0


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used; `number` as in `Row`."""

    where: str
    file: str
    reason: str
    number: int = 0


@dataclass
class Rows:
    """The rows that a reader found in a source.

    `named` tells that the format itself calls the texts signs. `sources` are the annotation files that were
    read, as absolute paths. `notes` are sentences that people should know of what was chosen, changed or left
    out, each with how often it applies. `unused_columns` are columns that look known and were not used,
    `tiers` the tiers that were read, each with its number of rows.
    """

    good: list[Row] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    named: bool = False
    sources: set[str] = field(default_factory=set)
    notes: Counter[str] = field(default_factory=Counter)
    unused_columns: list[str] = field(default_factory=list)
    tiers: Counter[str] = field(default_factory=Counter)

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
            self.good.append(replace(checked(where, file, text, **fields), number=len(self)))
        except InputError as error:
            self.refuse(where, file, str(error))

    def refuse(self, where: str, file: str, reason: str) -> None:
        """Keep a row as one that cannot be used."""
        self.bad.append(BadRow(where, file, reason, len(self)))

    def read_from(self, source: Place) -> None:
        """Remember that an annotation file was read."""
        self.sources.add(absolute(source))

    def __len__(self) -> int:
        return len(self.good) + len(self.bad)


def joined(parts: Iterable[Rows]) -> Rows:
    """The rows of several readers as those of one, in the readers' order."""
    whole = Rows()
    for part in parts:
        before = len(whole)
        whole.good += [replace(row, number=before + row.number) for row in part.good]
        whole.bad += [replace(row, number=before + row.number) for row in part.bad]
        whole.named = whole.named or part.named
        whole.sources |= part.sources
        whole.notes += part.notes
        whole.unused_columns += part.unused_columns
        whole.tiers += part.tiers
    return whole


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
    clipped = start is not None and start < 0
    if end is not None and end <= max(start or 0.0, 0.0):
        raise InputError(f"the times {start} to {end} are not a piece of a video")
    if clipped:
        start = 0.0
    first, last = fields.get("frames") or (0, None)
    if first < 0 or (last is not None and last <= first):
        raise InputError(f"the frames {first} to {last} are not a piece of a video")
    split = str(fields.pop("split", "") or "").strip().lower()
    if split and split not in SPLIT_NAMES:
        raise InputError(f"the split '{split}' is none of train, validation, test")
    cleaned = {
        k: (v.strip() or None) if isinstance(v, str) and k != "video_id" else v for k, v in fields.items()
    }
    known: dict[str, Any] = {**cleaned, "split": SPLIT_NAMES.get(split, ""), "start": start, "end": end}
    known["clipped"] = clipped or bool(fields.get("clipped"))
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
        if re.fullmatch(r"(\d+:[0-5]?\d|\d{1,2}):[0-5]?\d(\.\d*)?", text):
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


def split_in_name(name: str) -> str:
    """The split that a file's name tells, as `how2sign_realigned_val.csv` does; empty where it tells none.

    >>> split_in_name("PHOENIX-2014-T.dev.corpus.csv"), split_in_name("labels.csv")
    ('validation', '')
    """
    parts = re.split(r"[^a-z]+", name.lower())
    return next((SPLIT_NAMES[part] for part in parts if part in SPLIT_NAMES), "")
