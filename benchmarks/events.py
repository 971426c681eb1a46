"""
Events: from the commit of what happened to the commit of what follows from it, by one worker.

Both sides are given their work by the same producer, one statement each, because what a command costs is measured
elsewhere: a row and a job for the floor, an event and its delivery for the platform.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import psycopg
import redis.asyncio
from psycopg.types.json import Jsonb

from benchmarks.ground import Ground
from benchmarks.sides import FLOOR, OURS
from platform_core._broker import QUEUE
from platform_core.testing import run_process

EVENTS_COUNT: Final = 5000
_PRODUCERS_COUNT: Final = 4
_RATE: Final = 20
_RATE_SECONDS: Final = 10

_PRODUCE: Final = {
    FLOOR: "INSERT INTO floor.jobs (kind, payload) VALUES ('renamed', %(payload)s) RETURNING id",
    OURS: "WITH happened AS (INSERT INTO audit.domain_events (id, name, version, aggregate_type, aggregate_id, payload,"
    " correlation_id, traceparent, occurred_at) VALUES (platform.uuid7(), 'user_management.user_renamed', 1,"
    " 'user_management.user', %(id)s, %(payload)s, 'benchmark', %(trace)s, clock_timestamp())"
    " RETURNING id, position, aggregate_id)"
    " INSERT INTO platform.deliveries (id, handler, event_id, position, aggregate_id)"
    " SELECT platform.uuid7(), 'echo.note', id, position, aggregate_id FROM happened",
}
_DONE: Final = {FLOOR: "SELECT count(*) FROM floor.effects", OURS: "SELECT count(*) FROM echo.effects"}
_CLEAR: Final = {FLOOR: "TRUNCATE floor.jobs, floor.effects", OURS: "TRUNCATE echo.effects"}
_LAGS: Final = {
    # the floor's jobs are gone when they are done: the producer says when each was committed
    OURS: "SELECT extract(epoch FROM f.written_at - e.occurred_at) * 1000 FROM echo.effects f"
    " JOIN audit.domain_events e ON e.id = f.event_id",
}


@dataclass(frozen=True, slots=True)
class Deliveries:
    """
    What one run of one side has seen.

    Attributes:
        end_to_end: jobs a second, from the first commit of the producer to the last effect.
        backlog: jobs a second, all of them waiting at the start.
        p95_ms: from commit to effect at twenty events a second; only of the platform.
    """

    end_to_end: float
    backlog: float
    p95_ms: float | None


def measure(ground: Ground, rounds: int) -> dict[str, list[Deliveries]]:
    """Measure both sides in turns; what other measurements left to be delivered is not waited for."""
    ground.sql("DELETE FROM platform.deliveries WHERE status = 'pending'")
    runs: dict[str, list[Deliveries]] = {FLOOR: [], OURS: []}
    for _ in range(rounds):
        for side, found in runs.items():
            with worker(ground, side):
                found.append(asyncio.run(_run(ground, side)))
    return runs


@contextlib.contextmanager
def worker(ground: Ground, side: str) -> Iterator[None]:
    """Run one worker of a side for the length of the block."""
    if side == OURS:
        command, environment, ready = ["platform", "worker"], ground.environment, "worker started"
    else:
        command, environment, ready = (
            [sys.executable, "-m", "benchmarks.floor.worker"],
            ground.floor_environment,
            "ready",
        )
    with run_process(command, env=environment, ready=ready, timeout_seconds=120):
        yield


async def backlog(ground: Ground, side: str, count: int) -> float:
    """Return jobs a second of so many that all wait."""
    async with _producer(ground, side) as producer:
        return await producer.backlog(count)


@contextlib.asynccontextmanager
async def _producer(ground: Ground, side: str) -> AsyncIterator[_Producer]:
    async with (
        await psycopg.AsyncConnection.connect(ground.database_url, autocommit=True) as watch,
        redis.asyncio.Redis.from_url(ground.redis_url) as bell,
    ):
        yield _Producer(ground, side, watch, bell)


async def _run(ground: Ground, side: str) -> Deliveries:
    async with _producer(ground, side) as producer:
        await producer.fresh()
        started = time.perf_counter()
        await asyncio.gather(
            *(producer.produce(EVENTS_COUNT // _PRODUCERS_COUNT) for _ in range(_PRODUCERS_COUNT))
        )
        await producer.until_done(EVENTS_COUNT)
        end_to_end = EVENTS_COUNT / (time.perf_counter() - started)
        waiting = await producer.backlog(EVENTS_COUNT)
        p95_ms = await producer.lag() if side in _LAGS else None
    return Deliveries(end_to_end, waiting, p95_ms)


class _Producer:
    """Commits work for one side, and watches it being done."""

    def __init__(
        self, ground: Ground, side: str, watch: psycopg.AsyncConnection[Any], bell: redis.asyncio.Redis
    ) -> None:
        self._ground, self._side, self._watch, self._bell = ground, side, watch, bell

    async def fresh(self) -> None:
        """Forget what was done before."""
        await self._watch.execute(_CLEAR[self._side])

    async def produce(self, count: int, *, every_seconds: float = 0) -> None:
        """Commit one after the other; the worker is told now and then, as a busy API tells it."""
        connect = psycopg.AsyncConnection.connect
        async with await connect(self._ground.database_url, autocommit=True) as connection:
            for number in range(count):
                await connection.execute(_PRODUCE[self._side], _values(number))
                if every_seconds or number % 20 == 0:
                    await self._ring()
                if every_seconds:
                    await asyncio.sleep(every_seconds)
        await self._ring()

    async def backlog(self, count: int) -> float:
        """Return jobs a second when all of them wait; they are made invisible until the last is there."""
        await self.fresh()
        connect = psycopg.AsyncConnection.connect
        async with await connect(self._ground.database_url) as connection, connection.cursor() as cursor:
            await cursor.executemany(_PRODUCE[self._side], [_values(number) for number in range(count)])
            started = time.perf_counter()
        await self._ring()
        await self.until_done(count)
        return count / (time.perf_counter() - started)

    async def lag(self) -> float:
        """Return the 95th percentile of the time from event to effect at a moderate rate."""
        await self.fresh()
        await self.produce(_RATE * _RATE_SECONDS, every_seconds=1 / _RATE)
        await self.until_done(_RATE * _RATE_SECONDS)
        rows = await (await self._watch.execute(_LAGS[self._side].encode())).fetchall()
        return statistics.quantiles([float(row[0]) for row in rows], n=20)[-1]

    async def until_done(self, count: int) -> None:
        """Return when there are so many effects."""
        async with asyncio.timeout(300):
            while True:
                row = await (await self._watch.execute(_DONE[self._side])).fetchone()
                if row is not None and row[0] >= count:
                    return
                await asyncio.sleep(0.02)

    async def _ring(self) -> None:
        if self._side == OURS:
            await self._bell.xadd(QUEUE, {"data": b"{}"}, maxlen=1000)
        else:
            await self._watch.execute("NOTIFY floor_jobs")


def _values(number: int) -> dict[str, Any]:
    """Return what the n-th request would have written, at the default sampling of one trace in twenty."""
    identity = uuid4()
    payload = {"user_id": str(identity), "username": "somebody", "full_name": "Somebody New"}
    trace = f"00-{identity.hex}-{identity.hex[:16]}-{'01' if number % 20 == 0 else '00'}"
    return {"id": identity, "payload": Jsonb(payload), "trace": trace}
