"""One function over many rows, in parallel on all cores, while telling how far it is."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cico_platform.cluster import connect, node_cores
from cico_platform.settings import OnProgress

Row = dict[str, Any]

# Rows of one task: a clip takes some hundredths of a second, a task costs about as much beside its clips.
ROWS_A_TASK = 16
# Few rows are still spread over so many tasks.
LEAST_TASKS = 8


def in_parallel(
    rows: Sequence[Row], task: Callable[[Row], Row], on_progress: OnProgress | None = None, few: int = 0
) -> list[Row]:
    """Results of `task` for every row, in the order in which they became ready.

    As many tasks run at once as there are cores. A Ray that was started here has more logical CPUs than that,
    and each task more would be one more process to start.

    Parameters
    ----------
    rows
        What a task is given; it should carry an id that the result repeats.
    task
        Runs on workers; a result with a `reason` that is not empty counts as quarantined in `on_progress`.
    on_progress
        Called with the number of results and of rows, before the first and after each.
    few
        Up to so many rows are computed by threads of this process: starting Ray would take longer.
    """
    if not rows:
        return []
    if len(rows) <= few:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return _collected(pool.map(task, rows), len(rows), on_progress)
    connect()
    import ray.data

    blocks = min(len(rows), max(LEAST_TASKS, -(-len(rows) // ROWS_A_TASK)))
    source = ray.data.from_items(list(rows), override_num_blocks=blocks)
    tasks = ray.data.TaskPoolStrategy(size=min(blocks, sum(node_cores())))
    return _collected(source.map(task, num_cpus=1, compute=tasks).iter_rows(), len(rows), on_progress)


def _collected(found: Iterable[Row], total: int, on_progress: OnProgress | None) -> list[Row]:
    results: list[Row] = []
    quarantined = 0
    if on_progress:
        on_progress(0, total)
    for result in found:
        results.append(result)
        quarantined += bool(result.get("reason"))
        if on_progress:
            on_progress(len(results), total, quarantined=quarantined)
    return results
