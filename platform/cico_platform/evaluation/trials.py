"""Trials of Ray Tune: trainings side by side, as many as the cluster has room for, each in a process."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from cico_platform.cluster import connect, node_cores, threads_each
from cico_platform.errors import CicoError
from cico_platform.evaluation.ranks import rank_queries
from cico_platform.ray_compat import TUNE_ENVIRONMENT
from cico_platform.training.retrieval import RetrievalSettings, train_retrieval
from cico_platform.training.run_settings import WORKER_CPUS

# A trial's own process waits for its training, whose workers Ray Train places apart from it.
TRIAL_CPUS = 0.1
# Lost with a node, or for want of memory; what a training itself fails of is never tried again.
TRIES = 3
OnTrial = Callable[[], None]


@dataclass(frozen=True)
class Trial:
    """One training and its ranks; all places are absolute, and `ranks` has one for each split."""

    title: str
    corpus: str
    features: str
    init: str | None
    model: str
    ranks: dict[str, str]
    settings: RetrievalSettings


def run_trials(trials: Sequence[Trial], concurrent: int = 0, on_trial: OnTrial | None = None) -> None:
    """Run trials to their ends; those that fail don't stop the others.

    Parameters
    ----------
    concurrent
        Most at a time; 0 takes as many as there are cores (or GPUs) for.
    on_trial
        Called whenever one has ended.

    Raises
    ------
    CicoError
        If some failed: it names the first and says why. What is done is done.
    """
    if not trials:
        return
    connect()
    workers = trials[0].settings.run.workers
    most = room(workers, concurrent)
    threads = threads_each(most * max(1, workers))
    scratch = Path(tempfile.mkdtemp(prefix="cico-trials-"))
    os.environ.update(TUNE_ENVIRONMENT)
    try:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(_run, trials=list(trials), threads=threads), {"CPU": TRIAL_CPUS}
            ),
            param_space={"number": tune.grid_search(list(range(len(trials))))},
            tune_config=tune.TuneConfig(max_concurrent_trials=most, reuse_actors=True),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(scratch),
                verbose=0,
                callbacks=[_Told(on_trial)] if on_trial else [],
                failure_config=tune.FailureConfig(max_failures=TRIES - 1),
            ),
        )
        results = tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    failed = [
        (trials[result.config["number"]].title, _reason(result))
        for result in results
        if result.config is not None and _reason(result)
    ]
    if failed:
        title, reason = failed[0]
        raise CicoError(
            f"{len(failed)} of {len(trials)} trainings failed; the first, {title}: {reason}. "
            "The others are kept: the same command goes on with what is missing"
        )


def room(workers: int, wanted: int = 0) -> int:
    """How many trainings of so many workers run beside each other: `wanted`, or one a GPU or core and worker.

    Whatever is started waits for its workers' places while it holds its own: there is room for both.
    """
    found = ray.cluster_resources()
    devices = int(found.get("GPU", 0)) or sum(node_cores())
    places = int(found.get("CPU", 1) / (TRIAL_CPUS + WORKER_CPUS * workers))
    return max(1, min(wanted or devices // max(1, workers), places))


def _run(config: dict[str, Any], trials: list[Trial], threads: int) -> dict[str, str]:
    """A trial, in its own process."""
    trial = trials[config["number"]]
    settings = trial.settings
    torch.set_num_threads(threads)
    if not settings.run.threads:
        run = settings.run.model_copy(update={"threads": threads})
        settings = settings.model_copy(update={"run": run})
    try:
        train_retrieval(trial.corpus, trial.features, trial.model, settings, trial.init)
        for split, out in trial.ranks.items():
            rank_queries(trial.corpus, trial.features, trial.model, split, out, settings.run.store)
    except CicoError as error:
        return {"failed": str(error)}
    return {"failed": ""}


def _reason(result: Any) -> str:
    if result.error is not None:
        lines = [line for line in str(result.error).splitlines() if line.strip()]
        return lines[-1] if lines else type(result.error).__name__
    metrics = result.metrics or {}
    return str(metrics.get("failed", "it was stopped"))


class _Told(tune.Callback):  # type: ignore[misc]
    """Passes the end of each trial on."""

    def __init__(self, on_trial: OnTrial) -> None:
        self.on_trial = on_trial

    def __reduce__(self) -> tuple[type, tuple[()]]:
        # Tune writes its state down, callbacks included; a terminal's bar can't be.
        return tune.Callback, ()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """As Tune calls it."""
        self.on_trial()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """As Tune calls it."""
        self.on_trial()
