"""Prometheus metrics of one application, or of all workers where there are several."""

import os
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

WORKERS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The library's variable: where several workers lay their metrics. It is read at import."""

_T = TypeVar("_T")
_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Stage(Protocol):
    """What is told how long a stage took."""

    def observe(self, seconds: float, /) -> None:
        """Notes one."""
        ...


class Metrics:
    """All metrics, in a registry of their own, so that applications do not share counts."""

    def __init__(self) -> None:
        """Several workers add up what they count in the folder that ``WORKERS_FOLDER`` names."""
        self._has_workers = WORKERS_FOLDER in os.environ
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "mutualrec_requests",
            "Requests by route, method and status.",
            ["route", "method", "status"],
            registry=registry,
        )
        self.latency = Histogram(
            "mutualrec_request_seconds",
            "Seconds from request to response by route.",
            ["route"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        # Finding a metric by its labels takes longer than counting.
        self._of_requests: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._of_events: dict[tuple[str, str], Counter] = {}
        self.model = Gauge(
            "mutualrec_model_info",
            "1 for the version each catalog serves.",
            ["catalog", "version"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.published = Gauge(
            "mutualrec_model_published_timestamp_seconds",
            "When the version each catalog serves was published.",
            ["catalog"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        stages = Histogram(
            "mutualrec_stage_seconds",
            "Seconds of a stage: redis (one operation), search (one search of the index), ranking"
            " (all of a recommendation that is computed, search and rules included).",
            ["stage"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self.redis_seconds: Stage = stages.labels("redis")
        self.search_seconds: Stage = stages.labels("search")
        self.ranking_seconds: Stage = stages.labels("ranking")
        self.swaps = Counter(
            "mutualrec_swaps", "Versions put in service.", ["catalog"], registry=registry
        )
        self.fallbacks = Counter(
            "mutualrec_fallbacks",
            "Answers by why they fall short: popular (no vector), padded, degraded (no Redis).",
            ["catalog", "reason"],
            registry=registry,
        )
        self._count_feedback(registry)
        self.unchecked = Counter(
            "mutualrec_rate_limit_unchecked",
            "Requests that passed uncounted because Redis did not reply.",
            registry=registry,
        )

    def count_events(self, catalog: str, outcome: str, number: int) -> None:
        """Notes what became of events."""
        key = (catalog, outcome)
        found = self._of_events.get(key)
        if found is None:
            found = self._of_events[key] = self.events.labels(*key)
        found.inc(number)

    def _count_feedback(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "mutualrec_events",
            "Events by outcome: accepted, duplicate, rejected.",
            ["catalog", "outcome"],
            registry=registry,
        )
        self.recommended = Counter(
            "mutualrec_recommendations",
            "Answers by experiment and arm, both empty outside of running experiments.",
            ["catalog", "experiment", "arm"],
            registry=registry,
        )
        self.attributed = Counter(
            "mutualrec_attributed_events",
            "Events that became of recommendations, by experiment and arm; repetitions left out.",
            ["catalog", "experiment", "arm", "type"],
            registry=registry,
        )

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Notes a request that was answered."""
        key = (route, method, status)
        found = self._of_requests.get(key)
        if found is None:
            found = (self.requests.labels(route, method, str(status)), self.latency.labels(route))
            self._of_requests[key] = found
        number, latency = found
        number.inc()
        latency.observe(seconds)

    def swapped(self, catalog: str, old: str | None, new: str, published_at: float) -> None:
        """Notes that a catalog serves another version, published at that time (epoch seconds)."""
        if old is not None:
            self.model.labels(catalog, old).set(0)
            if not self._has_workers:  # with several the library cannot remove
                self.model.remove(catalog, old)
        self.model.labels(catalog, new).set(1)
        self.published.labels(catalog).set(published_at)
        self.swaps.labels(catalog).inc()

    def render(self) -> bytes:
        """The metrics in Prometheus' text format."""
        if not self._has_workers:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # as it is
        return generate_latest(registry)


def timed(observe: Callable[[float], None], work: Callable[[], _T]) -> Callable[[], _T]:
    """`work`, telling how many seconds it took in whatever thread it runs."""

    def measured() -> _T:
        start = time.perf_counter()
        try:
            return work()
        finally:
            observe(time.perf_counter() - start)

    return measured
