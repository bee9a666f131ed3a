"""A worker's side of a run: its place, where it goes on, what it tells, and its checkpoints."""

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from torch import nn

from cico_model.precision import supports_bfloat16
from cico_platform.errors import CicoError
from cico_platform.training.checkpoints import CheckpointStore, State
from cico_platform.training.freed_memory import keep_freed_memory

Row = dict[str, Any]
SECONDS_BETWEEN_ROWS = 2.0
# A checkpoint may take this part of the time at most: where writing is slow, there are fewer.
SHARE_OF_CHECKPOINTS = 0.02
COLLATERAL = ("gloo", "nccl", "connection", "socket", "process group", "collective")


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


def this_worker(threads: int) -> Worker:
    """This process as a worker of Ray Train; sets its CPU threads, and keeps what it frees.

    Where it is the only one, there is no process group: its threads would wait for nobody.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    context = ray.train.get_context()
    rank, count = context.get_world_rank(), context.get_world_size()
    if count == 1 and dist.is_initialized():
        dist.destroy_process_group()
    return Worker(rank, count, ray.train.torch.get_device())


def this_process(threads: int) -> Worker:
    """This process as the only worker of a run, on its CPU."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    return Worker(0, 1, torch.device("cpu"))


class Session:
    """What a training loop asks for and reports to.

    Parameters
    ----------
    place
        This worker.
    store
        Where checkpoints go; None for a loop by itself.
    progress
        Where rows go (`open_progress_actor`); None for a loop by itself.
    interval
        Seconds between checkpoints.
    """

    def __init__(
        self,
        place: Worker,
        store: CheckpointStore | None = None,
        progress: Any = None,
        interval: float = 30.0,
    ) -> None:
        self.place, self.store, self.progress, self.interval = place, store, progress, interval
        self.rows: list[Row] = []
        self.restored: State | None = None
        self._random: list[dict[str, Any]] | None = None
        self.step = 0
        self._due = 1
        self._began = self._told = self._saved = time.monotonic()
        self._steps_before = 0

    def begin(self) -> str:
        """Find the state to go on from; returns why the run is over, or nothing. All workers call it."""
        if self.store is None:
            return ""
        step, reason = 0, ""
        if self.place.rank == 0:
            reason = "" if self.progress is None else ray.get(self.progress.final.remote())
        if self.place.rank == 0 and not reason:
            step, self.restored, complaints = self.store.last(self.place.device)
            for complaint in complaints:
                self.note(f"a damaged checkpoint was passed over, the one before is used: {complaint}")
            reason = "" if self.progress is None else ray.get(self.progress.begin.remote(step))
        step, reason = agree((step, reason), self.place)
        if self.place.rank != 0 and step and not reason:
            self.restored = self.store.load(step, self.place.device)
        self._random = None if self.restored is None else self.restored["random"]
        self.step = self._steps_before = step
        self._due = step + 1
        self._began = self._told = self._saved = time.monotonic()
        return str(reason)

    def after_step(self, row: Row, state: Callable[[], State], *, end_of_epoch: bool, last: bool) -> None:
        """Note a step; write a checkpoint if it is time. All workers call it after the same steps.

        Parameters
        ----------
        row
            Metrics of the step; at the end of an epoch, those of the epoch.
        state
            What to write, asked for only where it is written. Random states are added.
        last
            The run's last step: always a checkpoint.
        """
        self.step += 1
        now = time.monotonic()
        if self.place.rank == 0 and (end_of_epoch or now - self._told >= SECONDS_BETWEEN_ROWS):
            self._tell({"step": self.step, **row, "workers": self.place.count, "time": round(time.time(), 3)})
            self._told = now
        if self.store is not None and (last or self.step >= self._due):
            self._maybe_save(state, last)

    def note(self, message: str) -> None:
        """Tell people something, once."""
        if self.progress is not None:
            self.progress.note.remote(message)

    def resume_random(self) -> None:
        """Take this worker's random state from the checkpoint; after another number of workers, seed anew."""
        states, self._random = self._random, None
        if states is None:
            return
        if len(states) == self.place.count:
            set_random_state(states[self.place.rank], self.place.device)
        else:
            torch.manual_seed(self.step * 1009 + self.place.rank)

    def _tell(self, row: Row) -> None:
        if self.progress is None:
            self.rows.append(row)
        else:
            self.progress.log.remote(row)

    def _maybe_save(self, state: Callable[[], State], last: bool) -> None:
        """Write a checkpoint if the first worker's clock says so, and agree on the step to look again at."""
        now = time.monotonic()
        passed = now - self._saved
        due = last or agree(passed >= self.interval, self.place)
        if due:
            states = gather(random_state(self.place.device), self.place)
            if self.place.rank == 0:
                self._write({**state(), "random": states, "done": last})
            self._saved = time.monotonic()
        pace = (now - self._began) / max(1, self.step - self._steps_before)
        writing = (self._saved - now) / SHARE_OF_CHECKPOINTS if due else 0.0
        wanted = max(self.interval, writing) - (0.0 if due else passed) if self.interval else 0.0
        # Not a collective operation a step: the next look comes after half of the time that is left.
        ahead = max(1, int(wanted / 2 / max(pace, 1e-6)))
        self._due = self.step + int(agree(ahead, self.place))

    def _write(self, state: State) -> None:
        assert self.store is not None
        try:
            self.store.save(self.step, state)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                where = self.store.folder
                raise CicoError(
                    f"no space is left for a checkpoint in '{where}'; free some, and the same command goes on"
                ) from error
            raise


