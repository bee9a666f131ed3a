"""A stand-in server as a process of its own, for tests: start, ask, set faults, kill, start again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import grpc

TESTS = Path(__file__).resolve().parents[1]
CONTROL = "/stand_in.Control/Call"


class StandInProcess:
    """A server on a free port, which it keeps over restarts, as it keeps its data.

    Parameters
    ----------
    data
        Folder of its collections.
    options
        As the command takes them: `"--strict"`, `"--api-key", "secret"`.
    """

    def __init__(self, data: Path, *options: str) -> None:
        self.data, self.options, self.port = data, options, 0
        self.url = ""
        self._process: subprocess.Popen[str] | None = None
        self._channel: grpc.Channel | None = None
        self.start()

    def start(self) -> None:
        """Start it; returns once it is up."""
        command = [sys.executable, "-m", "qdrant_stand_in", "--data", str(self.data)]
        path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            # Its standard input ends with this process, however that ends.
            [*command, "--port", str(self.port), "--until-eof", *self.options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"the stand-in server did not start: it ended with {self._process.wait()}")
        self.port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def wait(self) -> int:
        """How it ended, once it has."""
        assert self._process is not None
        return self._process.wait(timeout=60)

    def control(self, **asked: Any) -> dict[str, Any]:
        """Set `faults`, `reset` the traffic; returns the traffic and how many requests were struck."""
        if self._channel is None:
            self._channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        call = self._channel.unary_unary(CONTROL)
        answer: dict[str, Any] = json.loads(call(json.dumps(asked).encode(), timeout=30, wait_for_ready=True))
        return answer

    def close(self) -> None:
        """End it."""
        if self._channel is not None:
            self._channel.close()
        self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
