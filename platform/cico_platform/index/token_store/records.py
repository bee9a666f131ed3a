"""Records of a token store: its files, segments and manifest, as JSON."""

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cico_platform.index.token_store.errors import DamagedFileError
from cico_platform.index.token_store.row_numbers import MAX_ROWS, Rows, row_numbers, segment_number

FORMAT = "cico token store"
# Changes with the layout of any file.
VERSION = 1
SEGMENTS = "segments"
# How many earlier commits a manifest names, by which a writer sees that its own one counts.
HISTORY = 64
MAX_DIM = 1 << 14

Storage = Literal["none", "scalar", "product"]
# A name leads nowhere else: no slash, no dot in front.
FileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,120}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """A frozen record without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredFile(Record):
    """A file that never changes: its name, its size in bytes, and its SHA-256."""

    name: FileName
    bytes: Count
    sha256: Digest


class RowRange(Record):
    """Rows that one worker wrote, and that follow each other in a segment's files.

    Attributes
    ----------
    name
        Of the segment as the worker wrote it: hash of its ids, keys and recipe.
    rows
        How many, erased ones included.
    erased
        How many of them have no tokens and no id in the files any more.
    """

    name: Name
    rows: Annotated[int, Field(ge=1, le=MAX_ROWS)]
    erased: Count = 0

    @property
    def number(self) -> int:
        """The upper bits of the row numbers."""
        return segment_number(self.name)


class Layout(Record):
    """What all segments of a store have in common.

    Attributes
    ----------
    dim
        Width of a token.
    storage
        How a token is kept: in half precision (`none`), or quantised.
    codebook
        Of `product`.
    """

    dim: Annotated[int, Field(ge=1, le=MAX_DIM)]
    storage: Storage = "none"
    codebook: StoredFile | None = None

    @model_validator(mode="after")
    def _has_codebook(self) -> Self:
        if (self.codebook is not None) != (self.storage == "product"):
            raise ValueError("product quantisation needs a codebook, and nothing else has one")
        return self


class SegmentInfo(Record):
    """Three files that hold the tokens of some clips.

    Attributes
    ----------
    name
        Hash of what it was made from.
    layout
        Of its tokens.
    tokens
        How many there are, of all clips.
    ranges
        Whose rows, in the order of the offset table. What a worker writes has one; joined segments have more.
    """

    name: Name
    layout: Layout
    tokens: Count
    ranges: Annotated[tuple[RowRange, ...], Field(min_length=1)]
    token_file: StoredFile
    offset_file: StoredFile
    id_file: StoredFile

    @property
    def files(self) -> tuple[StoredFile, StoredFile, StoredFile]:
        """Its files."""
        return self.token_file, self.offset_file, self.id_file

    @property
    def info_name(self) -> str:
        """Name of the file that a worker wrote last."""
        return f"{self.name}.json"

    @property
    def rows(self) -> int:
        """How many rows its offset table has."""
        return sum(each.rows for each in self.ranges)

    @property
    def clips(self) -> int:
        """How many rows have tokens in its files."""
        return sum(each.rows - each.erased for each in self.ranges)

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(file.bytes for file in self.files)

    def row_numbers(self) -> Rows:
        """Return the row numbers of a segment as a worker wrote it, in the order of its clips."""
        (only,) = self.ranges
        return row_numbers(only.number, only.rows)


class DeadRows(Record):
    """The file of dead row numbers, and how many they are."""

    file: StoredFile
    rows: Count


class Manifest(Record):
    """What a store holds at one time.

    Attributes
    ----------
    generation
        1 for an empty store, one more with each change.
    garbage
        Files below `segments/` that an earlier generation needed and that are to be removed.
    commit, history
        Random id of this change, and of those before it, the last one first.
    """

    generation: Annotated[int, Field(ge=1)]
    layout: Layout
    segments: tuple[SegmentInfo, ...] = ()
    dead: DeadRows | None = None
    garbage: tuple[FileName, ...] = ()
    commit: str
    history: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _numbers_differ(self) -> Self:
        numbers = [each.number for segment in self.segments for each in segment.ranges]
        if len(set(numbers)) != len(numbers):
            raise ValueError("two segments have the same number")
        return self

    def names(self) -> Iterator[str]:
        """Yield the names of the files below `segments/` that readers need."""
        for segment in self.segments:
            yield from (file.name for file in segment.files)

    @property
    def rows(self) -> int:
        """Rows of all segments, dead ones included."""
        return sum(segment.rows for segment in self.segments)

    @property
    def living(self) -> int:
        """Rows that are not dead."""
        return self.rows - (self.dead.rows if self.dead else 0)


def to_bytes(manifest: Manifest) -> bytes:
    """Return a manifest as its file holds it: a line with format, version and checksum, then the record."""
    body = manifest.model_dump_json().encode()
    head = {"format": FORMAT, "version": VERSION, "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(head).encode() + b"\n" + body + b"\n"


def from_bytes(content: bytes, path: str) -> Manifest:
    """Read the content of a manifest's file.

    Raises
    ------
    DamagedFileError
        If it is not what was written, or was written by another version.
    """
    first, _, body = content.partition(b"\n")
    try:
        head = json.loads(first)
        is_ours = head["format"] == FORMAT
        version, digest = int(head["version"]), str(head["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"'{path}' is no manifest of a token store") from error
    if not is_ours:
        raise DamagedFileError(f"'{path}' is no manifest of a token store")
    if version != VERSION:
        raise DamagedFileError(
            f"'{path}' is of version {version}, and this program reads version {VERSION}; "
            "use the version of the program that wrote it, or index again"
        )
    body = body.removesuffix(b"\n")
    if hashlib.sha256(body).hexdigest() != digest:
        raise DamagedFileError(f"'{path}' is damaged: its checksum is not that of its content")
    try:
        return Manifest.model_validate_json(body)
    except ValidationError as error:
        raise DamagedFileError(f"'{path}' is damaged: {error}") from error


def info_from_bytes(content: bytes, path: str) -> SegmentInfo:
    """Read the content of the file that a worker wrote last.

    Raises
    ------
    DamagedFileError
        If it is none.
    """
    try:
        return SegmentInfo.model_validate_json(content)
    except ValidationError as error:
        raise DamagedFileError(f"'{path}' does not describe a segment: {error}") from error
