"""Reading parts of a store's shards: from a local folder, or from a remote one through a local cache."""

import fcntl
import hashlib
import os
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from upath import UPath

from cico_platform.errors import CicoError
from cico_platform.shard_output import OutputError, attempt
from cico_platform.storage import Place, cache_folder, is_remote, remove
from cico_platform.training.data.sample_index import INDEX_FILE, Shard
from cico_platform.training.data.sample_ledger import FRAMES_SUFFIX

# Of the free disk, what a cache may take; beyond it, frames are read from the store itself.
SHARE_OF_FREE_DISK = 0.8


class ShardFiles(Protocol):
    """Reader of a store's frames; safe to use from several threads."""

    def read(self, shard: Shard, offset: int, length: int) -> bytes:
        """Bytes of a shard's file of frames.

        Raises
        ------
        CicoError
            If they cannot be read.
        """

    def close(self) -> None:
        """Remove what is only kept for this training."""


class LocalShards:
    """Shards in a folder of this machine, or of a disk that it shares."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, shard: Shard, offset: int, length: int) -> bytes:
        """See `ShardFiles`. Plain reads: mapped frames would count as memory of this process."""
        path = self.folder / f"{shard.name}{FRAMES_SUFFIX}"
        try:
            file = os.open(path, os.O_RDONLY)
            try:
                data = os.pread(file, length, offset)
            finally:
                os.close(file)
        except OSError as error:
            raise CicoError(f"training samples cannot be read: {error}") from error
        if len(data) != length:
            raise CicoError(f"'{path}' is damaged: it ends before byte {offset + length}; {ADVICE}")
        return data

    def close(self) -> None:
        """See `ShardFiles`; a local store stays."""


class CachedShards:
    """Shards behind a URL. Each is copied to this machine when it is first needed, while there is room.

    Several processes of a machine share the copies. A shard for which there is no room is read in parts, from
    the store, so that copies are never exchanged for each other.

    Parameters
    ----------
    most_bytes
        Of the copies; None: 80% of what is free on the disk.
    """

    def __init__(self, folder: UPath, cache: Path, most_bytes: int | None = None) -> None:
        self.folder, self.local = folder, LocalShards(cache)
        held = sum(path.stat().st_size for path in cache.glob(f"*{FRAMES_SUFFIX}"))
        free = shutil.disk_usage(cache).free
        self.most_bytes = held + int(SHARE_OF_FREE_DISK * free) if most_bytes is None else most_bytes
        self._full = False

    def read(self, shard: Shard, offset: int, length: int) -> bytes:
        """See `ShardFiles`."""
        try:
            if attempt(self.folder, partial(self._copy, shard)):
                with suppress(CicoError):  # a training that has ended removed the copies that it shared
                    return self.local.read(shard, offset, length)
            path = self._remote(shard)
            read = partial(self.folder.fs.cat_file, path, start=offset, end=offset + length)
            data: bytes = attempt(self.folder, read)
        except OutputError as error:
            raise CicoError(f"training samples cannot be read from '{self.folder}': {error}") from error
        if len(data) != length:
            raise CicoError(f"'{path}' is damaged: it ends before byte {offset + length}; {ADVICE}")
        return data

    def close(self) -> None:
        """See `ShardFiles`; removes the copies."""
        remove(self.local.folder)

    def _remote(self, shard: Shard) -> str:
        return str((self.folder / f"{shard.name}{FRAMES_SUFFIX}").path)

    def _copy(self, shard: Shard) -> bool:
        """Whether the shard is on this machine, after it was copied if there is room."""
        cache = self.local.folder
        copy = cache / f"{shard.name}{FRAMES_SUFFIX}"
        if copy.is_file():
            return True
        if self._full:
            return False
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{shard.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one thread of one process copies, the others wait
            if copy.is_file():
                return True
            held = sum(path.stat().st_size for path in cache.glob(f"*{FRAMES_SUFFIX}"))
            if held + shard.frames_bytes > self.most_bytes:
                self._full = True
                return False
            partial = cache / f"{shard.name}.partial"
            self.folder.fs.get_file(self._remote(shard), str(partial))
            if partial.stat().st_size != shard.frames_bytes:
                raise CicoError(f"'{self._remote(shard)}' is damaged: it has another size; {ADVICE}")
            partial.replace(copy)
            return True


ADVICE = "remove the sample store, and run the same command again"


def open_shards(folder: Place, most_bytes: int | None = None) -> tuple[Path, ShardFiles]:
    """The index of a store as a local file, and its shards.

    Raises
    ------
    CicoError
        If there is no whole store.
    """
    index = folder / INDEX_FILE
    try:
        if not isinstance(folder, UPath) or not is_remote(folder):
            if not index.is_file():
                raise FileNotFoundError(f"'{index}' is missing")
            return Path(str(index)), LocalShards(Path(str(folder)))
        content = attempt(folder, index.read_bytes)
    except (OSError, OutputError) as error:
        raise CicoError(f"'{folder}' is no whole sample store: {error}") from error
    version = hashlib.sha256(str(folder).encode() + b"\0" + content).hexdigest()[:16]
    cache = cache_folder() / f"samples-{version}"
    cache.mkdir(exist_ok=True)
    own = cache / f".{INDEX_FILE}-{os.getpid()}"
    own.write_bytes(content)
    own.replace(cache / INDEX_FILE)
    return cache / INDEX_FILE, CachedShards(folder, cache, most_bytes)
