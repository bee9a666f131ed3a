"""Which cached files are in use: each process keeps a locked list; the lock of a dead one is free."""

import fcntl
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER, SUFFIX = "leases", ".lease"


class Lease:
    """The files that this process has in use. One descriptor, however many they are.

    Changes and `names_in_use` are made under the cache's lock.
    """

    def __init__(self, cache: Path) -> None:
        folder = cache / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:12]}{SUFFIX}"
        self._file = self.path.open("x+", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._uses: Counter[str] = Counter()

    def take(self, name: str) -> None:
        """Count a use."""
        self._uses[name] += 1
        if self._uses[name] == 1:
            self._write()

    def give_back(self, name: str) -> None:
        """End a use."""
        self._uses[name] -= 1
        if self._uses[name] <= 0:
            del self._uses[name]
            self._write()

    def close(self) -> None:
        """End all uses."""
        self.path.unlink(missing_ok=True)
        self._file.close()

    def _write(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write("\n".join(self._uses))
        self._file.flush()


def names_in_use(cache: Path) -> set[str]:
    """Return what living processes have in use; removes the lists of those that have ended."""
    used: set[str] = set()
    for path in (cache / FOLDER).glob(f"*{SUFFIX}"):
        try:
            with path.open("r+", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    used.update(file.read().split("\n"))
                else:
                    path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
    return used


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock among the threads and processes of this machine."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
