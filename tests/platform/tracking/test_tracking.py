"""Trackers keep each figure of each step once, whatever happens to a run; one that fails ends nothing."""

import json
import logging
import socket
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cico_platform.errors import InputError
from cico_platform.tracking.event_files import PATTERN, read_scalars
from cico_platform.tracking.trackers import Trackers, TrackingSettings, open_trackers

ROWS: list[dict[str, Any]] = [
    {"epoch": 1, "step": 10, "loss": 3.5, "lr": 0.125, "samples_per_second": 900.0, "time": 1e9},
    {"epoch": 2, "step": 20, "loss": 2.5, "lr": 0.0625, "t2v_R@1": 50.0, "v2t_R@1": 48.0, "time": 1e9 + 5},
    {"epoch": 3, "step": 30, "loss": 1.5, "lr": 0.03125, "time": 1e9 + 9},
]


def points(folder: Path, name: str) -> list[tuple[int, float]]:
    """A curve of TensorBoard's files, as it was written."""
    return [(p.step, p.value) for p in read_scalars(folder / "tensorboard") if p.name == name]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def scrape(port: int) -> dict[tuple[str, str], float]:
    """Value of each series by its name and its labels but `run`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples]
    assert {sample.labels["run"] for sample in samples} == {"words"}
    return {
        (s.name, ",".join(v for k, v in sorted(s.labels.items()) if k != "run")): s.value for s in samples
    }


def test_tensorboard_shows_every_figure_over_its_step(tmp_path: Path) -> None:
    trackers = open_trackers(["tensorboard"], tmp_path, "run")
    for row in ROWS:
        trackers.log(row)
    assert points(tmp_path, "train/loss") == [(10, 3.5), (20, 2.5), (30, 1.5)], "before it is closed"
    trackers.close()
    assert points(tmp_path, "train/lr") == [(10, 0.125), (20, 0.0625), (30, 0.03125)]
    assert points(tmp_path, "train/epoch") == [(10, 1), (20, 2), (30, 3)]
    assert points(tmp_path, "validation/t2v_R1") == [(20, 50.0)]
    assert points(tmp_path, "validation/v2t_R1") == [(20, 48.0)]


def test_a_run_that_was_killed_writes_no_step_twice(tmp_path: Path) -> None:
    killed = open_trackers(["tensorboard"], tmp_path, "run")
    for row in ROWS[:2]:
        killed.log(row)
    (file,) = (tmp_path / "tensorboard").glob(PATTERN)
    with file.open("ab") as cut:
        cut.write(b"\x18\x00\x00\x00\x00\x00\x00\x00half a record")
    resumed = open_trackers(["tensorboard"], tmp_path, "run")
    for row in ROWS:  # it starts from an older checkpoint
        resumed.log(row)
    resumed.log({**ROWS[2], "loss": 9.0})
    resumed.close()
    assert points(tmp_path, "train/loss") == [(10, 3.5), (20, 2.5), (30, 1.5)]
    assert points(tmp_path, "validation/t2v_R1") == [(20, 50.0)]


def test_figures_that_come_later_for_the_same_step_are_kept(tmp_path: Path) -> None:
    trackers = open_trackers(["tensorboard"], tmp_path, "run")
    trackers.log({"epoch": 4, "loss": 1.0})
    trackers.log({"epoch": 4, "accuracy": 75.0})
    trackers.close()
    assert points(tmp_path, "train/loss") == [(4, 1.0)]
    assert points(tmp_path, "validation/accuracy") == [(4, 75.0)]


def test_prometheus_scrapes_the_last_figures_until_the_run_ends(tmp_path: Path) -> None:
    port = free_port()
    trackers = open_trackers([], tmp_path, "words", TrackingSettings(metrics_port=port))
    for row in ROWS:
        trackers.log(row)
    found = scrape(port)
    assert found[("cico_training_step", "")] == 30
    assert found[("cico_training_epoch", "")] == 3
    assert found[("cico_training_loss", "")] == 1.5
    assert found[("cico_training_learning_rate", "")] == 0.03125
    assert found[("cico_training_samples_per_second", "")] == 900.0
    assert found[("cico_training_validation_recall_percent", "1,t2v")] == 50.0
    assert found[("cico_training_rows_total", "")] == 3
    assert found[("cico_training_updated_timestamp_seconds", "")] == 1e9 + 9
    trackers.close()
    with pytest.raises(OSError, match="refused"):
        scrape(port)


def test_a_taken_port_costs_the_metrics_and_not_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as other, caplog.at_level(logging.WARNING):
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = TrackingSettings(metrics_port=other.getsockname()[1])
        trackers = open_trackers(["tensorboard"], tmp_path, "words", settings)
    assert trackers.names == ["tensorboard"]
    assert "prometheus no longer tracks this training" in caplog.text


def test_a_tracker_that_fails_is_dropped_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        asked = 0

        def log(self, row: Mapping[str, Any]) -> None:
            self.asked += 1
            raise ConnectionError("the server is away")

        def close(self) -> None:
            raise AssertionError("it was dropped")

    failing, kept = Failing(), open_trackers(["tensorboard"], tmp_path, "run")
    trackers = Trackers({"failing": lambda: failing, "kept": lambda: kept})
    with caplog.at_level(logging.WARNING):
        for row in ROWS:
            trackers.log(row)
        trackers.close()
    assert failing.asked == 1
    assert len(points(tmp_path, "train/loss")) == 3
    assert caplog.messages == ["failing no longer tracks this training: the server is away"]


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_whose_package_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"pip install 'cico-platform\[{name}\]'"):
        open_trackers([name], tmp_path, "run")
    with pytest.raises(InputError, match="not 'sacred'"):
        open_trackers(["sacred"], tmp_path, "run")


def test_mlflow_keeps_one_run_over_a_kill(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")
    settings = TrackingSettings(mlflow_uri=(tmp_path / "mlruns").as_uri(), project="signs")
    killed = open_trackers(["mlflow"], tmp_path, "run", settings, {"lr": 0.1, "tracking": {"project": "x"}})
    assert killed.names == ["mlflow"]
    for row in ROWS[:2]:
        killed.log(row)
    resumed = open_trackers(["mlflow"], tmp_path, "run", settings)
    for row in ROWS:
        resumed.log(row)
    resumed.close()
    client = mlflow.MlflowClient(settings.mlflow_uri)
    (run,) = client.search_runs([client.get_experiment_by_name("signs").experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert run.data.params == {"lr": "0.1", "tracking.project": "x"}
    curve = client.get_metric_history(run.info.run_id, "train/loss")
    assert sorted((m.step, m.value, m.timestamp) for m in curve) == [
        (10, 3.5, 1000000000000),
        (20, 2.5, 1000000005000),
        (30, 1.5, 1000000009000),
    ]
    assert [m.value for m in client.get_metric_history(run.info.run_id, "validation/t2v_R1")] == [50.0]


def test_weights_and_biases_keeps_one_run_over_a_kill_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")
    settings = TrackingSettings(wandb_mode="offline")
    for rows in (ROWS[:2], ROWS):
        trackers = open_trackers(["wandb"], tmp_path, "run", settings, {"lr": 0.1})
        for row in rows:
            trackers.log(row)
        assert trackers.names == ["wandb"]
        trackers.close()
    kept = json.loads((tmp_path / "wandb.json").read_text())
    assert kept["last"]["train/loss"] == 30
    assert kept["last"]["validation/t2v_R1"] == 20
    files = sorted((tmp_path / "wandb").glob(f"offline-run-*/run-{kept['run']}.wandb"))
    assert len(files) == 2
    values = [b"3.5" in file.read_bytes() for file in files]
    assert values == [True, False], "the first step is in the first file only"
