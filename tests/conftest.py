"""What tests share: where the reference material lies, and one Ray cluster a session."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
TESTS = Path(__file__).parent


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n`, give each process whole modules, and one of them all tests that share the page's service."""
    from xdist.scheduler import LoadScopeScheduling

    class Modules(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            module = Path(nodeid.partition("::")[0])
            return str(module.parent if module.parent.name == "browser" else module)

    return Modules(config, log)


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Inputs and outputs of the published implementation."""
    return TESTS / "golden"


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
    from cico_platform.serving.app import PROXY

    # The proxy of a service on this Ray reads them, as where `serve_index` starts Ray itself.
    for name, value in PROXY.items():
        os.environ.setdefault(name, value)
    connect()
    yield
    ray.shutdown()
