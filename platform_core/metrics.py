"""
What the process counts about itself, as Prometheus reads it; a registry per kernel, so that tests can have several.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from platform_core import __version__

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]  # twice the lines, and nobody asks when a counter began

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """
    What one kernel counts about itself.

    Attributes:
        registry: further collectors may be registered here.
        in_flight: requests that are being answered now.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "platform_http_requests_total",
            "Requests answered.",
            ("module", "route", "method", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "platform_http_request_duration_seconds",
            "From the first byte of the request to the last of the answer.",
            ("module", "route", "method"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "platform_http_requests_in_flight", "Requests being answered now.", registry=self.registry
        )
        self.redis_up = Gauge(
            "platform_redis_up", "Whether Redis answered the last time.", registry=self.registry
        )
        self.redis_failures = Gauge(
            "platform_redis_failures", "Packets that Redis did not answer.", registry=self.registry
        )
        self.standings_trusted = Gauge(
            "platform_standings_trusted",
            "Whether revocations are heard, so that cached sessions count.",
            registry=self.registry,
        )
        self.replica_lag = Gauge(
            "platform_replica_lag_seconds",
            "How old what the replica shows can be; infinite while it is away, 0 where there is none.",
            registry=self.registry,
        )
        self._deliveries = Counter(
            "platform_deliveries_total",
            "Attempts to deliver an event or run a job, by how they ended.",
            ("handler", "event", "outcome"),
            registry=self.registry,
        )
        self._delivery_durations = Histogram(
            "platform_delivery_duration_seconds",
            "What an attempt took.",
            ("handler",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._delivery_lags = Histogram(
            "platform_delivery_lag_seconds",
            "From the event to the end of an attempt to deliver it.",
            ("handler",),
            buckets=(*_BUCKETS, 60.0, 600.0, 3600.0),
            registry=self.registry,
        )
        self._sagas = Counter(
            "platform_sagas_total",
            "Sagas by what became of them; one that needs_attention waits for an operator.",
            ("saga", "outcome"),
            registry=self.registry,
        )
        self._loop_lags = Histogram(
            "platform_loop_lag_seconds",
            "How late the event loop was, where that is more than 0.1 s, by the task that held it up.",
            ("task",),
            buckets=(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
            registry=self.registry,
        )
        self.scheduler_acting = Gauge(
            "platform_scheduler_acting",
            "Whether this process is the scheduler that acts.",
            registry=self.registry,
        )
        build = Gauge("platform_build_info", "Always 1.", ("version",), registry=self.registry)
        build.labels(__version__).set(1)
        ProcessCollector(registry=self.registry)
        # finding a child by its labels costs more than counting in it
        self._children: dict[tuple[str, str, str, int], tuple[Counter, Histogram]] = {}
        self._delivery_children: dict[tuple[str, str, str], tuple[Counter, Histogram, Histogram]] = {}

    def request(self, module: str, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request; `route` is a template, never a path, so that the labels stay few."""
        key = (module, route, method, status)
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = (
                self._requests.labels(module, route, method, str(status)),
                self._durations.labels(module, route, method),
            )
        children[0].inc()
        children[1].observe(seconds)

    def delivery(self, handler: str, event: str, outcome: str, lag_seconds: float, seconds: float) -> None:
        """
        Count one attempt at a delivery: `done`, `failed`, `dead`, `parked` or `lost`.

        Args:
            event: its name; empty for a job.
            lag_seconds: from the event to the end of the attempt.
            seconds: what the attempt took.
        """
        key = (handler, event, outcome)
        children = self._delivery_children.get(key)
        if children is None:
            children = self._delivery_children[key] = (
                self._deliveries.labels(*key),
                self._delivery_lags.labels(handler),
                self._delivery_durations.labels(handler),
            )
        children[0].inc()
        children[1].observe(max(lag_seconds, 0.0))
        children[2].observe(seconds)

    def saga(self, name: str, outcome: str) -> None:
        """Count one saga that has ended, or waits for an operator."""
        self._sagas.labels(name, outcome).inc()

    def loop_lag(self, task: str, seconds: float) -> None:
        """Note that the event loop was late; `task` is a route's template, a handler or a coroutine's name."""
        self._loop_lags.labels(task).observe(seconds)

    def render(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)
