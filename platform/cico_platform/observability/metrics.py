"""What the search service counts, in Prometheus' text format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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
        self.clips = Gauge("cico_index_clips", "Clips in the live collection.", registry=self.registry)
        self.upload_bytes = Counter("cico_upload_bytes", "Bytes of videos received.", registry=self.registry)

    def text(self) -> bytes:
        """All of it, as Prometheus scrapes it."""
        return generate_latest(self.registry)
