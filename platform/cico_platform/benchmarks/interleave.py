"""Running several sides in turn, repeat by repeat: a machine that slows down slows all of them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_platform.benchmarks.settings import Task

Say = Callable[[str], None]
# Threads of the side that has just run may still be spinning.
PAUSE = 0.2


@dataclass(frozen=True)
class Side:
    """One way to do the work: `prepare` names its function, "module:function" (see `side.Work`)."""

    name: str
    prepare: str
    task: Task


@dataclass
class Measured:
    """What came of one side; `failure` says why there is nothing."""

    seconds: list[float] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)
    failure: str = ""


class _Process:
    """A side's process, spoken to in lines."""

    def __init__(self, side: Side) -> None:
        self.side, self.result = side, Measured()
        self.outputs = side.task.folder / f"outputs-{side.name}.npz"
        self.log = side.task.folder / f"log-{side.name}.txt"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cico_platform.benchmarks.side", side.prepare, str(self.outputs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": str(side.task.threads), **_hidden(side.task.device)},
            )

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line and wait for the answer; a side that is gone answers nothing and says why."""
        assert self.process.stdin
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.hear()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        message: dict[str, Any] = json.loads(line) if line else {}
        if "error" in message:
            self.result.failure = str(message["error"])
        elif not message:
            code = self.process.wait()
            killed = code == -9
            self.result.failure = "ran out of memory" if killed else f"stopped with {code}: {self._last()}"
        return {} if self.result.failure else message

    def finish(self) -> None:
        if self.result.failure:
            return
        self.result.memory = self.ask("end").get("memory", {})
        if self.hear():
            with np.load(self.outputs) as arrays:
                self.result.outputs = dict(arrays)

    def _last(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no message"


def interleave(sides: Sequence[Side], repeats: int, say: Say) -> dict[str, Measured]:
    """Measure the sides in turn: first of each, second of each, ...

    Parameters
    ----------
    sides
        Each gets a process of its own, warmed up before the first repeat of any.
    repeats
        Of each side.
    say
        Told what goes on.

    Returns
    -------
    dict
        By the sides' names. A side that fails has its reason in `failure`, and the others go on.
    """
    with ExitStack() as stack:
        running: list[_Process] = []
        for side in sides:
            say(f"  {side.name}: starting")
            process = _Process(side)
            stack.callback(process.close)
            process.ask(side.task.model_dump_json())
            running.append(process)
        for repeat in range(repeats):
            for process in running:
                if process.result.failure:
                    continue
                time.sleep(PAUSE)
                seconds = process.ask("run").get("seconds")
                if seconds is not None:
                    process.result.seconds.append(seconds)
                    say(f"  {process.side.name}: {seconds:.3f} s ({repeat + 1} of {repeats})")
        for process in running:
            process.finish()
            if process.result.failure:
                say(f"  {process.side.name}: {process.result.failure}")
        return {process.side.name: process.result for process in running}


def _hidden(device: str) -> dict[str, str]:
    """A side on the CPU sees no GPU: Ray would give its workers one."""
    return {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}


def clear_outputs(folder: Path) -> None:
    """Remove what sides wrote, before the next comparison in the same folder."""
    for file in folder.glob("outputs-*.npz"):
        file.unlink()
