"""What tests share: where the reference material lies, and one Ray cluster a session."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Inputs and outputs of the published implementation."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The reference material beside the project: samples, real clips."""
    path = Path(__file__).resolve().parents[2] / "shared"
    if not path.is_dir():
        pytest.skip("the reference material (../shared) is not here")
    return path


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tests compute with small tensors: several threads would wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A real local Ray cluster, shared by the tests of a session."""
    import ray

    from cico_platform.cluster import connect

    connect()
    yield
    ray.shutdown()
