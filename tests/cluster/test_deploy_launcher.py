"""`ray_cluster.yaml` is what Ray's cluster launcher accepts, and says what it promises."""

from typing import Any

import pytest
import ray
import yaml
from deployment_files import ROOT
from ray.autoscaler._private.util import prepare_config, validate_config


@pytest.fixture
def launcher() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    return config


def test_launcher_file_passes_rays_own_validation(launcher: dict[str, Any]) -> None:
    validate_config(prepare_config(launcher))


def test_launcher_rejects_a_misspelt_field(launcher: dict[str, Any]) -> None:
    """The validation above would see a mistake."""
    launcher["available_node_types"]["gpu_encoding"]["max_worker"] = 3
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(launcher))


def test_processors_decode_and_gpus_encode_within_limits(launcher: dict[str, Any]) -> None:
    kinds = launcher["available_node_types"]
    assert set(kinds) == {"head", "cpu_decoding", "gpu_encoding"}
    assert launcher["head_node_type"] == "head"
    assert kinds["head"]["resources"] == {"CPU": 0}
    assert "GPU" not in kinds["cpu_decoding"]["resources"]
    assert kinds["gpu_encoding"]["resources"]["GPU"] == 1
    for name in ("cpu_decoding", "gpu_encoding"):
        assert 1 <= kinds[name]["min_workers"] < kinds[name]["max_workers"] <= launcher["max_workers"]


def test_nodes_run_the_pinned_ray(launcher: dict[str, Any]) -> None:
    pinned = f"ray=={ray.__version__}"
    assert pinned in (ROOT / "constraints.txt").read_text().splitlines()
    images = [
        launcher["docker"]["image"],
        launcher["available_node_types"]["gpu_encoding"]["docker"]["worker_image"],
    ]
    for image in images:
        assert image.startswith(f"rayproject/ray:{ray.__version__}-")
