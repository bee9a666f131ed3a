"""What the search service and a training count, in Prometheus' text format."""

import time
from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class SearchMetrics:
    """Requests, their stages and what is indexed; each service has its own registry.

    Examples
    --------
    >>> metrics = SearchMetrics()
    >>> metrics.requests.labels("/v1/search", "200").inc()
    >>> b'cico_requests_total{route="/v1/search",status="200"} 1.0' in metrics.text()
    True
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "cico_requests", "HTTP requests answered.", ["route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "cico_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=self.registry
        )
        self.stage_seconds = Histogram(
            "cico_search_stage_seconds",
            "Time in a stage of a search: encode, rank.",
            ["kind", "stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge("cico_searches_in_flight", "Searches being answered.", registry=self.registry)
        self.places = Gauge(
            "cico_search_places", "Searches by text that are taken at the same time.", registry=self.registry
        )
        self.clips = Gauge("cico_index_clips", "Clips in the live collection.", registry=self.registry)
        self.counted_alone = Counter(
            "cico_requests_counted_alone",
            "Requests that a replica counted alone against a client's rate: the shared count did not answer.",
            registry=self.registry,
        )
        self.upload_bytes = Counter("cico_upload_bytes", "Bytes of videos received.", registry=self.registry)

    def text(self) -> bytes:
        """All of it, as Prometheus scrapes it."""
        return generate_latest(self.registry)


class TrainingMetrics:
    """Where a training is, and how well it does; the label `run` names it.

    Examples
    --------
    >>> metrics = TrainingMetrics("words")
    >>> metrics.update({"step": 120, "loss": 1.5, "t2v_R@1": 50.0})
    >>> b'cico_training_step{run="words"} 120.0' in metrics.text()
    True
    """

    def __init__(self, run: str) -> None:
        self.run, self.registry = run, CollectorRegistry()
        self._rows = Counter("cico_training_rows", "Rows of figures.", ["run"], registry=self.registry)
        self._updated = self._gauge("updated_timestamp_seconds", "When the last row came.")
        self._gauges = {
            "step": self._gauge("step", "Steps of the optimiser."),
            "epoch": self._gauge("epoch", "Passes over the data."),
            "loss": self._gauge("loss", "Loss of the last row."),
            "lr": self._gauge("learning_rate", "Learning rate."),
            "samples_per_second": self._gauge("samples_per_second", "Samples trained on in a second."),
            "accuracy": self._gauge("validation_accuracy_percent", "Right signs of the validation split."),
        }
        self._recall = Gauge(
            "cico_training_validation_recall_percent",
            "R@k of the validation split.",
            ["run", "way", "k"],
            registry=self.registry,
        )

    def update(self, row: Mapping[str, float]) -> None:
        """Show the figures of a row; those that it lacks stay."""
        for name, value in row.items():
            way, found, k = name.partition("_R@")
            if found:
                self._recall.labels(self.run, way, k).set(value)
            elif name in self._gauges:
                self._gauges[name].labels(self.run).set(value)
        self._rows.labels(self.run).inc()
        self._updated.labels(self.run).set(row.get("time", time.time()))

    def text(self) -> bytes:
        """All of it, as Prometheus scrapes it."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, help_text: str) -> Gauge:
        return Gauge(f"cico_training_{name}", help_text, ["run"], registry=self.registry)


class MetricsServer:
    """Answers Prometheus over HTTP, in a thread, until it is closed.

    Raises
    ------
    OSError
        If the port is taken.
    """

    def __init__(self, registry: CollectorRegistry, port: int, host: str) -> None:
        self._server, self._thread = start_http_server(port, host, registry)

    def close(self) -> None:
        """Stop; the port is free afterwards."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
