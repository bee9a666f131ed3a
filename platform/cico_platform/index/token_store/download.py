"""Copying one file of a remote store to this machine: continued after a cut, verified before it is used."""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from upath import UPath

from cico_platform.errors import CicoError
from cico_platform.index.token_store.errors import DamagedFileError, NoRoomError
from cico_platform.index.token_store.files import sha256_of
from cico_platform.index.token_store.records import StoredFile
from cico_platform.shard_output import attempt

T = TypeVar("T")
CHUNK = 8 << 20


class _MissingError(CicoError):
    """The store says that a file is not there: no fault that passes."""


def is_verified(path: Path, file: StoredFile) -> bool:
    """Whether a copy was verified and not been written to since.

    A verified copy has a modification time that is made from its checksum: whatever writes to the file or
    replaces it changes that. Reading 128 MB again for each process would take 0.1 s.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return found.st_size == file.bytes and found.st_mtime_ns == _mark(file)


def download(source: UPath, file: StoredFile, path: Path, part: Path, make_room: Callable[[], None]) -> None:
    """Make a verified copy at `path`. One process copies, others that want the same file wait for it.

    Parameters
    ----------
    part
        Of what has been copied so far.
    make_room
        Called before anything is copied.

    Raises
    ------
    FileNotFoundError
        If the store does not have the file.
    DamagedFileError
        If what it has is not what was written.
    NoRoomError
        As `make_room` raises it.
    """
    while True:
        with part.open("ab") as out:
            fcntl.flock(out, fcntl.LOCK_EX)
            if not _is_at(out, part):  # finished or removed by another process, while this one waited
                continue
            try:
                if not is_verified(path, file) and not _verify(path, file):
                    path.unlink(missing_ok=True)
                    make_room()
                    _check_source(source, file)
                    _copy(source, file, out, part)
                    part.replace(path)
                    return
                part.unlink()
            except (NoRoomError, DamagedFileError, FileNotFoundError):
                part.unlink(missing_ok=True)
                raise
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):  # a full disk needs every byte
                    part.unlink(missing_ok=True)
                raise
            return


def _copy(source: UPath, file: StoredFile, out: BinaryIO, part: Path) -> None:
    for _ in range(2):  # what an earlier process has left may be damaged: then from the start
        _append(source, file, out)
        if part.stat().st_size == file.bytes and sha256_of(part) == file.sha256:
            os.utime(part, ns=(time.time_ns(), _mark(file)))
            return
        out.truncate(0)
    raise DamagedFileError(f"'{source}' is damaged: its checksum is not that of what was written")


def _append(source: UPath, file: StoredFile, out: BinaryIO) -> None:
    position = out.seek(0, os.SEEK_END)
    while position < file.bytes:
        content = _range(source, position, min(position + CHUNK, file.bytes))
        if not content:
            break
        out.write(content)
        position += len(content)
    out.flush()
    os.fsync(out.fileno())


def _range(source: UPath, begin: int, end: int) -> bytes:
    def read() -> bytes:
        try:
            content: bytes = source.fs.cat_file(source.path, start=begin, end=end)
            return content
        except FileNotFoundError as error:
            raise _MissingError(str(error)) from error

    return _asked(source, read)


def _check_source(source: UPath, file: StoredFile) -> None:
    def size() -> int:
        try:
            source.fs.invalidate_cache()
            return int(source.fs.info(source.path)["size"])
        except FileNotFoundError as error:
            raise _MissingError(str(error)) from error

    found = _asked(source, size)
    if found != file.bytes:
        raise DamagedFileError(f"'{source}' is damaged: it has {found} bytes, and {file.bytes} were written")


def _asked(source: UPath, action: Callable[[], T]) -> T:
    try:
        return attempt(source.parent, action)
    except _MissingError as error:
        raise FileNotFoundError(errno.ENOENT, "no such file in the store", str(source)) from error


def _verify(path: Path, file: StoredFile) -> bool:
    """Whether a copy without a mark, from a backup perhaps, is right; it is marked then."""
    with suppress(FileNotFoundError):
        if path.stat().st_size == file.bytes and sha256_of(path) == file.sha256:
            os.utime(path, ns=(time.time_ns(), _mark(file)))
            return True
    return False


def _mark(file: StoredFile) -> int:
    return (1_000_000_000 + int(file.sha256[:8], 16) % 500_000_000) * 1_000_000_000


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
