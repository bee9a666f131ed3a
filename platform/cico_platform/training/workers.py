"""The workers of a run: this process's rank and device, its share of a batch, and what they exchange."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from cico_platform.training.freed_memory import keep_freed_memory

T = TypeVar("T")


@dataclass(frozen=True)
class Worker:
    """This process among the workers of a run: its rank, how many there are, the device it computes on."""

    rank: int
    count: int
    device: torch.device

    def share(self, batch: Sequence[T]) -> list[T]:
        """Return this worker's part of a global batch, in order; workers' parts differ by one at most."""
        first, last = (len(batch) * r // self.count for r in (self.rank, self.rank + 1))
        return list(batch[first:last])


def chunks(count: int, size: int) -> list[range]:
    """Cut so many rows into chunks; their bounds do not depend on the number of workers.

    >>> chunks(5, 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def this_worker(threads: int) -> Worker:
    """This process as a worker of Ray Train; sets its CPU threads and keeps freed memory.

    A single worker needs no process group: the threads of one would only wait.
    """
    import ray.train.torch

    torch.set_num_threads(threads)
    keep_freed_memory()
    context = ray.train.get_context()
    rank, count = context.get_world_rank(), context.get_world_size()
    if count == 1 and dist.is_initialized():
        dist.destroy_process_group()
    device = ray.train.torch.get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)  # what is exchanged as an object goes through the current device
    return Worker(rank, count, device)


def this_process(threads: int) -> Worker:
    """This process as the only worker of a run, on its CPU."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    return Worker(0, 1, torch.device("cpu"))


def wrap(model: nn.Module, worker: Worker) -> nn.Module:
    """Return the model as several workers train it; one worker trains the model itself."""
    if worker.count == 1:
        return model
    ids = [worker.device.index] if worker.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(model, device_ids=ids)


def agree(value: T, worker: Worker) -> T:
    """Return the first worker's value, on every worker."""
    values: list[Any] = [value]
    if worker.count > 1:
        dist.broadcast_object_list(values, src=0)
    return values[0]  # type: ignore[no-any-return]


def gather(value: T, worker: Worker) -> list[T]:
    """Return all workers' values by rank, on every worker."""
    if worker.count == 1:
        return [value]
    values: list[Any] = [None] * worker.count
    dist.all_gather_object(values, value)
    return values


def gather_on_first(value: T, worker: Worker) -> list[T] | None:
    """Return all workers' values by rank on the first worker, None on the others."""
    if worker.count == 1:
        return [value]
    values: list[Any] | None = [None] * worker.count if worker.rank == 0 else None
    dist.gather_object(value, values, dst=0)
    return values


def share_buffers(model: nn.Module, worker: Worker) -> None:
    """Take the first worker's buffers (statistics of batch normalisation), as checkpoints and tests do."""
    if worker.count > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


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
