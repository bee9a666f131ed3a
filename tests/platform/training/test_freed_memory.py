"""Memory that a step frees is there for the next one, in a thread too."""

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cico_platform.training.runs import RunSettings, run_training
from cico_platform.training.session import Session

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

# As a training step does on Ray: in a thread, tensors of different sizes that live together and are freed.
STEPS = """
import resource, sys, threading, torch
from cico_platform.training.freed_memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    kept = [torch.ones(size, 1 << 18) for size in (3, 12, 20, 7)]  # 1 MiB a row
    del kept

def run():
    torch.set_num_threads(1)
    assert keep_freed_memory() if sys.argv[1] == "keep" else True
    for _ in range(3):
        step()
    before = faults()
    for _ in range(10):
        step()
    print((faults() - before) // 10)

thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def faults_of_a_step(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", STEPS, how], capture_output=True, text=True, check=True, timeout=120
    )
    return int(done.stdout)


@glibc
def test_a_step_finds_the_memory_of_the_one_before() -> None:
    freed, kept = faults_of_a_step("free"), faults_of_a_step("keep")
    assert freed > 1000  # 20 MiB, in pages of 4 KiB: given back and asked for again
    assert kept < freed / 100


@glibc
@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_of_a_training_keeps_it(tmp_path: Path) -> None:
    def loop(config: dict[str, Any], session: Session) -> None:
        import resource

        import torch

        def faults_so_far() -> int:
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

        before = 0
        for step in range(13):
            if step == 3:
                before = faults_so_far()
            kept = [torch.ones(size, 1 << 18) for size in (3, 12, 20, 7)]
            del kept
        found = {"faults": (faults_so_far() - before) // 10}
        session.after_step({"epoch": 1, "steps": 1, "loss": 0.0}, lambda: found, end_of_epoch=True, last=True)

    state = run_training(loop, {}, tmp_path / "run", "a-key", RunSettings(threads=1))
    assert state["faults"] < 1000  # 5,000 to 11,000 where it goes back; Ray's own threads have a few
