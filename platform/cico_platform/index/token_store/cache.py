"""A cache of remote segments on this machine, bounded in bytes, shared by its processes."""

import fcntl
import os
import shutil
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path

from upath import UPath

from cico_platform.index.token_store.download import download, is_verified
from cico_platform.index.token_store.errors import NoRoomError
from cico_platform.index.token_store.files import said_plainly
from cico_platform.index.token_store.leases import FOLDER as LEASES
from cico_platform.index.token_store.leases import Lease, locked, names_in_use
from cico_platform.index.token_store.records import StoredFile

LOCK_FILE, PART_SUFFIX = "lock", ".part"
# Of the free disk, what a cache takes by default.
SHARE_OF_FREE_DISK = 0.8
ATTEMPTS = 5


class SegmentCache:
    """Copies of files of remote stores.

    A copy is verified by its checksum before it is used; a download that was cut goes on where it stopped.
    When there is no room, copies that no process has in use are removed, the least recently used first.

    Parameters
    ----------
    folder
        On this machine; several processes and stores may share it.
    max_bytes
        Of all copies, unfinished ones at their full size; None: 80% of the disk that is free now.

    Examples
    --------
    >>> TokenStore.open("s3://bucket/tokens", SegmentCache("/data/tokens", 50 << 30))  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path, max_bytes: int | None = None) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        free = int(SHARE_OF_FREE_DISK * shutil.disk_usage(self.folder).free)
        self.max_bytes = sum(self._sizes().values()) + free if max_bytes is None else max_bytes
        self._lease: Lease | None = None

    def acquire(self, store: str, source: UPath, file: StoredFile) -> Path:
        """Return the verified copy of a file, which stays until `release`.

        Parameters
        ----------
        store
            A name of the store that no other one has.
        source
            Where the file lies.

        Raises
        ------
        FileNotFoundError
            If the store does not have it.
        DamagedFileError
            If the store's own file is not what was written.
        NoRoomError
            If what is in use leaves no room for it.
        """
        path = self.folder / store / file.name
        for _ in range(ATTEMPTS):
            with self._locked():
                if is_verified(path, file):
                    self._taken().take(self._name(path))
                    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
                    return path
            with said_plainly(source, "a segment cannot be copied from"):
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(f"{path.name}.{file.bytes}{PART_SUFFIX}")
                download(source, file, path, part, partial(self._make_room, part, file))
        raise NoRoomError(
            f"'{path}' is removed again and again; give the cache more than {self.max_bytes} bytes"
        )

    def release(self, store: str, file: StoredFile) -> None:
        """End a use of a copy."""
        with self._locked():
            self._taken().give_back(self._name(self.folder / store / file.name))

    def keep_only(self, store: str, names: Collection[str]) -> list[str]:
        """Remove copies of a store that are not among these; returns the names that are still in use."""
        kept, in_use = set(names), []
        with self._locked():
            used = names_in_use(self.folder)
            for name in self._sizes():
                folder, _, base = name.partition("/")
                if folder != store or _complete_name(base) in kept:
                    continue
                if name in used or _is_locked(self.folder / name):
                    in_use.append(base)
                else:
                    (self.folder / name).unlink(missing_ok=True)
        return in_use

    @property
    def bytes(self) -> int:
        """Bytes of all copies, unfinished ones at their full size."""
        return sum(self._sizes().values())

    def close(self) -> None:
        """End all uses of this process."""
        if self._lease is not None:
            with self._locked():
                self._lease.close()
            self._lease = None

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.folder / LOCK_FILE)

    def _taken(self) -> Lease:
        if self._lease is None:
            self._lease = Lease(self.folder)
        return self._lease

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _sizes(self) -> dict[str, int]:
        """Size of each copy, by its name."""
        sizes = {}
        for path in self.folder.glob("*/*"):
            if path.parent.name == LEASES:
                continue
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                continue
            if path.name.endswith(PART_SUFFIX):
                size = int(path.name.removesuffix(PART_SUFFIX).rpartition(".")[2])
            sizes[self._name(path)] = size
        return sizes

    def _make_room(self, part: Path, file: StoredFile) -> None:
        """Remove copies until the file fits; its own unfinished copy counts already."""
        with self._locked():
            sizes, used = self._sizes(), names_in_use(self.folder)
            excess = sum(sizes.values()) - self.max_bytes
            free = [name for name in sizes if name not in used and name != self._name(part)]
            for name in sorted(free, key=lambda name: _last_use(self.folder / name)):
                if excess <= 0:
                    return
                if _is_locked(self.folder / name):
                    continue
                (self.folder / name).unlink(missing_ok=True)
                excess -= sizes[name]
        if excess > 0:
            raise NoRoomError(
                f"the cache '{self.folder}' has no room for {file.bytes} bytes more: "
                f"what is in use leaves less of its {self.max_bytes} bytes; give it more"
            )


def _last_use(path: Path) -> int:
    try:
        return path.stat().st_atime_ns
    except FileNotFoundError:
        return 0


def _complete_name(name: str) -> str:
    return name.removesuffix(PART_SUFFIX).rpartition(".")[0] if name.endswith(PART_SUFFIX) else name


def _is_locked(path: Path) -> bool:
    """Whether an unfinished copy is being continued by some process."""
    if not path.name.endswith(PART_SUFFIX):
        return False
    with suppress(FileNotFoundError), path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
