"""How far each read model is behind, for Prometheus; looked up by the scheduler that acts, and by nobody else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from platform_core._projections.replay import Replays

_STALE_SECONDS: Final = 60.0
"""A scheduler that does not act any more has nothing to say; another one has."""


class ProjectionGauges(Collector):
    """
    What is known of projections.

    Args:
        replays: knows which there are.
    """

    def __init__(self, replays: Replays) -> None:
        self._replays = replays
        self._seen_at = 0.0
        self._rows: Sequence[dict[str, Any]] = ()

    async def look(self) -> None:
        """Ask the database; one statement."""
        self._rows = await self._replays.look()
        self._seen_at = time.monotonic()

    def collect(self) -> Iterable[Metric]:
        if not self._seen_at or time.monotonic() - self._seen_at > _STALE_SECONDS:
            return
        lag = GaugeMetricFamily(
            "platform_projection_lag_seconds",
            "How long the event that has waited longest waits to be shown.",
            labels=("projection",),
        )
        dead = GaugeMetricFamily(
            "platform_projection_dead_events",
            "Events that nobody will try to show again.",
            labels=("projection",),
        )
        replaying = GaugeMetricFamily(
            "platform_projection_replaying", "Whether it is being made of its events.", labels=("projection",)
        )
        for row in self._rows:
            lag.add_metric((row["name"],), row["waiting_seconds"])
            dead.add_metric((row["name"],), row["dead_count"])
            replaying.add_metric((row["name"],), float(row["status"] == "replaying"))
        yield lag
        yield dead
        yield replaying
