"""How files of a store come and go: each appears whole or not at all, on a disk or behind a URL."""

import errno
import hashlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from upath import UPath

from cico_platform.errors import CicoError
from cico_platform.index.token_store.errors import DamagedFileError
from cico_platform.index.token_store.records import SEGMENTS, StoredFile
from cico_platform.shard_output import attempt
from cico_platform.storage import Place, fresh, is_remote

BLOCK = 1 << 22
# Of a digest, in the name of a file.
SHOWN = 16
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a local file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashedFile:
    """A local file that is written from start to end, with its size and SHA-256."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._file, self._digest = path.open("wb"), hashlib.sha256()

    def write(self, content: bytes | memoryview) -> None:
        """Append bytes."""
        self._file.write(content)
        self._digest.update(content)
        self.size += len(content)

    def finish(self, stem: str, suffix: str) -> StoredFile:
        """Bring the content to the disk; returns the record of a file that is named by stem and checksum."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        digest = self._digest.hexdigest()
        return StoredFile(name=f"{stem}-{digest[:SHOWN]}{suffix}", bytes=self.size, sha256=digest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk is reported by the write
            self._file.close()


@contextmanager
def scratch(place: Place) -> Iterator[Path]:
    """Prefix of temporary local files, on the disk of the store where it has one; they are gone at the end.

    Two attempts at the same segment never write into each other's files.
    """
    if is_remote(place):
        with tempfile.TemporaryDirectory(prefix="cico-tokens-") as temporary:
            yield Path(temporary) / "partial"
        return
    folder = Path(str(place)) / SEGMENTS
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / f".{os.getpid()}-{uuid.uuid4().hex[:12]}"
    try:
        yield prefix
    finally:
        for path in folder.glob(f"{prefix.name}*"):
            path.unlink(missing_ok=True)


def publish(source: Path, target: Place) -> None:
    """Move a finished temporary file to its place in the store. Passing faults of a store are tried again."""
    if isinstance(target, UPath) and is_remote(target):
        remote = target
        attempt(target.parent, lambda: remote.fs.put_file(str(source), remote.path))
        return
    source.replace(str(target))
    _sync_folder(Path(str(target)).parent)


def put(target: Place, content: bytes) -> None:
    """Write a small file, replacing one of this name."""
    if is_remote(target):
        attempt(target.parent, lambda: target.write_bytes(content))
        return
    with _partial(Path(str(target)), content) as partial:
        publish(partial, target)


def create(target: Place, content: bytes) -> None:
    """Write a small file, if there is none of this name; who needs to know looks at what is there afterwards.

    A store that cannot refuse to replace a file (`fsspec`: `mode="create"`) must have one writer at a time.
    """
    if isinstance(target, UPath) and is_remote(target):
        remote = target

        def pipe() -> None:
            with suppress(FileExistsError):
                remote.fs.pipe_file(remote.path, content, mode="create")

        attempt(target.parent, pipe)
        return
    path = Path(str(target))
    with _partial(path, content) as partial:
        _link(partial, path, content)
    _sync_folder(path.parent)


@contextmanager
def _partial(path: Path, content: bytes) -> Iterator[Path]:
    """A temporary file beside a path, with this content; it is gone at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:12]}.partial")
    try:
        with HashedFile(partial) as file:
            file.write(content)
            file.finish("x", "")
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _link(partial: Path, path: Path, content: bytes) -> None:
    try:
        os.link(partial, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with suppress(FileExistsError), path.open("xb") as file:  # a disk without hard links
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def remove_file(path: Place) -> None:
    """Remove a file; one that is not there is no error."""
    with suppress(FileNotFoundError):
        path.unlink()


def listed(folder: Place) -> list[str]:
    """Names of the files in a folder, as the store has them now; none where there is no folder."""
    try:
        if isinstance(folder, UPath) and is_remote(folder):
            fresh(folder)
            listing = folder.fs.ls(folder.path, detail=True) if folder.fs.exists(folder.path) else []
            return sorted(str(e["name"]).rpartition("/")[2] for e in listing if e["type"] == "file")
        return sorted(path.name for path in Path(str(folder)).iterdir() if path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_bytes(path: Place) -> bytes:
    """Read a small file.

    Raises
    ------
    FileNotFoundError
        If it is not there; a store is asked once, not what it had listed before.
    """
    if isinstance(path, UPath) and is_remote(path):
        content: bytes = path.fs.cat_file(path.path)
        return content
    return path.read_bytes()


def check_size(path: Path, file: StoredFile) -> Path:
    """Return the path itself, once its size is known to be right.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DamagedFileError
        If it is of another size.
    """
    size = path.stat().st_size
    if size != file.bytes:
        raise DamagedFileError(f"'{path}' is damaged: it has {size} bytes, and {file.bytes} were written")
    return path


def check_content(path: Path, file: StoredFile) -> Path:
    """Return the path itself, once its size and checksum are known to be right.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DamagedFileError
        If it is not what was written.
    """
    if sha256_of(check_size(path, file)) != file.sha256:
        raise DamagedFileError(f"'{path}' is damaged: its checksum is not that of what was written")
    return path


@contextmanager
def said_plainly(place: Place, what: str) -> Iterator[None]:
    """Turn faults of a disk or a store into an error that says what failed, and where."""
    try:
        yield
    except (CicoError, FileNotFoundError):
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not is_remote(place):
            raise
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "; free some space and give the command again" if full else ""
        raise CicoError(f"{what} '{place}': {type(error).__name__}: {error}{advice}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
