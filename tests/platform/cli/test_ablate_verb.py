"""`cico ablate` prints a table for people and one JSON object for programs; bad input is told in words."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cico_command import Cico
from sign_features import write_features


def test_the_printed_grid_and_settings_are_files_to_start_from(cico: Cico, tmp_path: Path) -> None:
    grid = cico("ablate", "--print-grid")
    assert yaml.safe_load(grid.stdout)["vary"]["stride"] == [1, 2, 4]
    (tmp_path / "grid.yaml").write_text(grid.stdout)
    assert cico("ablate", "--print-grid", "--grid", tmp_path / "grid.yaml").stdout == grid.stdout
    full = cico("ablate", "--print-config", "--set", "noise=0.5")
    assert yaml.safe_load(full.stdout)["noise"] == 0.5


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_grid_becomes_a_table_and_one_json_object(cico: Cico, tiny_corpus: Path, tmp_path: Path) -> None:
    features = write_features(tiny_corpus, tmp_path / "features", {"agnostic": 3.0, "aware": 0.1}, 0.25)
    (tmp_path / "grid.yaml").write_text("parts:\n- title: Whole\n- title: Again\n")
    (tmp_path / "run.yaml").write_text("epochs: 2\nbatch_size: 8\nrun:\n  workers: 0\n")
    command = (
        "ablate", tiny_corpus, "--features", features, "--out", tmp_path / "out", "--json", "--seeds", 1,
        "--grid", tmp_path / "grid.yaml", "--config", tmp_path / "run.yaml", "--set", "lr=0.001",
    )  # fmt: skip
    program = "from cico_platform.cli.main import run; run()"  # in a process: a fresh Ray prints nothing
    arguments = [sys.executable, "-c", program, *map(str, command)]
    found = subprocess.run(arguments, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    (line,) = found.stdout.splitlines()
    result = json.loads(line)
    assert (result["done"], result["skipped"]) == (1, 0), "equal rows share a training"
    assert (result["settings"]["epochs"], result["settings"]["lr"]) == (2, 0.001)
    assert "Whole" in found.stderr
    again = json.loads(cico(*command).stdout)
    assert (again["done"], again["skipped"], again["rows"]) == (0, 1, result["rows"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--split", "dev"], "not 'dev'"),
        (["--seeds", "0"], "setting 'seeds'"),
        (["--grid", "none.yaml"], "there is no such file"),
        (["--set", "alpha=2"], "setting 'alpha' (--set)"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    cico: Cico, tiny_corpus: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    found = cico("ablate", tiny_corpus, "--features", tmp_path, "--out", tmp_path / "out", *arguments)
    assert found.returncode == 2
    assert said in found.stderr.replace("\n", " ")
    assert "Traceback" not in found.stderr
