"""The memory of this process and all that it started, sampled while something runs."""

import contextlib
import os
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType

import psutil

SECONDS_BETWEEN_SAMPLES = 2.0
GIB = 1 << 30


def tree_memory_bytes(pid: int | None = None) -> dict[str, int]:
    """Memory of a process and its descendants by title, shared pages counted once (PSS where known)."""
    root = psutil.Process(pid or os.getpid())
    held: Counter[str] = Counter()
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.Error, OSError):
            held[_title(process)] += _proportional_bytes(process)
    return dict(held)


def _title(process: psutil.Process) -> str:
    """What a process is: a Ray worker's own title, else the name of its program."""
    command = process.cmdline()
    ray_title = command and command[0].startswith("ray::")
    return command[0].split("(")[0].strip() if ray_title else process.name()


def _proportional_bytes(process: psutil.Process) -> int:
    rollup = Path(f"/proc/{process.pid}/smaps_rollup")
    if rollup.exists():
        for line in rollup.read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return int(process.memory_info().rss)


class PeakMemory:
    """Samples `tree_memory_bytes` in the background; `gib` is the highest sum so far, `by_title` its parts.

    Examples
    --------
    >>> with PeakMemory() as peak:
    ...     _ = bytearray(1000)
    >>> peak.gib > 0
    True
    """

    def __init__(self) -> None:
        self._peak: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    @property
    def gib(self) -> float:
        """Highest memory seen, in GiB."""
        return round(sum(self._peak.values()) / GIB, 3)

    @property
    def by_title(self) -> dict[str, float]:
        """GiB of each kind of process at that moment, the largest first."""
        ordered = sorted(self._peak.items(), key=lambda item: -item[1])
        return {title: round(held / GIB, 3) for title, held in ordered}

    def _sample(self) -> None:
        now = tree_memory_bytes()
        if sum(now.values()) > sum(self._peak.values()):
            self._peak = now

    def _watch(self) -> None:
        while True:
            self._sample()
            if self._stop.wait(SECONDS_BETWEEN_SAMPLES):
                return

    def __enter__(self) -> "PeakMemory":
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
