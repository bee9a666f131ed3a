"""SIGTERM and Ctrl-C end a verb with one sentence, their exit code, and no process left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from tiny_corpus import write_corpus, write_encoder
from tiny_index import build_tiny_index

PROGRAM = "from cico_platform.cli.entry import run; run()"
GOES_ON = "finished work is kept, and the same command goes on from there"
MARK = "CICO_TEST_RUN"
# Sends itself SIGTERM as soon as a module begins to be imported.
WHILE_IMPORTING = """
import os, signal, sys, threading, time
def watch():
    while {module!r} not in sys.modules:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
from cico_platform.cli.entry import run
run()
"""
# A verb that doesn't end when it is asked to, and has a process of its own.
STUBBORN = """
import subprocess, sys, time
from cico_platform.cli import interruption
interruption.PATIENCE_SECONDS = {patience}
interruption.Interruption(["mine"]).listen()
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
try:
    print("working", flush=True)
    time.sleep(300)
except KeyboardInterrupt:
    print("asked", flush=True)
    time.sleep(300)
"""


class Run:
    """A program whose processes can all be found, whoever their parent is by now."""

    def __init__(self, program: str, *arguments: object) -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, MARK: self.mark},
            start_new_session=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def wait_until(self, true: Callable[[], object]) -> None:
        while not true():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def send(self, number: int, to_group: bool = False) -> None:
        (os.killpg if to_group else os.kill)(self.process.pid, number)

    def end(self) -> tuple[int, str]:
        """Its exit code, and all that it said to people."""
        _, said = self.process.communicate(timeout=180)
        return self.process.returncode, said

    def processes(self) -> list[psutil.Process]:
        """Those that it started, and itself."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    """Start programs; nothing of them outlives the test."""
    runs: list[Run] = []

    def begin(program: str, *arguments: object) -> Run:
        runs.append(Run(program, *arguments))
        return runs[-1]

    yield begin
    for run in runs:
        for process in run.processes():
            process.kill()
        run.process.communicate()


def stop_features(
    start: Callable[..., Run], tmp_path: Path, number: int, to_group: bool
) -> tuple[list[object], str]:
    """Send a signal while features are extracted; return the arguments, and what was said."""
    corpus, out = write_corpus(tmp_path / "corpus", train=40), tmp_path / "features"
    arguments = ["features", corpus, "--encoder", write_encoder(tmp_path / "encoder"), "--out", out, "--json"]
    run = start(PROGRAM, *arguments)
    run.wait_until(lambda: [*tmp_path.glob(".features.building-*/*.parquet")])
    assert any("raylet" in process.name() for process in run.processes())
    run.send(number, to_group)
    code, said = run.end()
    assert code == 128 + number
    assert run.processes() == []
    assert "Traceback" not in said
    assert "***" not in said, "a native stack trace"
    assert not out.exists()
    return arguments, said


def finishes(arguments: list[object]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["quarantined"] == 2


@pytest.mark.slow
def test_sigterm_ends_a_step_that_the_same_command_finishes(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    arguments, said = stop_features(start, tmp_path, signal.SIGTERM, to_group=False)
    assert said.splitlines()[-1] == f"stopped by SIGTERM: {GOES_ON}"
    assert said.count("stopped") == 1
    finishes(arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "to_group", "says"),
    [
        (signal.SIGTERM, True, f"stopped by SIGTERM: {GOES_ON}"),
        (signal.SIGINT, False, f"stopped: {GOES_ON}"),
        (signal.SIGINT, True, f"stopped: {GOES_ON}"),
    ],
)
def test_a_batch_system_and_ctrl_c_end_a_step_alike(
    start: Callable[..., Run], tmp_path: Path, number: int, to_group: bool, says: str
) -> None:
    arguments, said = stop_features(start, tmp_path, number, to_group)
    assert said.splitlines()[-1] == says
    finishes(arguments)


@pytest.mark.slow
def test_sigterm_while_ray_starts_leaves_no_process(start: Callable[..., Run], tmp_path: Path) -> None:
    corpus, encoder = write_corpus(tmp_path / "corpus"), write_encoder(tmp_path / "encoder")
    for part in ("gcs_server", "raylet"):
        run = start(PROGRAM, "features", corpus, "--encoder", encoder, "--out", tmp_path / "features")
        run.wait_until(lambda run=run, part=part: any(part in p.name() for p in run.processes()))
        run.send(signal.SIGTERM)
        code, said = run.end()
        assert (code, said.splitlines()) == (143, [f"stopped by SIGTERM: {GOES_ON}"]), part
        assert run.processes() == []


@pytest.mark.parametrize(
    ("module", "verb", "says"),
    [
        ("typer", "search", "stopped by SIGTERM\n"),
        ("typer", "demo", f"stopped by SIGTERM: {GOES_ON}\n"),
        ("ray", "demo", f"stopped by SIGTERM: {GOES_ON}\n"),
    ],
)
def test_sigterm_while_modules_are_imported_ends_in_a_sentence(
    start: Callable[..., Run], module: str, verb: str, says: str, tmp_path: Path
) -> None:
    words = ["boy"] if verb == "search" else ["--work-dir", tmp_path / "demo"]
    run = start(WHILE_IMPORTING.format(module=module), verb, *words)
    assert run.end() == (143, says)
    assert run.processes() == []


def test_a_second_signal_ends_what_does_not_end(start: Callable[..., Run]) -> None:
    run = start(STUBBORN.format(patience=200))
    assert run.line() == "working"
    run.wait_until(lambda: len(run.processes()) == 2)  # a process that has just begun shows no environment
    run.send(signal.SIGTERM)
    run.send(signal.SIGTERM)
    assert run.line() == "asked", "two signals at once are one"
    time.sleep(1.5)
    run.send(signal.SIGTERM)
    assert run.end() == (143, f"stopped by SIGTERM: {GOES_ON}\n")
    assert run.processes() == []


def test_what_does_not_end_is_ended_after_a_while(start: Callable[..., Run]) -> None:
    run = start(STUBBORN.format(patience=0.5))
    assert run.line() == "working"
    run.send(signal.SIGTERM)
    assert run.end() == (143, f"stopped by SIGTERM: {GOES_ON}\n")
    assert run.processes() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_terminated_service_says_so_and_leaves_no_process(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    build_tiny_index(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = start(PROGRAM, "serve", "--index", tmp_path / "index", "--port", port, "--json")
    address = json.loads(run.line())["address"]
    run.wait_until(lambda: httpx.get(f"{address}/readyz", timeout=60).status_code == 200)
    assert httpx.post(f"{address}/v1/search", json={"text": "boy"}, timeout=60).status_code == 200
    run.send(signal.SIGTERM)
    code, said = run.end()
    assert code == 143
    assert said.splitlines()[-1] == "stopped"
    assert "Traceback" not in said
    assert run.processes() == []
