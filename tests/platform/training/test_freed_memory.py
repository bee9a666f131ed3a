"""Memory that a step frees is there for the next one, in a thread too (a worker: `test_training_worker`)."""

import platform
import subprocess
import sys

import pytest

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
