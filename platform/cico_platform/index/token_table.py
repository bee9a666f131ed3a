"""A table of clips' tokens beside a server's collection: a clip's row here is the id of its point there."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cico_platform.errors import CicoError
from cico_platform.index.clips import IndexedClip, Tokens
from cico_platform.index.mapped_tokens import Compared, compare

TOKENS_FILE, ROWS_FILE, LOCK_FILE = "tokens.f16", "rows.u64", "lock"
# First token and number of tokens.
RECORD = np.dtype(("<u8", 2))


class TokenTable(Protocol):
    """Tokens by row: all that an index on a server needs of whatever keeps them."""

    def append(self, clips: Sequence[IndexedClip]) -> list[int]:
        """Write clips' tokens [T, D]; the row of each, once they are on disk. No row is ever used again."""

    def read(self, row: int) -> Tokens:
        """A row's tokens [T, D]."""

    def compare(self, rows: Sequence[int], tokens: Tokens) -> Compared:
        """Products of a query's tokens [Q, D] with those of these rows, at least one."""

    def remove(self) -> None:
        """Remove them all; that there are none is no error."""


class FolderTokens:
    """Rows in a folder: tokens behind each other in half precision, and where those of each row begin.

    Opening it reads nothing. Several processes may append, on this machine or on others that see the folder
    and lock its files for each other; what they append is seen as soon as it is on disk.

    Parameters
    ----------
    folder
        Is made when something is written.
    dim
        D.
    """

    def __init__(self, folder: Path, dim: int) -> None:
        self.folder, self.dim = folder, dim
        self._records: NDArray[np.uint64] = np.zeros((0, 2), np.uint64)
        self._tokens: NDArray[np.float16] = np.zeros((0, dim), np.float16)

    def append(self, clips: Sequence[IndexedClip]) -> list[int]:
        """Write clips' tokens [T, D]; the row of each, once they are on disk. No row is ever used again."""
        if not clips:
            return []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                row = self._append(clips)
        except OSError as error:
            raise CicoError(
                f"tokens cannot be written to '{self.folder}': {error.strerror or error}; name a folder that "
                "every process that searches sees"
            ) from error
        return list(range(row, row + len(clips)))

    def _append(self, clips: Sequence[IndexedClip]) -> int:
        counts = np.array([len(clip.tokens) for clip in clips], np.uint64)
        written = [np.ascontiguousarray(clip.tokens, dtype=np.float16).tobytes() for clip in clips]
        first = _append(self.folder / TOKENS_FILE, b"".join(written), 2 * self.dim)
        records = np.stack([first + np.cumsum(counts) - counts, counts], axis=1).astype("<u8")
        return _append(self.folder / ROWS_FILE, records.tobytes(), RECORD.itemsize)

    def read(self, row: int) -> Tokens:
        """A row's tokens [T, D]: a view of the file."""
        ((first, count),) = self._places([row]).tolist()
        return self._mapped(first + count)[first : first + count]

    def compare(self, rows: Sequence[int], tokens: Tokens) -> Compared:
        """Products of a query's tokens [Q, D] with those of these rows, at least one."""
        places = self._places(rows)
        mapped = self._mapped(int(places.sum(axis=1).max()))
        return compare(mapped, [(first, count) for first, count in places.tolist()], tokens)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _places(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """First token and number of tokens of each row, [N, 2]."""
        wanted = np.asarray(rows, np.uint64)
        if wanted.max() >= len(self._records):
            self._records = _map(self.folder / ROWS_FILE, RECORD.base, 2)
        if wanted.max() >= len(self._records):
            raise CicoError(
                f"the tokens of row {int(wanted.max())} are not in '{self.folder}', which has "
                f"{len(self._records)}: it is an older copy; index again, or copy it anew"
            )
        return self._records[wanted.astype(np.int64)].astype(np.int64)

    def _mapped(self, least: int) -> NDArray[np.float16]:
        """All tokens, at least so many."""
        if least > len(self._tokens):
            self._tokens = _map(self.folder / TOKENS_FILE, np.dtype(np.float16), self.dim)
        if least > len(self._tokens):
            raise CicoError(f"'{self.folder / TOKENS_FILE}' is cut short: copy it anew, or index again")
        return self._tokens

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / LOCK_FILE).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _append(path: Path, content: bytes, item: int) -> int:
    """Write at the end of a file of such items, on disk when it returns; returns the first one's number."""
    with path.open("ab") as file:
        size = os.fstat(file.fileno()).st_size
        if size % item:  # a process died while it appended
            size -= size % item
            os.ftruncate(file.fileno(), size)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return size // item


def _map(path: Path, dtype: np.dtype[Any], width: int) -> NDArray[Any]:
    """The whole items of a file, [N, width]: a view of it as a plain array, copied where it is written to."""
    try:
        count = path.stat().st_size // (dtype.itemsize * width)
    except FileNotFoundError:
        count = 0
    if not count:
        return np.zeros((0, width), dtype)
    return np.memmap(path, dtype, "c", shape=(count, width)).view(np.ndarray)
