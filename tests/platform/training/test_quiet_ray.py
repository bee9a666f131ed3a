"""Beside a training, a Ray of one's own machine runs nothing that serves nobody there."""

from pathlib import Path
from typing import Any

import pytest

from cico_platform.training.runs import RunSettings, run_training
from cico_platform.training.session import Session


@pytest.mark.usefixtures("ray_cluster")
def test_no_helper_runs_that_has_nothing_to_do(tmp_path: Path) -> None:
    def loop(config: dict[str, Any], session: Session) -> None:
        import time

        import psutil
        import torch.distributed as dist

        assert not dist.is_initialized()
        raylet = psutil.Process().parent()
        assert raylet is not None
        seen: set[str] = set()
        for _ in range(20):  # some of Ray Train's processes start when the loop is running
            seen |= {" ".join(process.cmdline()) for process in raylet.children()}
            time.sleep(0.1)
        row = {"epoch": 1, "steps": 1, "loss": 0.0}
        found = {"seen": "\n".join(sorted(seen))}
        session.after_step(row, lambda: found, end_of_epoch=True, last=True)

    state = run_training(loop, {}, tmp_path / "run", "a-key", RunSettings(threads=1))
    assert "TrainController" in state["seen"]
    for helper in ("PreemptionWatcher", "PlacementGroupCleaner", "DatasetManager"):
        assert helper not in state["seen"]
