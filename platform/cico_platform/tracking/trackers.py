"""Tracking of a training: the driver hands over rows of figures, trackers keep them for people to look at."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field

from cico_platform.errors import InputError
from cico_platform.observability.metrics import MetricsServer, TrainingMetrics
from cico_platform.settings import Settings
from cico_platform.tracking.event_files import EventFiles, last_steps
from cico_platform.tracking.rows import OnceEach, Row, step_of
from cico_platform.tracking.services import MlflowRun, WandbRun, check_installed

TrackerName = Literal["tensorboard", "mlflow", "wandb"]
TENSORBOARD_FOLDER = "tensorboard"
log = logging.getLogger(__name__)


class TrackingSettings(Settings):
    """Where the figures of a training go.

    Attributes
    ----------
    trackers
        Any of "tensorboard" (files beside the checkpoint), "mlflow" and "wandb" (each an extra to install).
    metrics_port
        The driver answers Prometheus on this port, at `/metrics`; 0 never.
    metrics_host
        The address that it listens on; "0.0.0.0" is every address.
    project
        Name of the experiment of MLflow, of the project of Weights & Biases.
    mlflow_uri
        Of the tracking server; empty takes `$MLFLOW_TRACKING_URI`, or the folder `mlruns` beside the
        checkpoint.
    wandb_mode
        "offline" writes files for `wandb sync`.
    """

    trackers: tuple[TrackerName, ...] = ("tensorboard",)
    metrics_port: int = Field(default=0, ge=0, le=65535)
    metrics_host: str = "127.0.0.1"
    project: str = "cico"
    mlflow_uri: str = ""
    wandb_mode: Literal["online", "offline"] = "online"


class Tracker(Protocol):
    """Keeps the rows of figures of one run."""

    def log(self, row: Row) -> None:
        """Keep a row: `step` or `epoch`, perhaps `time` in seconds since 1970, and figures.

        A figure that is there already for this step or a later one is left out: a run that goes on from a
        checkpoint repeats a few steps.
        """

    def close(self) -> None:
        """Write down what is still under way."""


def open_trackers(
    names: Sequence[str],
    folder: str | Path,
    run_name: str,
    settings: TrackingSettings | None = None,
    parameters: Row | None = None,
) -> "Trackers":
    """The trackers of a run as one, which never raises: a tracker that fails is dropped with a warning.

    Parameters
    ----------
    names
        Of trackers, as in `TrackingSettings.trackers`. Prometheus is there where `metrics_port` is set.
    folder
        Local folder of the run; one that tracked before goes on.
    run_name
        What the run is called where there are others.
    parameters
        Settings of the training, for trackers that list them; nested ones are named `a.b`.

    Raises
    ------
    InputError
        If a name is unknown, or its package isn't installed.
    """
    settings, home, flat = settings or TrackingSettings(), Path(folder), _flat(parameters or {})
    services = {"mlflow": MlflowRun, "wandb": WandbRun}
    makers: dict[str, Callable[[], Tracker]] = {}
    for name in names:
        if name == "tensorboard":
            makers[name] = lambda: TensorBoardFiles(home / TENSORBOARD_FOLDER)
        elif name in services:
            check_installed(name)
            makers[name] = lambda kind=services[name]: kind(home, run_name, settings, flat)  # type: ignore[misc]
        else:
            raise InputError(f"a tracker is one of tensorboard, {', '.join(services)}, not '{name}'")
    if settings.metrics_port:
        makers["prometheus"] = lambda: PrometheusEndpoint(
            run_name, settings.metrics_port, settings.metrics_host
        )
    return Trackers(makers)


class Tracked(Protocol):
    """Settings of a training that say where its figures go."""

    @property
    def tracking(self) -> TrackingSettings:
        """Where they go."""
        ...

    def model_dump(self) -> dict[str, Any]:
        """All settings."""
        ...


@contextmanager
def tracked(folder: Path, run_name: str, settings: Tracked) -> Iterator[Callable[[Row], None]]:
    """What takes the rows of a run while it goes, for all trackers that its settings name."""
    parameters = settings.model_dump()
    parameters.pop("tracking")  # a server's address may hold a password
    names = settings.tracking.trackers
    with closing(open_trackers(names, folder, run_name, settings.tracking, parameters)) as trackers:
        yield trackers.log


class Trackers:
    """Several trackers as one. Those that fail, at their opening or later, are dropped with a warning."""

    def __init__(self, makers: Mapping[str, Callable[[], Tracker]]) -> None:
        self._open: dict[str, Tracker] = {}
        for name, make in makers.items():
            self._try(name, lambda name=name, make=make: self._open.update({name: make()}))  # type: ignore[misc]

    @property
    def names(self) -> list[str]:
        """Those that still track."""
        return list(self._open)

    def log(self, row: Row) -> None:
        """Hand a row to each."""
        for name, tracker in list(self._open.items()):
            self._try(name, lambda tracker=tracker: tracker.log(row))  # type: ignore[misc]

    def close(self) -> None:
        """Close each; a second time does nothing."""
        for name, tracker in list(self._open.items()):
            self._try(name, tracker.close)
        self._open.clear()

    def _try(self, name: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # of whatever kind: the training is worth more
            self._open.pop(name, None)
            log.warning("%s no longer tracks this training: %s", name, error or type(error).__name__)


class TensorBoardFiles:
    """Event files for `tensorboard --logdir`; each row is on the disk when `log` returns."""

    def __init__(self, folder: Path) -> None:
        self._once = OnceEach(last_steps(folder))
        self._files = EventFiles(folder)

    def log(self, row: Row) -> None:
        """As `Tracker.log`."""
        found = self._once.new(row)
        if found:
            self._files.write(found, step_of(row), row.get("time"))

    def close(self) -> None:
        """As `Tracker.close`."""
        self._files.close()


class PrometheusEndpoint:
    """Figures of the last row, for Prometheus to scrape from the driver."""

    def __init__(self, run_name: str, port: int, host: str) -> None:
        self.metrics = TrainingMetrics(run_name)
        self._server = MetricsServer(self.metrics.registry, port, host)

    def log(self, row: Row) -> None:
        """As `Tracker.log`; a scrape sees the last row only, so that nothing is there twice."""
        self.metrics.update({name: value for name, value in row.items() if isinstance(value, int | float)})

    def close(self) -> None:
        """As `Tracker.close`; nothing listens any longer."""
        self._server.close()


def _flat(values: Row, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
