"""A worker of a training keeps the memory that it frees, and no process runs beside it that serves nobody."""

import platform
from typing import Any

import pytest

from cico_platform.training.runs import RunSettings, run_training
from cico_platform.training.session import Session


@pytest.fixture(scope="module")
def told(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a worker finds out: the page faults of a step, the processes of its Ray."""

    def loop(config: dict[str, Any], session: Session) -> None:
        import resource
        import time

        import psutil
        import torch
        import torch.distributed as dist

        def faults_so_far() -> int:
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

        before = 0
        for step in range(13):
            if step == 3:
                before = faults_so_far()
            kept = [torch.ones(size, 1 << 18) for size in (3, 12, 20, 7)]
            del kept
        faults = (faults_so_far() - before) // 10

        raylet = psutil.Process().parent()
        assert raylet is not None
        seen: set[str] = set()
        for _ in range(20):  # some of Ray Train's processes start when the loop is running
            seen |= {" ".join(process.cmdline()) for process in raylet.children()}
            time.sleep(0.1)
        found = {"faults": faults, "seen": "\n".join(sorted(seen)), "group": dist.is_initialized()}
        row = {"epoch": 1, "steps": 1, "loss": 0.0}
        session.after_step(lambda: row, lambda: found, end_of_epoch=True, last=True)

    run = tmp_path_factory.mktemp("worker") / "run"
    return run_training(loop, {}, run, "a-key", RunSettings(threads=1))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_worker_keeps_what_a_step_frees(told: dict[str, Any]) -> None:
    assert told["faults"] < 1000  # 5,000 to 11,000 where it goes back; Ray's own threads have a few


def test_no_helper_runs_that_has_nothing_to_do(told: dict[str, Any]) -> None:
    assert told["group"] is False, "a worker by itself has no process group"
    assert "TrainController" in told["seen"]
    for helper in ("PreemptionWatcher", "PlacementGroupCleaner", "DatasetManager"):
        assert helper not in told["seen"]
