"""The steps that `benchmarks/gpu.sh` measures run; on a CPU here, with small networks."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.parametrize(
    ("part", "options", "unit"),
    [
        ("retrieval", [], "pairs_per_s"),
        ("retrieval", ["--before", "--optimizer", "published"], "pairs_per_s"),
        ("retrieval", ["--piece", "2"], "pairs_per_s"),
        ("sign-encoder", [], "windows_per_s"),
        ("sign-encoder", ["--before"], "windows_per_s"),
    ],
)
def test_a_step_is_measured(
    part: str,
    options: list[str],
    unit: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = importlib.util.spec_from_file_location("gpu_steps", FOLDER / "gpu_steps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    small = ["--size", "tiny", "--batch", "4", "--steps", "5", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["gpu_steps.py", part, *options, *small])
    module.main()
    row = json.loads(capsys.readouterr().out)
    assert row[unit] > 0
    assert (row["part"], row.get("before", False)) == (part, "--before" in options)


def test_the_script_is_sound() -> None:
    subprocess.run(["bash", "-n", str(FOLDER / "gpu.sh")], check=True)
