"""
What is looked up only when somebody asks for the metrics, or now and then: pools, modules, what waits in the database.

Nothing here costs a request anything. The backlog is counted by the scheduler that acts, and by nobody else, so that
adding up what all processes report gives the truth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, LiteralString

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from platform_core._manifest import Plugin
from platform_core._pool import Pool
from platform_core._pools import Pools

_STALE_SECONDS: Final = 60.0
"""A scheduler that does not act any more has nothing to say; another one has."""

_MOST_COUNTED: Final = 100_000
"""
Of one handler, or of one kind. Beyond that, a figure that is too small says all that matters, and counting would be
work for the database.
"""

_BACKLOG: Final[LiteralString] = (
    # handler by handler, as the index has them: nothing of those that rest is read to find the others
    "WITH RECURSIVE found(handler) AS ("  # noqa: S608  # constants
    " (SELECT handler FROM platform.deliveries WHERE status = 'pending' ORDER BY handler LIMIT 1)"
    " UNION ALL SELECT (SELECT d.handler FROM platform.deliveries d"
    " WHERE d.status = 'pending' AND d.handler > found.handler ORDER BY d.handler LIMIT 1)"
    " FROM found WHERE found.handler IS NOT NULL"
    "), waiting AS (SELECT handler, split_part(handler, '.', 1) AS module,"
    " split_part(handler, '.', 1) = ANY (%(resting)s) AS is_resting FROM found WHERE handler IS NOT NULL)"
    " SELECT 'due' AS what, module, NULL AS status, count(*) AS count,"
    " extract(epoch FROM now() - min(due.available_at))::float8 AS oldest"
    " FROM waiting CROSS JOIN LATERAL (SELECT d.available_at FROM platform.deliveries d"
    " WHERE d.status = 'pending' AND d.handler = waiting.handler AND d.available_at <= now()"
    f" ORDER BY d.available_at LIMIT {_MOST_COUNTED}) due WHERE NOT is_resting GROUP BY module"
    " UNION ALL SELECT 'resting', module, NULL, count(*), NULL"
    " FROM waiting CROSS JOIN LATERAL (SELECT FROM platform.deliveries d"
    f" WHERE d.status = 'pending' AND d.handler = waiting.handler LIMIT {_MOST_COUNTED}) resting"
    " WHERE is_resting GROUP BY module"
    " UNION ALL SELECT 'aside', module, status, count(*), NULL"
    " FROM (SELECT split_part(handler, '.', 1) AS module, status FROM platform.deliveries"
    f" WHERE status IN ('dead', 'parked') LIMIT {_MOST_COUNTED}) aside GROUP BY module, status"
    " UNION ALL SELECT 'saga', name, status, count(*), NULL FROM platform.sagas"
    " WHERE status NOT IN ('completed', 'compensated') GROUP BY name, status"
    " UNION ALL SELECT 'unchained', NULL, NULL, count(*), NULL"
    f" FROM (SELECT FROM audit.audit_chain WHERE position IS NULL LIMIT {_MOST_COUNTED}) waiting"
)


class PoolGauges(Collector):
    """Connections of each pool of this process."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    def collect(self) -> Iterable[Metric]:
        labels = ("module", "purpose")
        used = GaugeMetricFamily("platform_database_connections", "Connections lent now.", labels=labels)
        size = GaugeMetricFamily("platform_database_pool_size", "Connections lent at most.", labels=labels)
        refused = CounterMetricFamily(
            "platform_database_pool_refusals", "Callers that no connection became free for.", labels=labels
        )
        families: list[tuple[GaugeMetricFamily | CounterMetricFamily, Callable[[Pool], int]]] = [
            (used, lambda pool: pool.used_count),
            (size, lambda pool: pool.size),
            (refused, lambda pool: pool.refused_count),
        ]
        for family, read in families:
            for (module, purpose), pool in self._pools.opened().items():
                family.add_metric((module, purpose), read(pool))
            yield family


class ModuleGauges(Collector):
    """Which modules this process runs, and which of them it had to leave out."""

    def __init__(self, plugins: Callable[[], Sequence[Plugin]]) -> None:
        self._plugins = plugins

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "platform_module_up",
            "Whether this process runs the module; 0: it failed.",
            labels=("module", "version"),
        )
        for plugin in self._plugins():
            family.add_metric((plugin.name, plugin.version), float(plugin.error is None))
        yield family


class Backlog(Collector):
    """
    What waits, has failed for good, or needs somebody.

    What waits for a module that is switched off is no lag: nobody is to work it off, so it is a series of its own.

    Args:
        pool: the kernel's for claims, whose connections walk along indexes whatever the statistics say.
        resting: modules whose deliveries nobody takes at the moment.
    """

    def __init__(self, pool: Callable[[], Pool], resting: Collection[str] = ()) -> None:
        self._pool, self._resting = pool, resting
        self._seen_at = 0.0
        self._rows: Sequence[dict[str, Any]] = ()

    async def look(self) -> None:
        """Count; one statement."""
        async with self._pool().connect() as connection:
            self._rows = await connection.fetch(_BACKLOG, {"resting": list(self._resting)})
        self._seen_at = time.monotonic()

    def collect(self) -> Iterable[Metric]:
        if not self._seen_at or time.monotonic() - self._seen_at > _STALE_SECONDS:
            return
        rows: dict[str, list[dict[str, Any]]] = {
            what: [] for what in ("due", "resting", "aside", "saga", "unchained")
        }
        for row in self._rows:
            rows[row["what"]].append(row)
        due = GaugeMetricFamily(
            "platform_deliveries_due", "Deliveries and jobs that are due.", labels=("module",)
        )
        oldest = GaugeMetricFamily(
            "platform_deliveries_oldest_due_seconds",
            "How long the oldest of them is due.",
            labels=("module",),
        )
        for row in rows["due"]:
            due.add_metric((row["module"],), row["count"])
            oldest.add_metric((row["module"],), row["oldest"])
        if not rows["due"]:
            due.add_metric(("",), 0)  # nothing waits, which is not the same as nobody looked
            oldest.add_metric(("",), 0)
        yield due
        yield oldest
        resting = GaugeMetricFamily(
            "platform_deliveries_resting",
            "Deliveries and jobs that wait for a module that is switched off.",
            labels=("module",),
        )
        for row in rows["resting"]:
            resting.add_metric((row["module"],), row["count"])
        yield resting
        aside = GaugeMetricFamily(
            "platform_deliveries_set_aside",
            "Deliveries that are dead or parked.",
            labels=("module", "status"),
        )
        for row in rows["aside"]:
            aside.add_metric((row["module"], row["status"]), row["count"])
        yield aside
        sagas = GaugeMetricFamily(
            "platform_sagas_open", "Sagas that have not ended.", labels=("saga", "status")
        )
        for row in rows["saga"]:
            sagas.add_metric((row["module"], row["status"]), row["count"])
        yield sagas
        for row in rows["unchained"]:
            yield GaugeMetricFamily(
                "platform_audit_unchained", "Lines of the trail that wait for their link.", value=row["count"]
            )
