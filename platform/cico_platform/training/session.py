"""A worker's side of a run: the step it resumes from, what it reports, and its checkpoints."""

import errno
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from cico_platform.errors import CicoError
from cico_platform.training.checkpoints import CheckpointStore, State
from cico_platform.training.workers import Worker, agree, gather, random_state, set_random_state

Row = dict[str, Any]
Config = TypeVar("Config")
SECONDS_BETWEEN_ROWS = 2.0
# Writing checkpoints takes this part of the time at most: where writing is slow, there are fewer.
SHARE_OF_CHECKPOINTS = 0.02
COLLATERAL = ("gloo", "nccl", "connection", "socket", "process group", "collective")


class Session:
    """The run as a training loop sees it: where it resumes, whom it reports to, when checkpoints are written.

    Parameters
    ----------
    worker
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
        worker: Worker,
        store: CheckpointStore | None = None,
        progress: Any = None,
        interval: float = 30.0,
    ) -> None:
        self.worker, self.store, self.progress, self.interval = worker, store, progress, interval
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
        if self.worker.rank == 0:
            reason = "" if self.progress is None else _ask(self.progress.final)
        if self.worker.rank == 0 and not reason:
            step, self.restored, complaints = self.store.last(self.worker.device)
            for complaint in complaints:
                self.note(f"a damaged checkpoint was passed over, the one before is used: {complaint}")
            reason = "" if self.progress is None else _ask(self.progress.begin, step)
        step, reason = agree((step, reason), self.worker)
        if self.worker.rank != 0 and step and not reason:
            self.restored = self.store.load(step, self.worker.device)
        self._random = None if self.restored is None else self.restored["random"]
        self.step = self._steps_before = step
        self._due = step + 1
        self._began = self._told = self._saved = time.monotonic()
        return str(reason)

    def after_step(
        self, row: Callable[[], Row], state: Callable[[], State], *, end_of_epoch: bool, last: bool
    ) -> None:
        """Count a step; write a checkpoint if it is time. All workers call it after the same steps.

        Parameters
        ----------
        row
            Gives the metrics of the step; at the end of an epoch, those of the epoch. Called now and then,
            and at the end of each epoch, on the first worker.
        state
            Gives what a checkpoint holds, to which random states are added; called where one is written.
        last
            Whether this is the run's last step: then a checkpoint is written.
        """
        self.step += 1
        now = time.monotonic()
        if self.worker.rank == 0 and (end_of_epoch or now - self._told >= SECONDS_BETWEEN_ROWS):
            found = {"step": self.step, **row(), "workers": self.worker.count, "time": round(time.time(), 3)}
            self._tell(found)
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
        if len(states) == self.worker.count:
            set_random_state(states[self.worker.rank], self.worker.device)
        else:
            torch.manual_seed(self.step * 1009 + self.worker.rank)

    def _tell(self, row: Row) -> None:
        if self.progress is None:
            self.rows.append(row)
        else:
            self.progress.log.remote(row)

    def _maybe_save(self, state: Callable[[], State], last: bool) -> None:
        """Write a checkpoint if the first worker's clock says so, and agree on the step to look again at."""
        now = time.monotonic()
        passed = now - self._saved
        due = last or agree(passed >= self.interval, self.worker)
        if due:
            states = gather(random_state(self.worker.device), self.worker)
            if self.worker.rank == 0:
                self._write({**state(), "random": states, "done": last})
            self._saved = time.monotonic()
        pace = (now - self._began) / max(1, self.step - self._steps_before)
        writing = (self._saved - now) / SHARE_OF_CHECKPOINTS if due else 0.0
        wanted = max(self.interval, writing) - (0.0 if due else passed) if self.interval else 0.0
        # Not a collective operation a step: the next look comes after half of the time that is left.
        ahead = max(1, int(wanted / 2 / max(pace, 1e-6)))
        self._due = self.step + int(agree(ahead, self.worker))

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


@dataclass(frozen=True)
class Launch(Generic[Config]):
    """What a worker is started with.

    Attributes
    ----------
    config
        What the loop gets.
    store
        Where checkpoints go.
    progress
        The progress actor (`open_progress_actor`).
    threads
        CPU threads of each worker.
    interval
        Seconds between checkpoints.
    """

    config: Config
    store: CheckpointStore
    progress: Any
    threads: int
    interval: float


def run_loop(
    loop: Callable[[Config, Session], None], launch: Launch[Config], worker: Callable[[int], Worker]
) -> None:
    """Run a loop on this worker, unless the run is over; errors are reported."""
    progress = launch.progress
    try:
        session = Session(worker(launch.threads), launch.store, progress, launch.interval)
        if not session.begin():
            loop(launch.config, session)
    except Exception as error:
        message = describe(error)
        if not _collateral(error, message):
            final = isinstance(error, CicoError | FloatingPointError)
            _ask(progress.fail, message, final)
        raise


def _ask(method: Any, *arguments: Any) -> Any:
    """Call a method of the progress actor and wait for its answer."""
    import ray

    return ray.get(method.remote(*arguments))


def fetched(value: Any) -> Any:
    """Return what a reference to Ray's object store stands for; weights that are at hand are themselves."""
    if value is None or isinstance(value, Mapping):
        return value
    import ray

    return ray.get(value)


def describe(error: BaseException) -> str:
    """An error in a line, for people."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[0].strip() if lines else ""
    kind = type(error).__name__
    plain = isinstance(error, CicoError | FloatingPointError | ValueError) and text
    return text if plain else f"{kind}: {text}"


def _collateral(error: BaseException, message: str) -> bool:
    """Whether this is only another worker's end, as it is seen from here."""
    return isinstance(error, RuntimeError | OSError) and any(part in message.lower() for part in COLLATERAL)
