"""Runs of Ray Train: quiet, elastic, resumed from their last checkpoint; the driver is told how they go."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pyarrow.fs
import ray
import ray.train
from pydantic import Field, model_validator
from ray.train import FailureConfig, RunConfig, ScalingConfig

from cico_platform.cluster import connect, is_started_here, threads_each
from cico_platform.errors import CicoError, InputError
from cico_platform.ray_compat import TRAIN_ENVIRONMENT, torch_trainer
from cico_platform.settings import OnProgress, Settings
from cico_platform.storage import Place, absolute_place, is_remote, remove
from cico_platform.tracking.progress_actor import open_progress_actor
from cico_platform.training.checkpoints import CheckpointStore, State
from cico_platform.training.session import Session, describe, run_loop, this_process, this_worker

RUN_NAME, CHECKPOINTS = "run", "checkpoints"
POLL_SECONDS = 2.0
WORKER_CPUS = 0.5
# Ray Train may repeat what the progress actor does not end (see there).
MOST_FAILURES = 1000
PAIRS_OF_A_WORKER = 4
Loop = Callable[[dict[str, Any], Session], None]
OnRow = Callable[[dict[str, Any]], None]


class RunSettings(Settings):
    """How a training runs; none of it changes what is trained.

    Attributes
    ----------
    workers
        Processes that train together; one a GPU where there are GPUs. Each batch is shared out among them.
        0 trains in the calling process, without the seconds that processes take to start: for small
        trainings on a CPU. Nothing is tried again there; the same command goes on from the last checkpoint.
    min_workers
        Elastic, if it is less than `workers`: with fewer nodes the run goes on with so many at least, and
        takes workers back when there is room. 0: as many as `workers`.
    resize_seconds
        How often a run that has too few workers looks for room.
    threads
        CPU threads of each; 0 shares the cores out.
    checkpoint_seconds
        Time between checkpoints, the most that a fault costs. Where writing one takes long, they are rarer.
    keep
        Checkpoints that stay while it runs.
    store
        Folder of each node in which a copy of the features is kept, from which its workers read; "": hidden
        beside the features, or in the machine's temporary folder where these lie behind a URL.
    resume
        "auto" goes on from the last checkpoint, "never" starts anew.
    """

    workers: int = Field(default=1, ge=0)
    min_workers: int = Field(default=0, ge=0)
    resize_seconds: float = Field(default=30.0, gt=0)
    threads: int = Field(default=0, ge=0)
    checkpoint_seconds: float = Field(default=15.0, ge=0)
    keep: int = Field(default=2, ge=1)
    store: str = ""
    resume: Literal["auto", "never"] = "auto"

    @model_validator(mode="after")
    def _not_more_than_workers(self) -> "RunSettings":
        if self.min_workers > self.workers:
            raise ValueError(f"min_workers ({self.min_workers}) is more than workers ({self.workers})")
        return self

    def own_threads(self) -> int:
        """CPU threads of each worker on this cluster."""
        return self.threads or threads_each(max(1, self.workers))

    def scaling(self) -> ScalingConfig:
        """The workers, as Ray Train is told."""
        gpu = ray.cluster_resources().get("GPU", 0) >= (self.min_workers or self.workers)
        elastic = 0 < self.min_workers < self.workers
        return ScalingConfig(
            num_workers=(self.min_workers, self.workers) if elastic else self.workers,
            elastic_resize_monitor_interval_s=self.resize_seconds,
            use_gpu=gpu,
            # The elastic policy counts whole CPUs.
            resources_per_worker={"CPU": 1 if elastic else WORKER_CPUS, **({"GPU": 1} if gpu else {})},
        )


def run_training(
    loop: Loop,
    config: dict[str, Any],
    folder: Place,
    key: str,
    settings: RunSettings | None = None,
    on_progress: OnProgress | None = None,
    on_row: Sequence[OnRow] = (),
) -> State:
    """Run a training loop, on Ray Train or here, to its end; returns the state of the last checkpoint.

    Parameters
    ----------
    loop
        Runs on each worker, with `config` and a `Session`.
    config
        What the loop gets.
    folder
        Where checkpoints are kept, on this machine, on a shared disk or behind a URL. A run that is found
        there goes on.
    key
        What is trained, so that nothing else is gone on with.
    on_progress
        Told steps done, of how many, and how it goes in words.
    on_row
        Told each row of metrics.

    Raises
    ------
    CicoError
        If the training failed for good; the message is that of the worker.
    """
    settings = settings or RunSettings()
    for name, value in TRAIN_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    connect()
    folder = absolute_place(folder)
    store = CheckpointStore(folder / CHECKPOINTS, key, settings.keep)
    if settings.resume == "never":
        remove(store.folder)
    progress = open_progress_actor()
    options = {"threads": settings.own_threads(), "interval": settings.checkpoint_seconds}
    given = {**config, "progress": progress, "store": store, "options": options}
    with Watch(progress, on_progress, on_row):
        if settings.workers:
            _run_on_workers(loop, given, folder, settings)
        else:
            _run_here(loop, given)
    if reason := ray.get(progress.final.remote()):
        raise CicoError(f"training failed: {reason}")
    _, state, _ = store.last()
    if state is None or not state["done"]:
        raise CicoError("the training ended early; the same command goes on")
    return state


def _run_on_workers(loop: Loop, given: dict[str, Any], folder: Place, settings: RunSettings) -> None:
    trainer = torch_trainer(is_started_here())(
        lambda config: run_loop(loop, config, this_worker),
        train_loop_config=given,
        scaling_config=settings.scaling(),
        run_config=_run_config(folder),
    )
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as error:
        reason = ray.get(given["progress"].final.remote()) or _cause(error)
        raise CicoError(f"training failed: {reason}") from error


def _run_here(loop: Loop, given: dict[str, Any]) -> None:
    try:
        run_loop(loop, given, this_process)
    except Exception as error:
        raise CicoError(f"training failed: {describe(error)}") from error


def clean_up(folder: Place) -> None:
    """Remove a run's checkpoints once its result is written."""
    for name in (RUN_NAME, CHECKPOINTS):
        remove(folder / name)


