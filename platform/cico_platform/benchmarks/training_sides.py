"""The sides of `cico bench training`: the retrieval model's loop by itself, and the same on Ray Train."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cico_platform.benchmarks.own_ray import keep_to_cores, own_ray
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.side import Outputs, Work
from cico_platform.training.data.feature_rows import MemoryRows
from cico_platform.training.pairs import Pairs
from cico_platform.training.retrieval import RetrievalSettings, fresh_model
from cico_platform.training.runs import run_training
from cico_platform.training.session import Session
from cico_platform.training.tasks.retrieval import RetrievalRun, train_loop
from cico_platform.training.workers import Worker

Begin = Callable[[], None]
# The demo's: some 26 windows of a tiny sign encoder's features, sentences of six words.
PAIRS, DIM, WINDOWS, WORDS, VOCABULARY = 640, 256, (12, 40), (4, 9), 120


def drawn_pairs(seed: int) -> Pairs:
    """Pairs of the demo's size, drawn."""
    rng = np.random.default_rng(seed)
    words = [f"word{number}" for number in range(VOCABULARY)]
    texts = [" ".join(rng.choice(words, rng.integers(*WORDS))) for _ in range(PAIRS)]
    features = [
        rng.random((rng.integers(*WINDOWS), DIM), np.float32).astype(np.float16) for _ in range(PAIRS)
    ]
    names = [f"video-{i}" for i in range(PAIRS)]
    return Pairs(names, MemoryRows(features), texts, np.arange(PAIRS))


def plain_loop(task: Task, begin: Begin) -> Work:
    """The loop in this process, without Ray, without checkpoints."""
    config = _run(task)
    begin()

    def run() -> Outputs:
        torch.set_num_threads(task.values["threads"])
        session = Session(Worker(0, 1, torch.device(task.device)))
        train_loop(config, session)
        return _measured(session.rows)

    return Work(run, lambda: None)


def ray_train(task: Task, begin: Begin) -> Work:
    """The same on Ray Train, with the workers and cores that the task names, checkpoints and all."""
    if cores := task.values.get("cores"):
        keep_to_cores(cores)
    config = _run(task)
    begin()

    def run() -> Outputs:
        rows: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory(dir=task.folder) as folder, own_ray():
            run_training(train_loop, config, Path(folder), "bench", config.settings.run, on_row=[rows.append])
        return _measured(rows)

    return Work(run, lambda: None)


def _run(task: Task) -> RetrievalRun:
    values = task.values
    run = {
        "workers": values.get("workers", 1),
        "threads": values["threads"],
        "compile": values.get("compile", "off"),
    }
    settings = RetrievalSettings.model_validate(
        {
            "size": values["size"],
            "epochs": values["epochs"],
            "batch_size": values["batch"],
            "seed": task.seed,
            "run": run,
        }
    )
    pairs = drawn_pairs(task.seed)
    model = fresh_model(pairs, DIM, settings)
    return RetrievalRun(settings, model.config, model.tokenizer, model.state_dict(), pairs, validation=None)


def _measured(rows: list[dict[str, Any]]) -> Outputs:
    """The time of all steps at the pace from the first told step on, and the losses of the epochs."""
    epochs = {row["epoch"]: row["loss"] for row in rows}  # the last row of an epoch has its mean
    first, last = rows[0], rows[-1]
    steps = last["step"] - first["step"]
    seconds = (last["time"] - first["time"]) * last["step"] / max(1, steps)
    return {"seconds": np.array(seconds), "loss": np.array(list(epochs.values()))[None]}
