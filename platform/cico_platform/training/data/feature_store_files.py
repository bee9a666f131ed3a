"""Files of a feature store: names, header, and the memory maps by which they are read.

A store is a folder. `features.f16` holds the clips' float16 features behind each other, each clip [E, W, F]
for its E encoders; `starts.i32` the first frames of their windows. `offsets.i64` [N + 1] counts the windows
before each clip. `ids.utf8` and `id_offsets.i64` [N + 1] are the clips' names, as Arrow lays out strings.
`checksums.u32` [N] is the CRC-32 of each clip's starts and features. `store.json` is written last.
"""

import json
import mmap
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Changes with the layout; a store of another version is made anew.
VERSION = 1
HEADER_FILE = "store.json"
FEATURES, STARTS, OFFSETS = "features.f16", "starts.i32", "offsets.i64"
IDS, ID_OFFSETS, CHECKSUMS = "ids.utf8", "id_offsets.i64", "checksums.u32"
FILES = (FEATURES, STARTS, OFFSETS, IDS, ID_OFFSETS, CHECKSUMS)
# Small enough to be checked as a whole when a store is opened; clips are checked when they are first read.
CHECKED_WHOLE = (OFFSETS, IDS, ID_OFFSETS, CHECKSUMS)
BLOCK = 1 << 24


class DamagedStoreError(Exception):
    """A store whose files are not those that were written."""


@dataclass
class LeftOut:
    """Clips of the shards that a store doesn't hold: how many, and of the first ones names and reasons."""

    count: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)
    most: int = 100

    def add(self, video_id: str, reason: str) -> None:
        """Count a clip."""
        self.count += 1
        if len(self.first) < self.most:
            self.first.append((video_id, reason))


@dataclass(frozen=True)
class Header:
    """The contents of `store.json`.

    Attributes
    ----------
    key
        Names the features that the store was made from.
    dim, encoders
        Width of the features; ids of the encoders, in the order in which their features are stored.
    clips, windows
        Numbers of both.
    sizes, checksums
        Bytes of each file; CRC-32 of those of `CHECKED_WHOLE`.
    left_out
        Clips that could not be used.
    """

    key: str
    dim: int
    encoders: list[str]
    clips: int
    windows: int
    sizes: dict[str, int]
    checksums: dict[str, int]
    left_out: LeftOut
    version: int = VERSION

    def as_json(self) -> dict[str, Any]:
        """Return the header as `store.json` holds it."""
        return asdict(self)


def read_header(folder: Path) -> Header:
    """Read and check the header of a store.

    Raises
    ------
    DamagedStoreError
        If there is none, it is of another version, or a file has another size or, of the small ones, content.
    """
    try:
        told = json.loads((folder / HEADER_FILE).read_text(encoding="utf-8"))
        header = Header(**{**told, "left_out": LeftOut(**told["left_out"])})
        if header.version != VERSION:
            raise DamagedStoreError(f"'{folder}' is of version {header.version}, not {VERSION}")
        for name in FILES:
            if (size := (folder / name).stat().st_size) != header.sizes[name]:
                raise DamagedStoreError(f"'{folder / name}' has {size} bytes, not {header.sizes[name]}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedStoreError(f"'{folder}' is no feature store: {error}") from error
    for name in CHECKED_WHOLE:
        if file_checksum(folder / name) != header.checksums[name]:
            raise DamagedStoreError(f"'{folder / name}' is not what was written")
    return header


def file_checksum(path: Path) -> int:
    """Return the CRC-32 of a file."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            value = zlib.crc32(block, value)
    return value


def mapped(path: Path) -> mmap.mmap | bytes:
    """Map a file read-only; its pages are shared with every process that maps it. An empty file is b""."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def mapped_array(path: Path, dtype: Any) -> NDArray[Any]:
    """Map a file as a read-only array of one dimension."""
    return np.frombuffer(mapped(path), dtype=dtype)
