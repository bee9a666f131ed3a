"""What a benchmark run is told, and what each of its sides finds in the work folder."""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cico_platform.settings import Settings

Device = Literal["cpu", "cuda"]


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads() -> int:
    """`OMP_NUM_THREADS` where it is set, else a thread a core."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) > 0 else usable_cores()


class BenchSettings(Settings):
    """How a benchmark runs.

    Attributes
    ----------
    quick
        A small network, small batches and few repeats: shows that it runs, not how fast.
    repeats
        Measured repeats of each side; 0 takes each row's own number.
    threads
        CPU threads of each side.
    seed
        Of weights and inputs.
    videos
        Folder of real sign videos to cut clips from; drawn ones without it.
    encoder
        Checkpoint of the sign encoder to measure; one of the paper's size with drawn weights without it.
    device
        Where both sides compute: "cpu" or "cuda".
    size
        Clips of a row whose number of clips can be chosen; 0 takes its own.
    server
        URL of a Qdrant server for rows that build an index; an embedded one without it.
    """

    quick: bool = False
    repeats: int = Field(default=0, ge=0)
    threads: int = Field(default_factory=default_threads, ge=1)
    seed: int = 0
    videos: Path | None = None
    encoder: Path | None = None
    device: Device = "cpu"
    size: int = Field(default=0, ge=0)
    server: str = ""

    def task(self, folder: Path, **values: Any) -> "Task":
        """What a side of this run is given."""
        return Task(folder=folder, threads=self.threads, seed=self.seed, device=self.device, values=values)

    def count(self, usual: int) -> int:
        """Repeats of a side that is usually repeated so often."""
        return self.repeats or (min(usual, 2) if self.quick else usual)


class Task(Settings):
    """What one side of a comparison is given.

    Attributes
    ----------
    folder
        Work folder with the shared inputs.
    threads
        CPU threads.
    seed
        Of drawn inputs.
    device
        Where it computes.
    values
        What this side must know besides.
    """

    folder: Path
    threads: int
    seed: int
    device: Device = "cpu"
    values: dict[str, Any] = Field(default_factory=dict)
