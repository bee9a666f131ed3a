"""Ray: join the cluster at an address, or start a small quiet one on this machine."""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

from cico_platform.errors import CicoError
from cico_platform.ray_compat import ENVIRONMENT, LOCAL_ENVIRONMENT, hide_raylet_notices

# Ray Data holds a logical CPU per actor; with no more of them than cores a resumed run can wait for ever.
MINIMUM_LOGICAL_CPUS = 6
LOCAL_OBJECT_STORE_BYTES = 1 << 30
LOCAL_START_ATTEMPTS = 2
_started_here = ""  # address of the Ray that `connect` started


def connect(address: str | None = None, **options: Any) -> None:
    """Join the Ray cluster at `address` (or `$RAY_ADDRESS`), or start one here, unless connected already.

    Raises
    ------
    CicoError
        If neither works.
    """
    global _started_here
    _set_defaults(ENVIRONMENT)
    import ray

    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS")
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        common["address"] = address
    else:
        _set_defaults(LOCAL_ENVIRONMENT)
        common |= {
            "address": "local",  # even where another Ray is running; that one has an address, too
            "num_cpus": max(os.cpu_count() or 1, MINIMUM_LOGICAL_CPUS),
            "object_store_memory": LOCAL_OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
    _start({**common, **options}, address)
    _started_here = "" if address else ray.get_runtime_context().gcs_address
    hide_raylet_notices()
    from ray.data import DataContext

    data = DataContext.get_current()
    data.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _start(options: dict[str, Any], address: str | None) -> None:
    """Join or start Ray; where it starts here and the machine is too busy for Ray's 30 s, try once more."""
    import ray

    for left in reversed(range(1 if address else LOCAL_START_ATTEMPTS)):
        try:
            with _quiet_native_start(), _kept_sigterm_handler():
                ray.init(**options)
            return
        except Exception as error:
            ray.shutdown()
            if left:
                continue
            where = f"no Ray cluster could be joined at {address}" if address else "Ray did not start here"
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise CicoError(f"{where}: {lines[0]}") from error


def is_started_here() -> bool:
    """Whether this process is connected to a Ray that it started, and that ends with it."""
    import ray

    return ray.is_initialized() and bool(ray.get_runtime_context().gcs_address == _started_here)


def given_device() -> str:
    """ "cuda" in an actor that Ray gave a GPU, else "cpu"."""
    import ray
    import torch

    return "cuda" if torch.cuda.is_available() and ray.get_gpu_ids() else "cpu"


def node_cores() -> list[int]:
    """Cores of each node that takes work; a head that was given no CPUs takes none.

    A Ray that was started here has more logical CPUs than this machine has cores: those of its nodes count as
    no more than that.
    """
    import ray

    here, cores = socket.gethostname(), os.cpu_count() or 1
    found = []
    for node in ray.nodes():
        cpus = int(node["Resources"].get("CPU", 0)) if node["Alive"] else 0
        if cpus:
            found.append(min(cpus, cores) if node["NodeManagerHostname"] == here else cpus)
    return found or [cores]


def threads_each(workers: int) -> int:
    """CPU threads of each of so many workers, spread evenly over nodes as small as the smallest."""
    nodes = node_cores()
    return max(1, min(nodes) // -(-workers // len(nodes)))


def _set_defaults(environment: dict[str, str]) -> None:
    for name, value in environment.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def _kept_sigterm_handler() -> Iterator[None]:
    """Let SIGTERM go on doing what this process chose; Ray would print a native stack trace and end it.

    Ray sets a handler of its own, which raises `SystemExit`, and then its native part another one.
    """
    chosen = signal.getsignal(signal.SIGTERM)
    if not callable(chosen) or threading.current_thread() is not threading.main_thread():
        yield
        return
    terminated = False
    try:
        yield
    except SystemExit as end:
        if end.code != signal.SIGTERM:
            raise
        terminated = True
    finally:
        signal.signal(signal.SIGTERM, chosen)
    if terminated:
        chosen(signal.SIGTERM, None)


@contextlib.contextmanager
def _quiet_native_start() -> Iterator[None]:
    """Keep Ray's native part from telling its log level on the terminal; errors still come as exceptions."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
