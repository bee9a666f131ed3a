"""Services in processes of their own, to be put under load: ours on Ray Serve, and a plain one."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx

from cico_platform.errors import CicoError
from cico_platform.observability.memory import tree_memory_bytes

START_SECONDS, STOP_SECONDS = 240.0, 60.0
MIB = 1 << 20
OURS = "from cico_platform.cli.main import run; run()"
PLAIN = "cico_platform.benchmarks.plain_service"
# Of Ray's workers: neither side shall get more of a busy machine than the other.
RAY_NICENESS = 15
# All of the load comes from one address; what is asked here is what the service does for many.
NO_LIMIT_A_CLIENT = "service.searches_per_client=100000"


class RunningService:
    """A service's process and all that it starts, from `with` until its end.

    Parameters
    ----------
    name
        For people.
    command
        What is run; it must answer `GET /readyz` on the port with 200 once it can be asked.
    log
        File of what it says.
    niceness
        How much it gives way to other processes.

    Raises
    ------
    CicoError
        If it does not get ready.
    """

    def __init__(self, name: str, command: list[str], port: int, log: Path, niceness: int = 0) -> None:
        self.name, self.log, self.address = name, log, f"http://127.0.0.1:{port}"
        self.began, self.ready_seconds = time.monotonic(), 0.0
        # A Ray of its own, even where another is at hand.
        environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
        with log.open("w") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        if niceness:
            os.setpriority(os.PRIO_PROCESS, self.process.pid, niceness)

    def wait_until_ready(self) -> None:
        """Return once it can be asked."""
        deadline = self.began + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.address}/readyz", timeout=10, trust_env=False).status_code == 200:
                    self.ready_seconds = time.monotonic() - self.began
                    return
            time.sleep(0.5)
        last = self.log.read_text(errors="replace").strip()[-500:]
        raise CicoError(f"the {self.name} service did not get ready: {last or 'it said nothing'}")

    def memory_mib(self) -> dict[str, float]:
        """MiB of its processes by title, shared pages counted once."""
        return {title: round(held / MIB, 1) for title, held in tree_memory_bytes(self.process.pid).items()}

    def __enter__(self) -> Self:
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask it to end, and wait for it."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def our_service(index: Path, folder: Path, *settings: str) -> RunningService:
    """`cico serve` on an index, with settings as `--set` takes them."""
    port = free_port()
    given = [word for setting in (NO_LIMIT_A_CLIENT, *settings) for word in ("--set", setting)]
    words = ["serve", "--index", str(index), "--port", str(port), *given]
    return RunningService("ours", [sys.executable, "-c", OURS, *words], port, folder / "ours.log")


def plain_service(index: Path, folder: Path) -> RunningService:
    """The same index and models behind one FastAPI process."""
    port = free_port()
    command = [sys.executable, "-m", PLAIN, str(index), str(port)]
    return RunningService("plain", command, port, folder / "plain.log", RAY_NICENESS)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