def run_loop(
    loop: Callable[[dict[str, Any], Session], None],
    config: dict[str, Any],
    worker: Callable[[int], Worker],
) -> None:
    """Run a loop on this worker, unless the run is over; what goes wrong is told."""
    progress, store, options = config["progress"], config["store"], config["options"]
    try:
        session = Session(worker(options["threads"]), store, progress, options["interval"])
        if not session.begin():
            loop(config, session)
    except Exception as error:
        message = describe(error)
        if not _collateral(error, message):
            final = isinstance(error, CicoError | FloatingPointError)
            ray.get(progress.fail.remote(message, final))
        raise


def fetched(value: Any) -> Any:
    """What a reference to Ray's object store stands for; anything else is itself."""
    return ray.get(value) if isinstance(value, ray.ObjectRef) else value


def describe(error: BaseException) -> str:
    """An error in a line, for people."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[0].strip() if lines else ""
    kind = type(error).__name__
    plain = isinstance(error, CicoError | FloatingPointError | ValueError) and text
    return text if plain else f"{kind}: {text}"


def wrap(model: nn.Module, place: Worker) -> nn.Module:
    """The model as several workers train it; by itself where there is but one."""
    if place.count == 1:
        return model
    ids = [place.device.index] if place.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(model, device_ids=ids)


def agree(value: Any, place: Worker) -> Any:
    """The first worker's value, on every worker."""
    values = [value]
    if place.count > 1:
        dist.broadcast_object_list(values, src=0)
    return values[0]


def gather(value: Any, place: Worker) -> list[Any]:
    """All workers' values, by rank, on every worker."""
    if place.count == 1:
        return [value]
    values: list[Any] = [None] * place.count
    dist.all_gather_object(values, value)
    return values


def random_state(device: torch.device) -> dict[str, Any]:
    """State of this process's random number generators, as it can be stored."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Go on from a `random_state`."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def takes_bfloat16(precision: str, device: torch.device, on_cpu: bool) -> bool:
    """Whether to compute in bfloat16: "auto" where the hardware has it and, on a CPU, it pays (`on_cpu`)."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return on_cpu and supports_bfloat16()


def _collateral(error: BaseException, message: str) -> bool:
    """Whether this is only another worker's end, as it is seen from here."""
    return isinstance(error, RuntimeError | OSError) and any(part in message.lower() for part in COLLATERAL)
