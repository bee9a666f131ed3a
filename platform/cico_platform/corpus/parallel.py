"""One function over many rows, in parallel on all cores, while telling how far it is."""

from collections.abc import Callable, Sequence
from typing import Any

from cico_platform.cluster import connect, node_cores
from cico_platform.settings import OnProgress

Row = dict[str, Any]

# Rows of one task: a clip takes some hundredths of a second, a task costs about as much beside its clips.
ROWS_A_TASK = 16
# Few rows are still spread over so many tasks.
LEAST_TASKS = 8


def in_parallel(
    rows: Sequence[Row], task: Callable[[Row], Row], on_progress: OnProgress | None = None
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
    """
    if not rows:
        return []
    connect()
    import ray.data

    blocks = min(len(rows), max(LEAST_TASKS, -(-len(rows) // ROWS_A_TASK)))
    source = ray.data.from_items(list(rows), override_num_blocks=blocks)
    tasks = ray.data.TaskPoolStrategy(size=min(blocks, sum(node_cores())))
    results: list[Row] = []
    quarantined = 0
    if on_progress:
        on_progress(0, len(rows))
    for result in source.map(task, num_cpus=1, compute=tasks).iter_rows():
        results.append(result)
        quarantined += bool(result.get("reason"))
        if on_progress:
            on_progress(len(results), len(rows), quarantined=quarantined)
    return results
