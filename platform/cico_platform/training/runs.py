"""Runs of Ray Train: quiet, elastic, resumed from their last checkpoint; the driver is told how they go."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pyarrow.fs
import ray
import ray.train
from ray.train import FailureConfig, RunConfig

from cico_platform.cluster import connect, is_started_here
from cico_platform.errors import CicoError
from cico_platform.ray_compat import TRAIN_ENVIRONMENT, torch_trainer
from cico_platform.settings import OnProgress
from cico_platform.storage import Place, absolute_place, is_remote, remove
from cico_platform.tracking.progress_actor import open_progress_actor
from cico_platform.training.checkpoints import CheckpointStore, State
from cico_platform.training.run_settings import RunSettings as RunSettings
from cico_platform.training.session import Launch, Session, describe, run_loop
from cico_platform.training.workers import this_process, this_worker

RUN_NAME, CHECKPOINTS = "run", "checkpoints"
POLL_SECONDS = 2.0
# Ray Train may repeat what the progress actor does not end (see there).
MOST_FAILURES = 1000
Config = TypeVar("Config")
OnRow = Callable[[dict[str, Any]], None]


def run_training(
    loop: Callable[[Config, Session], None],
    config: Config,
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
    launch = Launch(config, store, progress, settings.own_threads(), settings.checkpoint_seconds)
    with Watch(progress, on_progress, on_row):
        if settings.workers:
            _run_on_workers(loop, launch, folder, settings)
        else:
            _run_here(loop, launch)
    if reason := ray.get(progress.final.remote()):
        raise CicoError(f"training failed: {reason}")
    _, state, _ = store.last()
    if state is None or not state["done"]:
        raise CicoError("the training ended early; the same command goes on")
    return state


def _run_on_workers(
    loop: Callable[[Config, Session], None], launch: Launch[Config], folder: Place, settings: RunSettings
) -> None:
    trainer = torch_trainer(is_started_here())(
        lambda config: run_loop(loop, config["launch"], this_worker),
        train_loop_config={"launch": launch},
        scaling_config=settings.scaling(),
        run_config=_run_config(folder),
    )
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as error:
        reason = ray.get(launch.progress.final.remote()) or _cause(error)
        raise CicoError(f"training failed: {reason}") from error


def _run_here(loop: Callable[[Config, Session], None], launch: Launch[Config]) -> None:
    try:
        run_loop(loop, launch, this_process)
    except Exception as error:
        raise CicoError(f"training failed: {describe(error)}") from error


def clean_up(folder: Place) -> None:
    """Remove a run's checkpoints once its result is written."""
    for name in (RUN_NAME, CHECKPOINTS):
        remove(folder / name)


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
