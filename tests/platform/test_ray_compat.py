"""The installed Ray has every private name and setting that this project uses; only one module uses them."""

import inspect
import mmap
import re
from pathlib import Path

import pytest
import ray

from cico_platform import ray_compat
from cico_platform.ray_compat import CLEANER_CALLBACK, DATASETS_CALLBACK, hide_raylet_notices, torch_trainer

RAY = Path(ray.__file__).parent
PLATFORM = Path(ray_compat.__file__).parent
SETTINGS = sorted(
    {
        *ray_compat.ENVIRONMENT,
        *ray_compat.LOCAL_ENVIRONMENT,
        *ray_compat.TRAIN_ENVIRONMENT,
        *ray_compat.TUNE_ENVIRONMENT,
        *ray_compat.SERVE_ENVIRONMENT,
        ray_compat.SERVE_PROXY_MIDDLEWARES,
    }
)
# Native processes of Ray read settings too; these files hold their names.
NATIVE = ("_raylet.so", "core/src/ray/raylet/raylet", "core/src/ray/gcs/gcs_server")
FOLDERS = ("_private", "_common", "dashboard", "autoscaler", "train", "tune", "air", "serve")


@pytest.fixture(scope="module")
def python_of_ray() -> str:
    """Ray's Python code, as far as it reads settings."""
    files = [file for folder in FOLDERS for file in sorted((RAY / folder).rglob("*.py"))]
    return "\n".join(file.read_text(errors="ignore") for file in files if "/tests/" not in str(file))


@pytest.mark.parametrize("name", SETTINGS)
def test_ray_reads_each_setting(name: str, python_of_ray: str) -> None:
    if name in python_of_ray:
        return
    for path in NATIVE:
        with (RAY / path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(b"\0" + name.encode() + b"\0") >= 0:
                return
    pytest.fail(f"nothing in Ray {ray.__version__} reads {name}")


def test_the_switch_of_the_raylet_s_notices_is_read_where_they_are_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray._private import worker

    monkeypatch.setattr(worker, "_worker_logs_enabled", True)
    hide_raylet_notices()
    assert worker._worker_logs_enabled is False
    assert "if not _worker_logs_enabled:" in inspect.getsource(worker.print_worker_logs)


@pytest.mark.parametrize("is_local", [True, False])
def test_a_trainer_leaves_out_helpers_and_nothing_else(is_local: bool) -> None:
    from ray.train.torch import TorchTrainer

    def names(kind: type) -> list[str]:
        return [type(callback).__name__ for callback in kind(lambda: None)._create_default_callbacks()]

    whole, lean = names(TorchTrainer), names(torch_trainer(is_local))
    assert {DATASETS_CALLBACK, CLEANER_CALLBACK} <= set(whole)
    left_out = {DATASETS_CALLBACK, CLEANER_CALLBACK} if is_local else {DATASETS_CALLBACK}
    assert lean == [name for name in whole if name not in left_out]


def test_a_trainer_leaves_ctrl_c_to_its_caller() -> None:
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    wanted = inspect.signature(TorchTrainer._register_sigint_handler).parameters
    assert list(inspect.signature(torch_trainer(True)._register_sigint_handler).parameters) == list(wanted)
    assert "self._register_sigint_handler(controller)" in inspect.getsource(DataParallelTrainer)
    assert issubclass(TorchTrainer, DataParallelTrainer)


def test_no_other_module_names_what_is_private_to_ray() -> None:
    private = re.compile(r"ray(\.\w+)*\._(private|internal|raylet)|\"(RAY|TUNE)_(?!ADDRESS\b)\w+\"")
    found = [
        f"{file.relative_to(PLATFORM)}: {match.group()}"
        for file in sorted(PLATFORM.rglob("*.py"))
        if file.name != "ray_compat.py"
        for match in private.finditer(file.read_text())
    ]
    assert found == []
