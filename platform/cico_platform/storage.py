"""Places: files and folders on this machine or behind a URL (`s3://`, `gs://`), and what steps do there."""

import hashlib
import io
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from cico_platform.errors import CicoError, InputError

Place = Path | UPath
CACHE_FOLDER = "cico"


def place(path: str | Place) -> Place:
    """The place that a path or a URL names.

    Raises
    ------
    InputError
        If nothing that is installed reads such URLs.
    """
    if isinstance(path, str) and "://" in path:
        try:
            return UPath(path)
        except (ValueError, ImportError) as error:
            raise InputError(f"'{path}' cannot be opened: {error}") from error
    return path if isinstance(path, UPath) else Path(path)


def is_remote(path: str | Place) -> bool:
    """Whether it lies behind a URL."""
    return (isinstance(path, UPath) and not isinstance(path, Path)) or "://" in str(path)


def absolute(path: str | Place) -> str:
    """The place as text that means the same in every process: a URL, or an absolute path."""
    return str(path) if is_remote(path) else str(Path(str(path)).resolve())


def absolute_place(path: Place) -> Place:
    """`absolute`, as a place."""
    return place(absolute(path))


def fresh(path: Place) -> Place:
    """The same place, with nothing remembered of what was listed there before."""
    if isinstance(path, UPath) and is_remote(path):
        path.fs.invalidate_cache()
    return path


def relative(path: Place, folder: Place) -> str:
    """A path below a folder, with slashes, from the folder on.

    >>> relative(Path("a/b/c.mp4"), Path("a"))
    'b/c.mp4'
    """
    if is_remote(path):
        return str(path).removeprefix(str(folder)).lstrip("/")
    return Path(str(path)).relative_to(str(folder)).as_posix()


def inside(root: Place, path: str) -> Place | None:
    """What a relative path names inside `root`; None if it leads out, symbolic links followed.

    Raises
    ------
    OSError, ValueError, RuntimeError
        If it is no usable path.
    """
    if is_remote(root):
        clean = posixpath.normpath(path)
        leads_out = clean.startswith(("/", "../")) or clean == ".." or "://" in path or "\0" in path
        return None if leads_out else root / clean
    base = Path(str(root)).resolve()
    named = base / path
    return named if named.resolve().is_relative_to(base) else None


def write_whole(path: Place, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Place) -> Iterator[BinaryIO]:
    """A file to write, which a reader sees once the block has ended; after an error all is as before."""
    if is_remote(path):  # an object appears when it is whole
        buffer = io.BytesIO()
        yield buffer
        path.write_bytes(buffer.getvalue())
        return
    partial = path.with_name(f".{path.name}.partial")
    try:
        with Path(str(partial)).open("wb") as file:
            yield file
    except BaseException:  # a full disk needs every byte
        partial.unlink(missing_ok=True)
        raise
    Path(str(partial)).replace(str(path))


def write_table(
    path: Place, table: pa.Table, compression: str = "snappy", rows_per_group: int | None = None
) -> None:
    """Write a Parquet file, whole or not at all."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression=compression, row_group_size=rows_per_group)
    write_whole(path, buffer.getvalue())


def read_table(path: Place, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file, or some of its columns."""
    with path.open("rb") as file:
        return pq.read_table(file, columns=None if columns is None else list(columns))


def files_under(folder: Place) -> list[Place]:
    """All files under a folder, in a fixed order.

    Raises
    ------
    OSError
        If the store does not say.
    """
    if isinstance(folder, UPath) and is_remote(folder):
        found = (str(name).removeprefix(folder.path).lstrip("/") for name in folder.fs.find(folder.path))
        return sorted((folder / name for name in found if name and not name.endswith("/")), key=str)
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=str)


def matching(folder: Place, pattern: str) -> list[Place]:
    """What in a folder fits a pattern of `glob`, in a fixed order.

    Raises
    ------
    OSError
        If the store does not say.
    """
    if isinstance(folder, UPath) and is_remote(folder):
        names = (name for name, _ in _listed(folder) if fnmatchcase(name, pattern))
        return sorted((folder / name for name in names), key=str)
    return sorted((folder / path.name for path in folder.glob(pattern)), key=str)


