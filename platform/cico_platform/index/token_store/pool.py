"""Open files of a store: opened when they are first used, and closed when the cache needs room."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from cico_platform.index.token_store.errors import NoRoomError
from cico_platform.index.token_store.records import StoredFile
from cico_platform.index.token_store.store_files import StoreFiles

T = TypeVar("T")
# A process may have 65,530 maps by default; a segment takes two.
MOST_OPEN = 16_384


class _Entry:
    def __init__(self) -> None:
        self.value: Any = None
        self.files: list[StoredFile] = []
        self.uses = 0
        self.opening = threading.Lock()


class OpenFiles:
    """What is open, by name, the least recently used first. Safe to use from several threads."""

    def __init__(self, files: StoreFiles, most: int = MOST_OPEN) -> None:
        self.files, self.most = files, most
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def use(self, name: str, needed: tuple[StoredFile, ...], opener: Callable[..., T]) -> Iterator[T]:
        """Give what `opener` makes of the local paths of files; it stays open until the block ends, at least.

        Raises
        ------
        FileNotFoundError
            If the store does not have a file.
        NoRoomError
            If the cache has no room, although all that this store does not use was closed.
        """
        with self._lock:
            entry = self._entries.setdefault(name, _Entry())
            self._entries.move_to_end(name)
            entry.uses += 1
        try:
            with entry.opening:
                if entry.value is None:
                    entry.value = self._open(entry, needed, opener)
            yield cast(T, entry.value)
        finally:
            with self._lock:
                entry.uses -= 1
                unused = entry.uses == 0 and entry.value is None
                if unused and self._entries.get(name) is entry:
                    del self._entries[name]
            while len(self._entries) > self.most and self._close_oldest():
                pass

    def keep_only(self, names: Collection[str]) -> None:
        """Close what is not among these and not in use."""
        for name in list(self._entries):
            if name not in names:
                self._close(name)

    def close(self) -> None:
        """Close all."""
        self.keep_only(())

    def _open(self, entry: _Entry, needed: tuple[StoredFile, ...], opener: Callable[..., T]) -> T:
        try:
            paths: list[Path] = []
            for file in needed:
                paths.append(self._acquire(file))
                entry.files.append(file)
            return opener(*paths)
        except BaseException:
            self._release(entry)
            raise

    def _acquire(self, file: StoredFile) -> Path:
        while True:
            try:
                return self.files.acquire(file)
            except NoRoomError:
                if not self._close_oldest():
                    raise

    def _close_oldest(self) -> bool:
        return any(self._close(name) for name in list(self._entries))

    def _close(self, name: str) -> bool:
        with self._lock:
            entry = self._entries.get(name)
            if entry is None or entry.uses:
                return False
            del self._entries[name]
        entry.value = None
        self._release(entry)
        return True

    def _release(self, entry: _Entry) -> None:
        for file in entry.files:
            self.files.release(file)
        entry.files = []
