"""One function over many items: in threads of this process where they are few, else as Ray tasks."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cico_platform.cluster import connect

T = TypeVar("T")
R = TypeVar("R")
THREADS = 16
# So many tasks wait for a worker; beyond that, submitting them only takes memory.
WAITING = 64


def on_workers(
    function: Callable[[T], R], items: Sequence[T], here: bool, cpus: float = 1.0
) -> Iterator[tuple[T, R]]:
    """Yield each item with its result, as they come.

    Parameters
    ----------
    here
        Whether threads of this process do it.
    cpus
        Logical CPUs of a task.
    """
    if here:
        with ThreadPoolExecutor(THREADS) as pool:
            yield from zip(items, pool.map(function, items), strict=True)
        return
    connect()
    import ray

    task: Any = ray.remote(_call).options(num_cpus=cpus, max_retries=3)
    waiting: dict[Any, T] = {}
    for item in items:
        if len(waiting) >= WAITING:
            yield from _ready(waiting)
        waiting[task.remote(function, item)] = item
    while waiting:
        yield from _ready(waiting)


def _call(function: Callable[[T], R], item: T) -> R:
    return function(item)


def _ready(waiting: dict[Any, T]) -> Iterator[tuple[T, Any]]:
    import ray

    done, _ = ray.wait(list(waiting), num_returns=1)
    for each in done:
        yield waiting.pop(each), ray.get(each)
