"""MLflow and Weights & Biases as trackers; neither is installed, nor used, unless someone asks for it."""

import importlib.util
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cico_platform.errors import InputError
from cico_platform.steps import write_json
from cico_platform.tracking.rows import OnceEach, Row, step_of

if TYPE_CHECKING:
    from cico_platform.tracking.trackers import TrackingSettings

MLFLOW_FILE, MLFLOW_FOLDER, WANDB_FILE = "mlflow.json", "mlruns", "wandb.json"
MLFLOW_OPTIONS = {
    # A server that is away must not hold a training's figures up for minutes, as it would by default.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # A folder needs no server and no database; MLflow would rather have one.
    "MLFLOW_ALLOW_FILE_STORE": "true",
}
# The start of a run waits as long; what is offline needs a second.
WANDB_SECONDS = 30.0


def check_installed(name: str) -> None:
    """Refuse a tracker whose package is missing.

    Raises
    ------
    InputError
        If so; it says what to install.
    """
    try:
        found = importlib.util.find_spec(name) is not None
    except ValueError:  # a module of this name was put into sys.modules without a specification
        found = False
    if not found:
        raise InputError(f"tracking with {name} needs a package: pip install 'cico-platform[{name}]'")


class MlflowRun:
    """A run of MLflow; its id is kept beside the checkpoint, so that a resumed training goes on with it."""

    def __init__(self, folder: Path, run_name: str, settings: "TrackingSettings", parameters: Row) -> None:
        for name, value in MLFLOW_OPTIONS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient
        from mlflow.entities import Param

        uri = settings.mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._client = MlflowClient(uri or (folder / MLFLOW_FOLDER).resolve().as_uri())
        known = _read(folder / MLFLOW_FILE)
        if known:
            self._run = str(known["run"])
            self._client.update_run(self._run, status="RUNNING")
        else:
            run = self._client.create_run(self._experiment(settings.project), run_name=run_name)
            self._run = str(run.info.run_id)
            kept = [Param(name, str(value)) for name, value in parameters.items()]
            self._client.log_batch(self._run, params=kept)
            write_json(folder / MLFLOW_FILE, {"run": self._run})
        self._once = OnceEach(self._last_steps())

    def log(self, row: Row) -> None:
        """As `Tracker.log`."""
        from mlflow.entities import Metric

        milliseconds = int(1000 * (row.get("time") or time.time()))
        found = self._once.new(row)
        if found:
            metrics = [Metric(name, value, milliseconds, step_of(row)) for name, value in found.items()]
            self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        """As `Tracker.close`."""
        self._client.set_terminated(self._run)

    def _experiment(self, name: str) -> str:
        known = self._client.get_experiment_by_name(name)
        return str(known.experiment_id if known else self._client.create_experiment(name))

    def _last_steps(self) -> dict[str, int]:
        names = self._client.get_run(self._run).data.metrics
        return {
            name: max(metric.step for metric in self._client.get_metric_history(self._run, name))
            for name in names
        }


class WandbRun:
    """A run of Weights & Biases, whose id and last steps are kept beside the checkpoint."""

    def __init__(self, folder: Path, run_name: str, settings: "TrackingSettings", parameters: Row) -> None:
        import wandb

        self._file = folder / WANDB_FILE
        known = _read(self._file)
        self._last: dict[str, int] = known.get("last", {})
        self._once = OnceEach(self._last)
        self._run = wandb.init(
            project=settings.project,
            name=run_name,
            id=known.get("run"),
            resume="allow",
            dir=str(folder),
            mode=settings.wandb_mode,
            config=dict(parameters),
            settings=wandb.Settings(
                console="off", silent=True, init_timeout=WANDB_SECONDS, x_disable_stats=True
            ),
        )
        # A figure is shown over the step of its row, whatever else was logged meanwhile.
        self._run.define_metric("*", step_metric="step")
        write_json(self._file, {"run": self._run.id, "last": self._last})

    def log(self, row: Row) -> None:
        """As `Tracker.log`."""
        step, found = step_of(row), self._once.new(row)
        if not found:
            return
        # Written down first: after a kill between the two a step is missing, never there twice.
        self._last |= dict.fromkeys(found, step)
        write_json(self._file, {"run": self._run.id, "last": self._last})
        self._run.log({**found, "step": step})

    def close(self) -> None:
        """As `Tracker.close`."""
        self._run.finish()


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found