def file_sizes(folder: Place) -> dict[str, int]:
    """Size in bytes of each file in a folder, by its name, from one listing."""
    if isinstance(folder, UPath) and is_remote(folder):
        fresh(folder)
        return dict(_listed(folder))
    if not folder.is_dir():
        return {}
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}


def _listed(folder: UPath) -> list[tuple[str, int]]:
    """Names and sizes of what is directly in a remote folder; nothing where there is no such folder."""
    try:
        listing = folder.fs.ls(folder.path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [
        (str(each["name"]).rstrip("/").rpartition("/")[2], int(each.get("size") or 0)) for each in listing
    ]


def remove(folder: Place) -> None:
    """Remove a folder and all in it; one that is not there is no error."""
    if not is_remote(folder):
        shutil.rmtree(str(folder), ignore_errors=True)
        return
    for path in files_under(fresh(folder)):
        path.unlink(missing_ok=True)
    fresh(folder)


def copy_file(source: Place, target: Place) -> None:
    """Copy a file that is never changed in place: a store copies objects itself, a disk only links."""
    if isinstance(source, UPath) and isinstance(target, UPath) and is_remote(source) and is_remote(target):
        source.fs.copy(source.path, target.path)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if not is_remote(source) and not is_remote(target):
        with suppress(OSError):
            os.link(str(source), str(target))
            return
    write_whole(target, source.read_bytes())


def copy_files(source: Place, out: Place, last: str) -> None:
    """Copy all files of a folder into another; the one named `last` comes after all others."""
    files = files_under(source)
    for path in sorted(files, key=lambda path: path.name == last):
        copy_file(path, out / relative(path, source))
    fresh(out)


def remote_version(url: str) -> str:
    """What a store says of an object's version: size, time, tag; or that it cannot say anything."""
    try:
        return object_version(url)
    except (OSError, ValueError, InputError) as error:
        return type(error).__name__


def object_version(url: str) -> str:
    """`remote_version`, but for what a store does not say.

    Raises
    ------
    InputError, OSError, ValueError
        If there is no such object, or no answer.
    """
    remote = fresh(place(url))
    found = remote.fs.info(remote.path) if isinstance(remote, UPath) else {}
    known = ("size", "ETag", "etag", "LastModified", "mtime", "updated", "md5Hash")
    return repr([url, *(str(found[name]) for name in known if name in found)])


def on_this_machine(folder: str | Place) -> Path:
    """The folder itself, or a copy of a remote one in the machine's temporary folder.

    A copy is named by the size and the tag of every file, made once, and appears whole.
    """
    if not is_remote(folder):
        return Path(str(folder))
    remote = fresh(place(str(folder)))
    files = files_under(remote)
    if not files:
        return Path(str(folder))  # is not there: whoever reads it says so
    listing = [(str(path), path.stat().st_size, str(path.stat().st_mtime)) for path in files]
    name = hashlib.sha256(repr(listing).encode()).hexdigest()[:16]
    copy = cache_folder() / name
    if not copy.is_dir():
        building = Path(tempfile.mkdtemp(dir=copy.parent))
        copy_files(remote, building, last="")
        try:
            building.replace(copy)
        except OSError:  # another process was faster
            shutil.rmtree(building, ignore_errors=True)
    return copy


@contextmanager
def working_copy(folder: Place) -> Iterator[Path]:
    """A local folder to work in: the folder itself, or one whose files go to the remote folder at the end.

    After a kill, what is in it stays for the next try on the same machine.
    """
    if not is_remote(folder):
        yield Path(str(folder))
        return
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    local = cache_folder() / f"working-{name}"
    local.mkdir(exist_ok=True)
    yield local
    copy_files(local, folder, last="")
    shutil.rmtree(local, ignore_errors=True)


def cache_folder() -> Path:
    """Return this user's own folder in the machine's temporary folder.

    Raises
    ------
    CicoError
        If another user has made it.
    """
    folder = Path(tempfile.gettempdir()) / f"{CACHE_FOLDER}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise CicoError(f"'{folder}' belongs to another user")
    return folder
