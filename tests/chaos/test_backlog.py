"""Thousands of events have piled up while all workers were down, and now they come back at once (B47)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest
from daily_life import TALLY, mark

from platform_core.testing.chaos import Chaos, Rig, percentile

Figure = Callable[[str, object], None]

EVENTS_COUNT = {"short": 2_000, "gate": 20_000, "long": 20_000}
POOL_SIZE = 4
PROCESSES = {"api": 1, "worker": 2}

_QUEUE = """
WITH e AS (
    INSERT INTO audit.domain_events
        (id, name, version, aggregate_type, aggregate_id, payload, correlation_id, occurred_at)
    SELECT platform.uuid7(), 'tally.marked', 1, 'tally.mark', id, jsonb_build_object('mark_id', id, 'work_ms', 0),
           'backlog', now() FROM (SELECT platform.uuid7() AS id FROM generate_series(1, %(count)s)) AS made
    RETURNING id, position, aggregate_id
)
INSERT INTO platform.deliveries (id, handler, event_id, position, aggregate_id)
SELECT platform.uuid7(), 'tally.note', id, position, aggregate_id FROM e
"""


@pytest.mark.long
async def test_b47_a_backlog_drains_steadily_and_nobody_else_pays_for_it(
    chaos: Chaos, request: pytest.FixtureRequest, record_property: Figure
) -> None:
    """Seen red with pools of ten times the size: 32 connections of one pool."""
    scale = request.config.getoption("--chaos-scale")
    events_count = EVENTS_COUNT[scale]
    settings = {"PLATFORM_DATABASE_POOL_SIZE": str(POOL_SIZE)}
    async with chaos([], extra=[TALLY], settings=settings, own_postgres=False, processes=PROCESSES) as rig:
        await rig.crew.down("worker")
        await rig.sql(_QUEUE, count=events_count)
        async with httpx2.AsyncClient(base_url=rig.crew.urls[0], trust_env=False) as client:
            with _busy(PROCESSES["worker"]):
                before = [await _read_seconds(client) for _ in range(100)]
            await rig.crew.up("worker")
            await rig.crew.all_ready()
            course, beside, connections = await _drained(rig, client)
        rates = _rates(course)
        record_property("events/s by quarter of the drain", [round(rate) for rate in rates])
        record_property(
            "p95 of reads beside busy cores and beside the drain, s",
            (percentile(before, 95), percentile(beside, 95)),
        )
        record_property("most connections of a pool", connections)
        assert connections <= POOL_SIZE * sum(PROCESSES.values())
        [row] = await rig.sql("SELECT count(*) AS n, count(DISTINCT event_id) AS events FROM tally.effects")
        assert row["n"] == row["events"] >= events_count
        if scale != "short":  # a second of work is no measure: whatever else the machine does shows in it
            assert min(rates) > max(rates) / 3, rates
            assert percentile(beside, 95) < 2 * percentile(before, 95)


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """Keep as many cores busy as workers do: what they take from the API is not the platform's doing."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(loop.wait)
            stack.callback(loop.kill)
        yield


async def _drained(rig: Rig, client: httpx2.AsyncClient) -> tuple[list[tuple[float, int]], list[float], int]:
    """Watch the drain; returns (moment, still pending), the seconds of reads meanwhile, and the most connections."""
    course: list[tuple[float, int]] = []
    beside: list[float] = []
    most = 0
    while not course or course[-1][1] > 0:
        [row] = await rig.sql("SELECT count(*) AS n FROM platform.deliveries WHERE status = 'pending'")
        course.append((time.monotonic(), int(row["n"])))
        assert course[-1][0] - course[0][0] < 300, "the backlog does not drain"
        pools = await rig.sql(
            "SELECT application_name, count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'platform/%%/%%' GROUP BY 1"
        )
        most = max([most, *(pool["n"] for pool in pools)])
        beside += [await _read_seconds(client) for _ in range(5)]
        await asyncio.sleep(0.05)
    return course, beside, most


def _rates(course: list[tuple[float, int]]) -> list[float]:
    """Return the events per second of each quarter of the backlog, from the moment before it begins to shrink."""
    total = course[0][1]
    begun = max(at for at, left in course if left == total)
    reached = [
        next(at for at, left in course if left <= total * (4 - quarter) / 4) for quarter in range(1, 5)
    ]
    return [total / 4 / max(late - early, 0.01) for early, late in itertools.pairwise([begun, *reached])]


async def _read_seconds(client: httpx2.AsyncClient) -> float:
    started = time.perf_counter()
    answer = await client.get(mark(0).path)
    assert answer.status_code == 200, answer.text
    return time.perf_counter() - started
