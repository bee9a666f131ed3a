"""`cico doctor` says what this machine has, and what to do where it lacks something."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cico_platform.cli.doctor import browser, codecs, disk, doctor, packages, processor


@pytest.fixture
def run() -> Any:
    app = typer.Typer()
    app.command()(doctor)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return invoke


def test_json_is_one_object_and_people_read_the_other_stream(run: Any) -> None:
    done = run("--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 0
    assert report["ready"] is True
    assert set(report["checks"]) == {
        *("python", "packages", "processor", "memory", "disk", "codecs", "gpu", "browser"),
    }
    assert "ready" in done.stderr


def test_versions_are_those_that_are_installed() -> None:
    import torch

    assert packages().details["versions"]["torch"] == torch.__version__


def test_precision_agrees_with_the_encoder() -> None:
    from cico_model.precision import supports_bfloat16

    assert (processor().details["auto_precision"] == "bfloat16") == supports_bfloat16()


def test_codecs_are_those_that_the_corpus_needs() -> None:
    found = codecs()
    assert found.status == "ok"
    assert "h264" in found.details["reads"]
    assert found.details["writes"] == ["libx264"]


def test_disk_is_looked_at_where_the_work_will_be_written(tmp_path: Path) -> None:
    found = disk(tmp_path / "not" / "yet" / "there")
    assert found.details["folder"] == str(tmp_path)
    assert found.details["free_gib"] > 0


def test_missing_browser_is_a_note_with_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = browser()
    assert found.status == "note"
    assert "make browser" in found.remedy


def test_a_package_that_does_not_load_is_a_failure_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "av.py").write_text("raise ImportError('libavcodec is broken')\n")
    code = "import typer; from cico_platform.cli.doctor import doctor; typer.run(doctor)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["ready"] is False
    assert report["checks"]["codecs"]["status"] == "fail"
    assert "libavcodec is broken" in report["checks"]["codecs"]["found"]
    assert "Traceback" not in done.stderr
