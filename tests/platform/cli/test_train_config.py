"""`cico train` takes its settings from a file, and writes such a file."""

from pathlib import Path

import pytest
import yaml
from cico_command import Cico


@pytest.mark.parametrize("kind", ["retrieval", "sign-encoder"])
def test_the_printed_settings_are_a_file_to_start_from(cico: Cico, tmp_path: Path, kind: str) -> None:
    printed = cico("train", kind, "--print-config", "--epochs", 3, "--set", "lr=0.25")
    assert printed.returncode == 0, printed.stderr
    values = yaml.safe_load(printed.stdout)
    assert (values["epochs"], values["lr"], values["seed"], values["size"]) == (3, 0.25, 0, "tiny")
    file = tmp_path / "run.yaml"
    file.write_text(printed.stdout)
    again = cico("train", kind, "--print-config", "--config", file, "--seed", 4, "--published")
    assert yaml.safe_load(again.stdout) == {**values, "seed": 4}
    file.write_text(printed.stdout.replace("epochs: 3", "epochs: 0"))
    wrong = cico("train", kind, "--print-config", "--config", file)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    line = printed.stdout.splitlines().index("epochs: 3") + 1
    assert f"setting 'epochs' ('{file}', line {line})" in wrong.stderr.replace("\n", "")


def test_arguments_are_needed_where_something_is_trained(cico: Cico) -> None:
    found = cico("train", "retrieval")
    assert found.returncode == 2
    assert "Missing argument" in found.stderr
