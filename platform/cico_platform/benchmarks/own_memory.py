"""The memory that a process holds for itself while something runs: not files that it maps, nor libraries."""

import contextlib
import threading
from pathlib import Path
from types import TracebackType

import psutil

SECONDS_BETWEEN_SAMPLES = 0.02
MIB = 1 << 20
# What the system cannot take back as it can pages of files.
OWN = ("RssAnon:", "RssShmem:")


def own_bytes() -> int:
    """Memory of this process that is no file's; where the system doesn't tell, all that is resident."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        found = [int(line.split()[1]) * 1024 for line in lines if line.startswith(OWN)]
        if found:
            return sum(found)
    return int(psutil.Process().memory_info().rss)


class OwnMemory:
    """Samples `own_bytes` in the background; `mib` is the most so far beyond what there was before.

    Parameters
    ----------
    before
        What there was; None takes what there is at the start. Of a second run in a process it is what there
        was before the first: the allocator keeps what that has freed.

    Examples
    --------
    >>> with OwnMemory() as memory:
    ...     held = bytearray(1 << 26)  # Still held where the block ends: its last sample sees it.
    >>> memory.mib > 32
    True
    """

    def __init__(self, before: int | None = None) -> None:
        self._before, self._most = before, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="own-memory", daemon=True)

    @property
    def mib(self) -> float:
        """MiB beyond those before."""
        return round(max(0, self._most - (self._before or 0)) / MIB, 1)

    def _watch(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_SAMPLES):
            self._most = max(self._most, own_bytes())

    def __enter__(self) -> "OwnMemory":
        self._most = own_bytes()
        if self._before is None:
            self._before = self._most
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._most = max(self._most, own_bytes())
        self._stop.set()
        self._thread.join()
