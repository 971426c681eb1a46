"""Tables that years have filled: what workers ask all the time stays quick, and old rows leave in peace (B46)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from daily_life import TALLY, mark
from sqlalchemy import text

from platform_core import _outbox
from platform_core.domain import new_id
from platform_core.testing import PlatformFactory, RunningPlatform
from platform_core.testing.chaos import percentile

Figure = Callable[[str, object], None]

ROWS_COUNT = {"short": 100_000, "gate": 1_000_000, "long": 5_000_000}
PENDING_COUNT = 1_000
CLAIM_SECONDS = 0.010
BATCH_COUNT = 32

_HISTORY = """
WITH e AS (
    INSERT INTO audit.domain_events
        (id, name, version, aggregate_type, aggregate_id, payload, correlation_id, occurred_at)
    SELECT platform.uuid7(), 'tally.marked', 1, 'tally.mark', id, jsonb_build_object('mark_id', id, 'work_ms', 0),
           'history', now() - interval '100 days'
    FROM (SELECT platform.uuid7() AS id FROM generate_series(1, %(count)s)) AS made RETURNING id, position, aggregate_id
)
INSERT INTO platform.deliveries (id, handler, event_id, position, aggregate_id, status, finished_at)
SELECT platform.uuid7(), 'tally.note', id, position, aggregate_id, %(status)s,
       CASE WHEN %(status)s = 'done' THEN now() - interval '99 days' END FROM e
"""


@pytest.mark.long
async def test_b46_with_millions_of_rows_claims_stay_quick_and_a_purge_blocks_nobody(
    platform: PlatformFactory, request: pytest.FixtureRequest, record_property: Figure
) -> None:
    """
    Seen red without the index on what is ready, and with a purge that is one statement.

    How the same figures grow from a thousand rows on is `benchmarks/`' to say.
    """
    scale = request.config.getoption("--chaos-scale")
    rows_count = ROWS_COUNT[scale]
    async with platform(extra=[TALLY]) as p:
        await _fill(p, rows_count)
        plans = [await _claimed(p) for _ in range(PENDING_COUNT // BATCH_COUNT)]
        claims = [plan["Execution Time"] / 1000 for plan in plans]
        figures = (min(claims), percentile(claims, 50))
        record_property(f"a claim of {BATCH_COUNT} beside {rows_count} rows, quickest and median, s", figures)
        assert not list(_scanned(plans[-1]["Plan"])), plans[-1]

        alone = [await _write_seconds(p, number) for number in range(50)]
        purge, began = asyncio.create_task(_purge(p)), time.perf_counter()
        beside: list[float] = []
        longest = 0.0
        while not purge.done():
            beside.append(await _write_seconds(p, 1000 + len(beside)))
            longest = max(longest, await _deleting_seconds(p))
        assert await purge == rows_count
        took = time.perf_counter() - began
        record_property("the purge, and its longest statement as far as seen, s", (took, longest))
        # what one statement deletes stays locked, and keeps vacuum away, until its end
        assert longest < took / 3
        record_property("p95 of writes, alone and beside the purge, s", (_p95(alone), _p95(beside)))
        if scale != "short":  # what little there is to do is done faster than a busy machine takes notice
            assert percentile(claims, 50) < CLAIM_SECONDS, claims
            # a statement that locked the table or held everything until its end would stop writes for seconds
            assert max(beside) < 1


async def _fill(p: RunningPlatform, rows_count: int) -> None:
    for done in range(0, rows_count, 100_000):
        await p.sql(_HISTORY, count=min(100_000, rows_count - done), status="done")
    await p.sql(_HISTORY, count=PENDING_COUNT, status="pending")
    await p.sql("ANALYZE audit.domain_events")
    await p.sql("ANALYZE platform.deliveries")


async def _claimed(p: RunningPlatform) -> dict[str, Any]:
    """Claim a batch as a worker does, and return how PostgreSQL went about it."""
    claim = _outbox._CLAIM
    explained = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {claim.text}").bindparams(*claim._bindparams.values())
    params = {
        "handlers": ["tally.note"],
        "rooms": [BATCH_COUNT],
        "newest": dict(p.kernel.bus.newest),
        "token": new_id(),
        "count": BATCH_COUNT,
        "lease_seconds": 600,
        "suspects": False,
    }
    async with p.kernel.pools.claims().connect() as connection:
        [row] = await connection.fetch(explained, params)
    [plan] = row["QUERY PLAN"]
    assert plan["Plan"]["Actual Rows"] == BATCH_COUNT
    return dict(plan)


def _scanned(node: dict[str, Any]) -> Iterator[str]:
    """Yield every table that was read from one end to the other."""
    if node["Node Type"] == "Seq Scan":
        yield node["Relation Name"]
    for child in node.get("Plans", []):
        yield from _scanned(child)


async def _purge(p: RunningPlatform) -> int:
    return await _outbox.purge(p.kernel.pools.commands("platform"), retention_days=90)


async def _write_seconds(p: RunningPlatform, number: int) -> float:
    operation, started = mark(number), time.perf_counter()
    answer = await p.client.post(operation.path, json=operation.body)
    assert answer.status_code == 201, answer.text
    return time.perf_counter() - started


async def _deleting_seconds(p: RunningPlatform) -> float:
    """Return for how long the statement that deletes deliveries has been running, if one is."""
    [row] = await p.sql(
        "SELECT coalesce(extract(epoch FROM max(clock_timestamp() - query_start)), 0)::float AS seconds"
        " FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
        " AND query LIKE 'DELETE FROM platform.deliveries%%'"
    )
    return float(row["seconds"])


def _p95(seconds: list[float]) -> float:
    return round(percentile(seconds, 95), 4)
