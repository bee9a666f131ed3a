"""Sides of the row `index-building`: the same index, built by one worker and by two."""

import shutil
import time
from collections.abc import Callable

import numpy as np

from cico_platform.benchmarks.own_memory import OwnMemory
from cico_platform.benchmarks.own_ray import own_ray
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.side import Outputs, Work
from cico_platform.index.base import is_url, open_index
from cico_platform.index.serving_info import remove_collection
from cico_platform.pipelines import index_building
from cico_platform.pipelines.indexing import build_index

Begin = Callable[[], None]
ALIAS = "bench-index-building"


def build(task: Task, begin: Begin) -> Work:
    """From the inputs to a collection that is live; always on workers."""
    index_building.FEW_CLIPS = 0
    workers = int(task.values["workers"])
    where = task.values["server"] or str(task.folder / f"index-{workers}")
    begin()

    def run() -> Outputs:
        told: list[float] = []
        with own_ray(), OwnMemory(before=0) as memory:
            began, cpu = time.perf_counter(), time.process_time()
            summary = build_index(
                task.values["corpus"],
                task.values["features"],
                task.values["model"],
                where,
                ALIAS,
                on_progress=lambda *_, **__: told.append(time.perf_counter() - began),
                workers=workers,
            )
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        _remove(where, summary.details["collection"])
        figures = {
            "seconds": seconds,
            "clips": summary.done,
            "first_s": told[0],
            "filled_s": told[-1],
            "driver_cpu_s": cpu,
            "resident_mib": memory.mib,
        }
        return {name: np.array(value) for name, value in figures.items()}

    return Work(run, lambda: None)


def _remove(where: str, collection: str) -> None:
    if not is_url(where):
        shutil.rmtree(where)
        return
    with open_index(where) as index:
        remove_collection(index, collection)
