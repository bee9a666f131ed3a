"""Runs of Ray Train: quiet, resumed from their last checkpoint, with progress that the driver can show."""

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
import torch.distributed as dist
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from torch import nn

from cico_model.engines import supports_bfloat16
from cico_platform.cluster import connect
from cico_platform.errors import CicoError, InputError
from cico_platform.settings import OnProgress

RUN_NAME = "run"
STATE_FILE = "state.pt"
HISTORY_FILE = "history.jsonl"
POLL_SECONDS = 0.5
SECONDS_BETWEEN_CHECKPOINTS = 5.0
# How often Ray Train's controller looks for a report, of which it takes one at a time; its 2 s cost more.
CONTROLLER_SECONDS = "0.25"
WORKER_CPUS = 0.5
State = dict[str, Any]


@dataclass(frozen=True)
class Worker:
    """This process's place among the workers of a run."""

    rank: int
    count: int
    device: torch.device

    def share(self, batch: list[int]) -> list[int]:
        """This worker's part of a global batch, in order; workers' parts differ by one at most."""
        first, last = (len(batch) * r // self.count for r in (self.rank, self.rank + 1))
        return batch[first:last]


def run_training(
    loop: Callable[[dict[str, Any]], None],
    config: dict[str, Any],
    folder: Path,
    workers: int,
    epochs: int,
    on_progress: OnProgress | None = None,
) -> State:
    """Run a training loop on Ray Train to its end; returns the state of the last checkpoint.

    Parameters
    ----------
    loop
        Runs on each worker; hands each epoch to a `Saver` and starts from `load_state`.
    config
        What the loop gets; `folder` is added.
    folder
        Where checkpoints are kept. A run that is found there goes on.
    workers
        Processes that train; one a GPU where there are GPUs.
    epochs
        For the progress.

    Raises
    ------
    CicoError
        If the training failed for good; the message is that of the worker.
    """
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", CONTROLLER_SECONDS)
    connect()
    gpu = ray.cluster_resources().get("GPU", 0) >= workers
    trainer = TorchTrainer(
        loop,
        train_loop_config={**config, "folder": str(folder)},
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=gpu,
            resources_per_worker={"CPU": WORKER_CPUS, **({"GPU": 1} if gpu else {})},
        ),
        run_config=RunConfig(
            name=RUN_NAME,
            storage_path=str(folder.resolve()),
            failure_config=FailureConfig(max_failures=2),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    with _Watch(folder / HISTORY_FILE, epochs, on_progress):
        try:
            result = trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise CicoError(f"training failed: {_cause(error)}") from error
    if result.checkpoint is None:
        raise CicoError("training ended without a checkpoint; run the same command again")
    with result.checkpoint.as_directory() as saved:
        return _read(Path(saved))


def clean_up(folder: Path) -> None:
    """Remove a run's checkpoints once its result is written."""
    shutil.rmtree(folder / RUN_NAME, ignore_errors=True)
    (folder / HISTORY_FILE).unlink(missing_ok=True)


def worker(threads: int) -> Worker:
    """This process as a worker; sets its CPU threads."""
    torch.set_num_threads(threads)
    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    return Worker(context.get_world_rank(), context.get_world_size(), device)


def wrap(model: nn.Module, place: Worker) -> nn.Module:
    """The model as several workers train it; by itself where there is but one."""
    if place.count == 1:
        return model
    ids = [place.device.index] if place.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(model, device_ids=ids)


def load_state(place: Worker) -> State | None:
    """The state of the run's last checkpoint, if it has one."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        return _read(Path(folder), place.device)


class Saver:
    """Writes down every epoch's metrics, and checkpoints as often as is worth while: every few seconds.

    A report to Ray Train takes longer than an epoch of a small model.
    """

    def __init__(self, place: Worker, folder: str) -> None:
        self.place, self.history = place, Path(folder) / HISTORY_FILE
        self._since = time.monotonic()

    def save(self, state: State, metrics: dict[str, Any], *, last: bool) -> None:
        """Note an epoch; all workers call it. The last epoch is always a checkpoint."""
        if self.place.rank == 0:
            with self.history.open("a", encoding="utf-8") as file:
                file.write(json.dumps(metrics) + "\n")
        due = last or time.monotonic() - self._since >= SECONDS_BETWEEN_CHECKPOINTS
        if agree(due, self.place):
            self._checkpoint(state, metrics)
            self._since = time.monotonic()

    def _checkpoint(self, state: State, metrics: dict[str, Any]) -> None:
        if self.place.rank != 0:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as temporary:
            torch.save(state, Path(temporary) / STATE_FILE)
            ray.train.report(metrics, checkpoint=Checkpoint.from_directory(temporary))


def agree(value: Any, place: Worker) -> Any:
    """The first worker's value, on every worker."""
    values = [value]
    if place.count > 1:
        dist.broadcast_object_list(values, src=0)
    return values[0]


def fast_bfloat16(device: torch.device) -> bool:
    """Whether autocast to bfloat16 pays on this device."""
    return device.type == "cuda" or supports_bfloat16()


def _read(folder: Path, device: torch.device | None = None) -> State:
    state: State = torch.load(folder / STATE_FILE, map_location=device or "cpu", weights_only=True)
    return state


def _cause(error: BaseException) -> str:
    failures = getattr(error, "worker_failures", None) or {}
    cause: BaseException | None = next(iter(failures.values()), None)
    while cause is not None and (inner := getattr(cause, "cause", None) or cause.__cause__) is not None:
        cause = inner
    lines = [line for line in str(cause or error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class _Watch:
    """Tells the driver's progress from the epochs that the workers have written down."""

    def __init__(self, history: Path, epochs: int, on_progress: OnProgress | None) -> None:
        self.history, self.epochs, self.on_progress = history, epochs, on_progress
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> None:
        if self.on_progress:
            self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self.on_progress:
            self._thread.join()

    def _poll(self) -> None:
        assert self.on_progress is not None
        while True:
            last = read_history(self.history)
            self.on_progress(last[-1]["epoch"] if last else 0, self.epochs)
            if self._stop.wait(POLL_SECONDS):
                return


def read_history(path: Path) -> list[dict[str, Any]]:
    """What the workers have reported, epoch by epoch; a repeated epoch counts once, as it was last."""
    if not path.is_file():
        return []
    rows: dict[int, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # a line that is being written, or was cut by a kill
            continue
        rows[int(row["epoch"])] = row
    return [rows[epoch] for epoch in sorted(rows)]


def check_workers(workers: int, batch: int) -> None:
    """Refuse more workers than a batch has pairs.

    Raises
    ------
    InputError
        If so.
    """
    if workers > batch:
        raise InputError(f"{workers} workers can't share batches of {batch}; raise batch_size")
