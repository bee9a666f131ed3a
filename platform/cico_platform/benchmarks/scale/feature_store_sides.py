"""Sides of the row `feature-store`: the start of a training on mapped features, and on features in memory."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cico_platform.benchmarks.own_memory import OwnMemory, own_bytes
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.side import Outputs, Work
from cico_platform.training.data.feature_rows import FeatureRows, MemoryRows
from cico_platform.training.data.feature_source import describe_source
from cico_platform.training.data.sampler import Sampler
from cico_platform.training.pairs import Pairs, PairSource
from cico_platform.training.retrieval import RetrievalSettings, fresh_model
from cico_platform.training.session import Session
from cico_platform.training.tasks.retrieval import RetrievalRun, train_loop
from cico_platform.training.workers import Worker

Begin = Callable[[], None]
# Batches whose features are read after the first step.
BATCHES_READ = 50


class _FirstStepDoneError(Exception):
    """Ends a training after its first step."""


class _OneStep(Session):
    """A session that ends the training after its first step."""

    def after_step(self, *_: Any, **__: Any) -> None:
        """End the training."""
        raise _FirstStepDoneError


def mapped(task: Task, begin: Begin) -> Work:
    """Open the features as a training worker does until its first step, then keep reading batches."""
    begin()
    before = own_bytes()
    return Work(lambda: _measure(task, before, _as_they_are), lambda: None)


def in_memory(task: Task, begin: Begin) -> Work:
    """The same with an array a clip in memory, and with the batches of all epochs planned at the start."""
    begin()
    before = own_bytes()
    return Work(lambda: _measure(task, before, _loaded), lambda: None)


def _as_they_are(pairs: Pairs, _: RetrievalSettings) -> tuple[Pairs, None]:
    return pairs, None


def _loaded(pairs: Pairs, settings: RetrievalSettings) -> tuple[Pairs, list[list[list[int]]]]:
    values = MemoryRows([pairs.features[number] for number in range(len(pairs))])
    sampler = Sampler(pairs.text_of_video, settings.batch_size, settings.seed)
    planned = [
        [sampler.batch(epoch, step).tolist() for step in range(sampler.steps(epoch))]
        for epoch in range(settings.epochs)
    ]
    return Pairs(list(pairs.video_ids), values, list(pairs.texts), pairs.text_of_video), planned


def _measure(
    task: Task, before: int, prepare: Callable[[Pairs, RetrievalSettings], tuple[Pairs, Any]]
) -> Outputs:
    settings = RetrievalSettings(
        tokenizer="clip", epochs=task.values["epochs"], batch_size=task.values["batch"], seed=task.seed
    )
    with OwnMemory(before) as memory:
        began = time.perf_counter()
        source = PairSource(task.values["corpus"], describe_source(task.values["features"]), "train")
        pairs, kept = prepare(source.open(), settings)
        _first_step(pairs, settings)
        first_step = time.perf_counter() - began
        rate = _read(pairs.features, Sampler(pairs.text_of_video, settings.batch_size, settings.seed))
        del kept
    return {
        "seconds": np.array(first_step),
        "rows_per_s": np.array(rate),
        "resident_mib": np.array(memory.mib),
    }


def _first_step(pairs: Pairs, settings: RetrievalSettings) -> None:
    """Make a model and train it for a step, as `train_retrieval` and its worker do."""
    model = fresh_model(pairs, pairs.features[0].shape[1], settings)
    run = RetrievalRun(settings, model.config, model.tokenizer, model.state_dict(), pairs, validation=None)
    try:
        train_loop(run, _OneStep(Worker(0, 1, torch.device("cpu"))))
    except _FirstStepDoneError:
        return


def _read(features: FeatureRows, sampler: Sampler) -> float:
    """Clips a second that become padded batches, each of them read for the first time."""
    steps = range(1, min(1 + BATCHES_READ, sampler.steps(0)))
    batches = [sampler.batch(0, step).tolist() for step in steps]
    began = time.perf_counter()
    for number, batch in enumerate(batches):
        features.prefetch(batches[number + 1] if number + 1 < len(batches) else [])
        features.batch(batch)
    return sum(map(len, batches)) / (time.perf_counter() - began)