def check_workers(workers: int, batch: int) -> None:
    """Refuse more workers than can share a batch, and the smaller one at the end of an epoch.

    Raises
    ------
    InputError
        If a worker had fewer than four of a batch.
    """
    if workers > 1 and PAIRS_OF_A_WORKER * workers > batch:
        raise InputError(
            f"{workers} workers can't share batches of {batch}: "
            f"each needs {PAIRS_OF_A_WORKER}; raise batch_size"
        )


def _run_config(folder: Place) -> RunConfig:
    """Ray Train's own files: beside the checkpoints, which are ours, and not what a run goes on from."""
    remove(folder / RUN_NAME)
    remote: Any = folder
    files = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(remote.fs)) if is_remote(folder) else None
    return RunConfig(
        name=RUN_NAME,
        storage_path=str(remote.path if is_remote(folder) else folder),
        storage_filesystem=files,
        failure_config=FailureConfig(max_failures=MOST_FAILURES),
    )


def _cause(error: BaseException) -> str:
    failures = getattr(error, "worker_failures", None) or {}
    cause: BaseException | None = next(iter(failures.values()), None)
    while cause is not None and (inner := getattr(cause, "cause", None) or cause.__cause__) is not None:
        cause = inner
    lines = [line for line in str(cause or error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class Watch:
    """Carries what the workers tell to the driver's progress and to whoever wants each row."""

    def __init__(self, progress: Any, on_progress: OnProgress | None, on_row: Sequence[OnRow]) -> None:
        self.progress, self.on_progress, self.on_row = progress, on_progress, on_row
        self._rows = self._notes = 0
        self._shown: dict[str, Any] = {}
        self._failure: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is None:
            self._look()
        elif kind is None:  # what the run itself failed of comes first
            raise self._failure

    def _poll(self) -> None:
        try:
            while not self._stop.wait(POLL_SECONDS):
                self._look()
        except Exception as error:  # of who was told; the training goes on, and is saved, before it is raised
            self._failure = error

    def _look(self) -> None:
        try:
            rows, notes = ray.get(self.progress.since.remote(self._rows, self._notes), timeout=10)
        except (ray.exceptions.RayError, TimeoutError):  # the end of the cluster, or a moment's trouble
            return
        self._rows, self._notes = self._rows + len(rows), self._notes + len(notes)
        for row in rows:
            self._shown |= row
            for tell in self.on_row:
                tell(row)
        if self.on_progress and (rows or notes):
            done, total = int(self._shown.get("step", 0)), int(self._shown.get("steps", 0))
            self.on_progress(done, total, note="; ".join([*notes, in_words(self._shown)]))


def in_words(row: dict[str, Any]) -> str:
    """How a training goes, in a few words.

    >>> in_words({"epoch": 3, "loss": 1.25, "lr": 1e-4, "t2v_R@1": 50.0, "v2t_R@1": 48.5})
    'epoch 3, loss 1.2500, lr 0.0001, validation R@1 50.0 / 48.5'
    """
    parts = [f"epoch {row['epoch']}"] if "epoch" in row else []
    if "loss" in row:
        parts.append(f"loss {row['loss']:.4f}")
    if "samples_per_second" in row:
        parts.append(f"{row['samples_per_second']:.0f} samples/s")
    if "lr" in row:
        parts.append(f"lr {row['lr']:.3g}")
    if "t2v_R@1" in row:
        parts.append(f"validation R@1 {row['t2v_R@1']:.1f} / {row['v2t_R@1']:.1f}")
    if "accuracy" in row:
        parts.append(f"validation accuracy {row['accuracy']:.1f}")
    return ", ".join(parts)
