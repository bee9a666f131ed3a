"""A plan counts what the pipelines would do, and says where its rates come from."""

import json
from pathlib import Path

import pytest
import torch

from cico_model.sign_encoder import SignEncoder
from cico_platform.errors import InputError
from cico_platform.pipelines.device_rates import (
    PEAK_TFLOPS,
    bench_rate,
    device_rate,
    training_rates,
    window_operations,
)
from cico_platform.pipelines.plan import PlanSettings, plan

HOUR = PlanSettings(hours=1.0, clip_seconds=7.2, fps=25.0)  # 500 clips of 180 frames


def test_features_take_64_windows_a_clip_and_encoder_and_mining_takes_all() -> None:
    features, mining = plan("features", HOUR, device_rate("cpu")), plan("mine", HOUR, device_rate("cpu"))
    assert (features["clips"], features["frames"]) == (500, 90_000)
    assert features["windows"] == 500 * 64 * 2
    assert mining["windows"] == 500 * 165
    assert features["disk_gib"] == pytest.approx(500 * 64 * 2 * 1024 * 2 / 2**30, abs=0.01)
    assert mining["device_hours"] == pytest.approx(500 * 165 / mining["windows_per_second"] / 3600, rel=0.01)


def test_short_clips_have_fewer_windows_and_more_devices_share_the_time() -> None:
    short = PlanSettings(hours=1.0, clip_seconds=1.0, encoders=1, devices=4)
    found = plan("features", short, device_rate("a100"))
    assert found["windows"] == 3600 * 10
    assert found["hours"] == pytest.approx(found["device_hours"] / 4, abs=0.01)
    assert found["cores_per_device"] >= 1


def test_what_nobody_measured_is_called_an_estimate() -> None:
    assert {name for name in ("CPU", *PEAK_TFLOPS) if device_rate(name).basis == "measured"} == {
        "CPU",
        "h100",
    }
    half = device_rate("a100").windows / device_rate("h100").windows
    assert half == pytest.approx(PEAK_TFLOPS["a100"] / PEAK_TFLOPS["h100"])
    rates = training_rates(device_rate("h100"))
    assert (rates.windows_basis, rates.pairs_basis) == ("estimated", "measured")
    assert training_rates(device_rate("a100")).pairs == pytest.approx(half * rates.pairs)
    with pytest.raises(InputError, match="nothing is known of the device 'abacus'"):
        device_rate("abacus")


def test_the_operations_are_those_of_the_network() -> None:
    multiplied = 0

    def count(layer: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal multiplied
        assert isinstance(layer, torch.nn.Conv3d)
        multiplied += output.numel() * layer.weight[0].numel()

    with torch.device("meta"):
        encoder = SignEncoder(1).eval()
        clips = torch.empty(1, 3, 16, 224, 224)
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.Conv3d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        encoder(clips)
    assert window_operations() == 2 * multiplied


def test_ones_own_bench_is_a_measured_rate(tmp_path: Path) -> None:
    report = tmp_path / "bench.json"
    rows = [{"name": "bfloat16", "ours": {"median": 12.5, "unit": "windows/s"}}]
    report.write_text(json.dumps({"rows": rows, "machine": {"processor": "Mine"}, "quick": False}))
    rate = bench_rate(report, "bfloat16")
    assert (rate.device, rate.windows, rate.basis) == ("Mine", 12.5, "measured")
    with pytest.raises(InputError, match="int8"):
        bench_rate(report, "int8")
    report.write_text(json.dumps({"rows": rows, "machine": {"processor": "Mine"}, "quick": True}))
    with pytest.raises(InputError, match="quick"):
        bench_rate(report, "bfloat16")
    report.write_text("windows: many")
    with pytest.raises(InputError, match="does not tell"):
        bench_rate(report, "bfloat16")
