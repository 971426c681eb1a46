"""
How cost grows: with rows of history, API processes, workers and connections to PostgreSQL.

What should be flat is measured one request after the other, so that nothing waits for anything else; what should rise
is measured with many.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from benchmarks import events, http_cases
from benchmarks.ground import Ground
from benchmarks.http_cases import CASES
from benchmarks.sides import FLOOR, OURS, ours, running

ROWS: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
PROCESSES: Final = (1, 2, 4)
POOLS: Final = (2, 4, 8, 16, 32)
_CONNECTIONS: Final = 32
_BATCH: Final = 100_000
_CASES: Final = {case.name: case for case in CASES}


@dataclass(frozen=True, slots=True)
class Curve:
    """
    One line of one picture.

    Attributes:
        figure: what was measured, with its unit.
        over: what was varied.
        points: (how many, figure).
        is_flat: whether it should not move.
    """

    figure: str
    over: str
    points: list[tuple[int, float]]
    is_flat: bool


def over_rows(ground: Ground, *, rounds: int, most: int) -> list[Curve]:
    """
    Measure commands, reads and deliveries with ever more history in the trail, the events and the deliveries.

    Each beside the floor, which has no history: the minutes in which millions of rows are written and swept up slow
    both.
    """
    requests = {"PATCH oneself, median": "patch", "GET one, median": "get"}
    flat: dict[str, list[tuple[int, float]]] = {
        name: [] for name in (*requests, "a delivery out of a backlog")
    }
    there = 0
    with running(ground, (FLOOR, OURS)) as sides:
        time.sleep(http_cases.SETTLING_SECONDS)
        for rows in (count for count in ROWS if count <= most):
            _remember(ground, there, rows)
            there = rows
            for name, case in requests.items():
                one = http_cases.measure(ground, sides, _CASES[case], connections=1, seconds=2, rounds=rounds)
                flat[name].append((rows, one.ratio(OURS, figure="p50_ms")))
            flat["a delivery out of a backlog"].append((rows, _delivery(ground, rounds)))
    return [
        Curve(f"{figure}, times the floor's", "rows of history", points, is_flat=True)
        for figure, points in flat.items()
    ]


def _delivery(ground: Ground, rounds: int) -> float:
    """Return how many times as long a delivery takes as a job of the floor."""
    rates: dict[str, list[float]] = {FLOOR: [], OURS: []}
    for _ in range(rounds):
        for side, found in rates.items():
            with events.worker(ground, side):
                found.append(asyncio.run(events.backlog(ground, side, 1_000)))
    return statistics.median(floor / ours for floor, ours in zip(rates[FLOOR], rates[OURS], strict=True))


def over_processes(ground: Ground, *, rounds: int) -> list[Curve]:
    """Measure the rate of reads with several API processes, and of deliveries with several workers."""
    reads: list[tuple[int, float]] = []
    for count in PROCESSES:
        with ours(ground, workers=count) as side:
            time.sleep(http_cases.SETTLING_SECONDS)
            one = http_cases.measure(
                ground, [side], _CASES["get"], connections=_CONNECTIONS, seconds=3, rounds=rounds
            )
        reads.append((count, one.median(OURS, "rate")))
    deliveries: list[tuple[int, float]] = []
    for count in PROCESSES:
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(events.worker(ground, OURS))
            rates = [asyncio.run(events.backlog(ground, OURS, 3_000)) for _ in range(rounds)]
        deliveries.append((count, sorted(rates)[len(rates) // 2]))
    return [
        Curve("GET one, requests a second", "API processes", reads, is_flat=False),
        Curve("deliveries a second, of a backlog", "workers", deliveries, is_flat=False),
    ]


def over_pools(ground: Ground, *, rounds: int) -> list[Curve]:
    """Measure 32 callers against fewer and fewer connections to PostgreSQL."""
    rates: list[tuple[int, float]] = []
    tails: list[tuple[int, float]] = []
    for size in POOLS:
        smaller = {**ground.environment, "PLATFORM_DATABASE_POOL_SIZE": str(size)}
        with ours(replace(ground, environment=smaller)) as side:
            time.sleep(http_cases.SETTLING_SECONDS)
            one = http_cases.measure(
                ground, [side], _CASES["patch"], connections=_CONNECTIONS, seconds=3, rounds=rounds
            )
        rates.append((size, one.median(OURS, "rate")))
        tails.append((size, one.median(OURS, "p95_ms")))
    return [
        Curve("PATCH oneself, requests a second, 32 callers", "connections of a pool", rates, is_flat=False),
        Curve("PATCH oneself, p95, ms, 32 callers", "connections of a pool", tails, is_flat=False),
    ]


def _remember(ground: Ground, there: int, rows: int) -> None:
    """Add history until there are `rows` of it: events and their deliveries, lines of the trail and its chain."""
    for first, last in _batches(there + 1, rows):
        for statement in _HISTORY:
            ground.sql(statement, {"first": first, "last": last})
    for table in _TABLES:
        ground.sql(f"VACUUM ANALYZE {table}")
    ground.sql("CHECKPOINT")  # now, not while something is measured


def _batches(first: int, last: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last + 1, _BATCH):
        yield start, min(start + _BATCH - 1, last)


_TABLES: Final[Sequence[str]] = (
    "audit.domain_events",
    "platform.deliveries",
    "audit.audit_logs",
    "audit.audit_chain",
)
_HISTORY: Final[Sequence[str]] = (
    """
    WITH happened AS (
      INSERT INTO audit.domain_events (id, name, version, aggregate_type, aggregate_id, payload, correlation_id,
        occurred_at)
      SELECT platform.uuid7(), 'user_management.user_renamed', 1, 'user_management.user', platform.uuid7(),
        '{"username": "somebody", "full_name": "Somebody"}', 'history', now() - make_interval(secs => n)
      FROM generate_series(%(first)s::int, %(last)s::int) n RETURNING id, position, aggregate_id
    )
    INSERT INTO platform.deliveries (id, handler, event_id, position, aggregate_id, status, attempts_count, finished_at)
    SELECT platform.uuid7(), 'echo.note', id, position, aggregate_id, 'done', 1, now() FROM happened
    """,
    """
    WITH line AS (
      INSERT INTO audit.audit_logs (id, actor_label, action, resource_type, resource_id, changes, outcome, request_id,
        occurred_at)
      SELECT platform.uuid7(), 'user', 'user_management.update_me', 'user_management.user', platform.uuid7(),
        '{"full_name": ["A", "B"]}', 'done', 'history', now() - make_interval(secs => n)
      FROM generate_series(%(first)s::int, %(last)s::int) n RETURNING id
    )
    INSERT INTO audit.audit_chain (audit_id, position, digest, hash, chained_at)
    SELECT id, 1000000000 + (SELECT count(*) FROM audit.audit_chain) + row_number() OVER (), '\\x00', '\\x00', now()
    FROM line
    """,
)
"""What months of commands leave behind; links of the chain are beyond what a sequencer gives out meanwhile."""
