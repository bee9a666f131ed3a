"""One side of a comparison, in a process of its own: so that its memory is its own.

Run as `python -m cico_platform.benchmarks.side MODULE:FUNCTION`; the parent talks to it in lines. The first
line in is the `Task`; then "run" measures one repeat, and "end" tells the memory and writes the outputs.
Answers are JSON.
"""

import contextlib
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cico_platform.benchmarks.settings import Task

Outputs = Mapping[str, NDArray[Any] | torch.Tensor]
MIB = 1 << 20


@dataclass(frozen=True)
class Work:
    """What is measured: `run` is one repeat; `warm_up`, before the first, may be shorter.

    A repeat takes as long as `run` does, or what its output `seconds` says. Tensors that it returns are
    fetched from their device afterwards.
    """

    run: Callable[[], Outputs]
    warm_up: Callable[[], object]


# A side: given its task, and what to call when libraries and inputs are in memory and its own work begins.
Prepare = Callable[[Task, Callable[[], None]], Work]


class Memory:
    """Memory of this process: what there was when the work began, and the peak since.

    On a CPU it is the resident memory, on a GPU what PyTorch has taken there.
    """

    def __init__(self, device: str) -> None:
        self.began, self.cuda = 0, device == "cuda"

    def begin(self) -> None:
        """From here on memory counts as the side's own."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.began = torch.cuda.memory_allocated()
            return
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
        self.began = _status("VmRSS") or _peak()

    def report(self) -> dict[str, float]:
        """MiB: `extra` beyond libraries and inputs, and `peak` in all."""
        peak = torch.cuda.max_memory_allocated() if self.cuda else _status("VmHWM") or _peak()
        return {"extra": round(max(0, peak - self.began) / MIB, 1), "peak": round(peak / MIB, 1)}


def _fetched(values: NDArray[Any] | torch.Tensor) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values


def _status(name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(target: str, outputs_file: str) -> None:
    """Serve the parent until it says "end"."""
    # What libraries print must not come between the parent's lines.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # memory short: this process goes, not others

    def answer(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")

    task = Task.model_validate_json(sys.stdin.readline())
    torch.set_num_threads(task.threads)
    module, _, function = target.partition(":")
    prepare: Prepare = getattr(importlib.import_module(module), function)
    memory = Memory(task.device)
    try:
        work = prepare(task, memory.begin)
        work.warm_up()
        answer(ready=True)
        outputs: Outputs = {}
        for line in sys.stdin:
            if line.strip() != "run":
                break
            began = time.perf_counter()
            outputs = work.run()
            if task.device == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - began
            answer(seconds=float(outputs["seconds"]) if "seconds" in outputs else seconds)
        answer(memory=memory.report())
        arrays: dict[str, Any] = {name: _fetched(values) for name, values in outputs.items()}
        np.savez(outputs_file, **arrays)
        answer(written=True)
    except Exception as error:  # the parent tells it as the row's reason
        answer(error=f"{type(error).__name__}: {error}".splitlines()[0])
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
