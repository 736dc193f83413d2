"""What the service counts, in Prometheus' text format."""

from collections.abc import Callable, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

type Stage = Literal["queue", "encode", "search", "documents"]
STAGES: tuple[Stage, ...] = ("queue", "encode", "search", "documents")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SPACE = "splade_anserini"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one service; their names begin with `splade_anserini_`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter("requests", "Answers.", ["endpoint", "status"], _SPACE, registry=self._registry)
        self.rejected = Counter("rejected", "Requests that were refused.", ["reason"], _SPACE, registry=self._registry)
        self.cached = Counter("cached", "Searches answered from the cache.", (), _SPACE, registry=self._registry)
        self.reload_failures = Counter(
            "reload_failures", "Changed indexes that could not be opened.", (), _SPACE, registry=self._registry
        )
        self.missing = Counter(
            "missing_shards", "Requests that a shard did not answer.", ["shard"], _SPACE, registry=self._registry
        )
        self.generation = self._gauge("index_generation", "How often an index was opened.", "index")
        self.documents = self._gauge("index_documents", "Documents that can be found.", "index")
        self._waiting = self._gauge("queue_length", "Work that waits for a thread.", "stage")
        self._pending = self._gauge("requests_pending", "Requests that run or wait.")
        self.request_seconds = self._histogram("request_seconds", "Seconds from request to answer.", "endpoint")
        stages = self._histogram("stage_seconds", "Seconds of a stage.", "stage")
        self.stages = {stage: stages.labels(stage) for stage in STAGES}

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, _SPACE, registry=self._registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, _SPACE, registry=self._registry, buckets=_SECONDS)

    def watch(self, pending: Callable[[], float], waiting: Mapping[str, Callable[[], float]]) -> None:
        """Read the number of requests, and of what waits for each thread, whenever metrics are asked for."""
        self._pending.set_function(pending)
        for stage, count in waiting.items():
            self._waiting.labels(stage).set_function(count)

    def text(self) -> bytes:
        """Return all metrics."""
        return generate_latest(self._registry)
