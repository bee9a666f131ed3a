"""The memory of this process and all that it started, sampled while something runs."""

import contextlib
import os
import threading
from pathlib import Path
from types import TracebackType

import psutil

SECONDS_BETWEEN_SAMPLES = 2.0
GIB = 1 << 30


def tree_memory_bytes(pid: int | None = None) -> int:
    """Memory of a process and its descendants, shared pages counted once (PSS where known)."""
    root = psutil.Process(pid or os.getpid())
    total = 0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.Error, OSError):
            total += _proportional_bytes(process)
    return total


def _proportional_bytes(process: psutil.Process) -> int:
    rollup = Path(f"/proc/{process.pid}/smaps_rollup")
    if rollup.exists():
        for line in rollup.read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return int(process.memory_info().rss)


class PeakMemory:
    """Samples `tree_memory_bytes` in the background; `gib` is the highest so far.

    Examples
    --------
    >>> with PeakMemory() as peak:
    ...     _ = bytearray(1000)
    >>> peak.gib > 0
    True
    """

    def __init__(self) -> None:
        self._peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    @property
    def gib(self) -> float:
        """Highest memory seen, in GiB."""
        return round(self._peak / GIB, 3)

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, tree_memory_bytes())
            if self._stop.wait(SECONDS_BETWEEN_SAMPLES):
                return

    def __enter__(self) -> "PeakMemory":
        self._peak = tree_memory_bytes()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
