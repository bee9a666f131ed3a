"""A Ray for one repeat: while another side is measured, none of its processes is there to disturb it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from cico_platform.cluster import connect

LONGEST_END = 30.0


def keep_to_cores(count: int) -> None:
    """Let this process, and those that it starts, Ray's among them, have so many cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


@contextmanager
def own_ray() -> Iterator[None]:
    """Ray, as `connect` starts it, ended with all its processes; those that outlive it are killed.

    An idle Ray takes 5 to 10% of a core, and a loop on all cores waits for that at each operation. Other
    children of this process, such as one that decodes, stay: nothing waits for them.
    """
    import ray

    others = set(psutil.Process().children())
    connect()
    daemons = [child for child in psutil.Process().children() if child not in others]
    try:
        yield
    finally:
        processes = [*daemons, *(child for daemon in daemons for child in _below(daemon))]
        ray.shutdown()
        _, alive = psutil.wait_procs(processes, timeout=LONGEST_END)
        for process in alive:
            process.kill()


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []
