"""`cico bench training`: steps of the retrieval model on Ray Train, beside the same loop without Ray."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from cico_platform.benchmarks.interleave import Say, Side, interleave
from cico_platform.benchmarks.machine import describe_machine
from cico_platform.benchmarks.rows import Row, compare, make_row
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.benchmarks.training_sides import PAIRS

SIDES = "cico_platform.benchmarks.training_sides"
# By the size of the towers: on a CPU a step of the small ones takes seven times as long as one of the tiny.
EPOCHS = {"cpu": {"tiny": 12, "small": 2}, "cuda": {"small": 6, "paper": 6}}
QUICK_EPOCHS = {"tiny": 2}
BATCH = 64
REPEATS = 3


def bench_training(settings: BenchSettings, say: Say) -> dict[str, Any]:
    """Measure `train retrieval` on drawn pairs of the demo's size, in pairs/s, once started.

    Returns
    -------
    dict
        `rows`: by size of the towers, `plain-loop` (the same loop in one process without Ray, without
        checkpoints, on all threads), `one-thread` (both on one: a core is left to Ray's processes) and
        `two-workers` (one worker of one thread on one core; two on two; on GPUs, where there are two, a GPU
        each) and, on a GPU, `cuda-graphs` (the plain loop, and the same with compiled towers launched as CUDA
        graphs), with the `difference` of the losses; `machine`. While the plain loop runs, there is no Ray.
    """
    one: dict[str, Any] = {"workers": 1, "threads": 1, "cores": 1}
    two: dict[str, Any] = {"workers": 2, "threads": 1, "cores": 2}
    alone: dict[str, Any] = {"threads": settings.threads}
    comparisons = {"plain-loop": (("plain_loop", alone), ("ray_train", alone))}
    if settings.device == "cpu":
        if settings.threads > 1:
            comparisons["one-thread"] = (("plain_loop", {"threads": 1}), ("ray_train", {"threads": 1}))
        comparisons["two-workers"] = (("ray_train", one), ("ray_train", two))
    else:
        graphs = {**alone, "compile": "reduce-overhead"}
        comparisons["cuda-graphs"] = (("plain_loop", alone), ("plain_loop", graphs))
        if torch.cuda.device_count() > 1:
            comparisons["two-workers"] = (("ray_train", alone), ("ray_train", {**alone, "workers": 2}))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="cico-bench-") as name:
        for size, epochs in (QUICK_EPOCHS if settings.quick else EPOCHS[settings.device]).items():
            for row, sides in comparisons.items():
                say(f"{row}-{size}: {epochs} epochs of {PAIRS} pairs in batches of {BATCH}")
                rows.append(_row(f"{row}-{size}", sides, size, epochs, Path(name), settings, say))
    machine = describe_machine(settings.threads, settings.device)
    return {"rows": rows, "machine": machine, "quick": settings.quick}


def _row(
    name: str,
    sides: tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]],
    size: str,
    epochs: int,
    folder: Path,
    settings: BenchSettings,
    say: Say,
) -> Row:
    tasks = []
    for side, (function, values) in zip(("plain", "ours"), sides, strict=True):
        given = {**values, "size": size, "epochs": epochs, "batch": BATCH}
        task = settings.task(folder, **given)
        tasks.append(Side(f"{name}-{side}", f"{SIDES}:{function}", task))
    found = interleave(tasks, settings.count(REPEATS), say)
    plain, ours = (found[task.name] for task in tasks)
    for measured in (plain, ours):
        measured.memory = {}  # most of it is that of Ray's workers, other processes
    pair = [(plain.outputs.get("loss"), ours.outputs.get("loss"))]
    return make_row(
        name,
        f"{epochs} epochs of {PAIRS} pairs, batch {BATCH}, {size} towers",
        plain,
        ours,
        unit="pairs/s",
        amounts=(epochs * PAIRS, epochs * PAIRS),
        difference=lambda: compare(pair, pair),  # type: ignore[arg-type]
    )
