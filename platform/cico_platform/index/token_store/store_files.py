"""Where the files of a store can be mapped: in its own folder, or in a cache of this machine."""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from upath import UPath

from cico_platform.index.token_store.cache import SegmentCache
from cico_platform.index.token_store.records import SEGMENTS, StoredFile
from cico_platform.storage import Place, absolute, cache_folder, is_remote

DEFAULT_CACHE = "tokens"


class StoreFiles(Protocol):
    """Gives out files as local paths."""

    def acquire(self, file: StoredFile, folder: str = SEGMENTS) -> Path:
        """Return the local path of a file below a folder of the store; it stays until `release`.

        Raises
        ------
        FileNotFoundError
            If the store does not have it.
        """

    def release(self, file: StoredFile) -> None:
        """End a use."""

    def keep_only(self, names: Collection[str]) -> list[str]:
        """Remove copies of other files; returns the names of those that are in use."""

    def close(self) -> None:
        """End all uses, where no one else uses the same cache object."""


class LocalFiles:
    """A folder of this machine, or of a disk that it shares."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def acquire(self, file: StoredFile, folder: str = SEGMENTS) -> Path:
        """See `StoreFiles`."""
        path = self.folder / folder / file.name
        path.stat()
        return path

    def release(self, file: StoredFile) -> None:
        """See `StoreFiles`."""

    def keep_only(self, names: Collection[str]) -> list[str]:
        """See `StoreFiles`."""
        return []

    def close(self) -> None:
        """See `StoreFiles`."""


class CachedFiles:
    """A store behind a URL, read through a cache.

    Parameters
    ----------
    own
        Whether the cache object was made for this store alone.
    """

    def __init__(self, place: UPath, cache: SegmentCache, own: bool = False) -> None:
        self.place, self.cache, self.own = place, cache, own
        self.key = hashlib.sha256(absolute(place).encode()).hexdigest()[:16]

    def acquire(self, file: StoredFile, folder: str = SEGMENTS) -> Path:
        """See `StoreFiles`."""
        return self.cache.acquire(self.key, self.place / folder / file.name, file)

    def release(self, file: StoredFile) -> None:
        """See `StoreFiles`."""
        self.cache.release(self.key, file)

    def keep_only(self, names: Collection[str]) -> list[str]:
        """See `StoreFiles`."""
        return self.cache.keep_only(self.key, names)

    def close(self) -> None:
        """See `StoreFiles`."""
        if self.own:
            self.cache.close()


def files_of(place: Place, cache: SegmentCache | str | Path | None = None) -> StoreFiles:
    """Return the files of a store; only a remote one uses a cache."""
    if not isinstance(place, UPath) or not is_remote(place):
        return LocalFiles(Path(str(place)))
    if isinstance(cache, SegmentCache):
        return CachedFiles(place, cache)
    return CachedFiles(
        place, SegmentCache(cache_folder() / DEFAULT_CACHE if cache is None else cache), own=True
    )
