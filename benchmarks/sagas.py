"""
Purchases: a saga of four steps, one of them a request to a payment gateway that answers at once.

There is no floor to compare with: a hand-written program that survives as much would be the saga engine again. So these
figures are the machine's own; tests hold what does not depend on it, a step's statements.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx2

from benchmarks import http_cases, load
from benchmarks.ground import Ground
from benchmarks.sides import Side, free_port, ours
from platform_core.errors import OperationError
from platform_core.testing import run_process

AT_ONCE_COUNT: Final = 200
CONNECTIONS: Final = (1, 8, 32)
_COURSES_COUNT: Final = 100
"""With 256 people more pairs than are bought in one run; a second seat would be refused."""

_SEATS: Final = "UPDATE courses.courses SET seats_taken = 0, capacity = %(capacity)s"
_COURSES: Final = """
INSERT INTO courses.courses (id, version, created_at, updated_at, title, price_amount, price_currency)
SELECT platform.uuid7(), 1, now(), now(), format('Course %%s', n), 49.90, 'EUR' FROM generate_series(1, %(count)s) AS n
RETURNING id
"""
_UNFINISHED: Final = "SELECT count(*) FROM platform.sagas WHERE status NOT IN ('completed', 'compensated')"
_OUTCOMES: Final = "SELECT status, count(*) FROM platform.sagas GROUP BY 1"


class Inconsistent(OperationError):
    """Seats, orders and the gateway's ledger do not agree: the figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Rush:
    """
    Two hundred people buy at once, for half as many seats.

    Attributes:
        answered_seconds, ended_seconds: until the last answer, and until the last saga had ended.
        p95_ms: of the answers.
        answers: status → how many.
    """

    answered_seconds: float
    ended_seconds: float
    p95_ms: float
    answers: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Purchases:
    """What so many buyers, each buying one seat after the other, get done."""

    connections: int
    rate: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Sagas:
    """Everything that was measured; the median of the rounds each."""

    rush: list[Rush]
    purchases: list[Purchases]


def measure(ground: Ground, *, rounds: int, seconds: float = 4) -> Sagas:
    """
    Measure both, with one server process and one worker.

    Raises:
        Inconsistent: in the end the numbers did not add up.
    """
    with _gateway() as url:
        ground = replace(ground, environment={**ground.environment, "PAYMENT_GATEWAY_URL": url})
        courses = [row[0] for row in ground.sql(_COURSES, {"count": _COURSES_COUNT})]
        with ours(ground) as side, _worker(ground):
            time.sleep(http_cases.SETTLING_SECONDS)
            rush = [asyncio.run(_rush(ground, side, courses[0], url)) for _ in range(rounds)]
            requests = _requests(ground, side, courses)
            purchases = [_steady(ground, side, requests, many, rounds, seconds) for many in CONNECTIONS]
    return Sagas(rush, purchases)


@contextlib.contextmanager
def _gateway() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "orders.testing.gateway:app", "--port", str(port)]
    with run_process([*command, "--no-access-log", "--log-level", "warning"]) as process:
        process.wait_for_url(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _worker(ground: Ground) -> Iterator[None]:
    with run_process(
        ["platform", "worker"], env=ground.environment, ready="worker started", timeout_seconds=120
    ):
        yield


async def _rush(ground: Ground, side: Side, course_id: UUID, gateway: str) -> Rush:
    _afresh(ground, capacity=AT_ONCE_COUNT // 2)
    answers: Counter[int] = Counter()
    latencies: list[float] = []
    limits = httpx2.Limits(max_connections=AT_ONCE_COUNT, max_keepalive_connections=AT_ONCE_COUNT)
    address = f"http://127.0.0.1:{side.port}{side.prefix}/orders/purchase"
    body = {"course_id": str(course_id), "payment_token": "tok_ok"}
    async with httpx2.AsyncClient(timeout=60, trust_env=False, limits=limits) as client:
        before = len((await client.get(f"{gateway}/ledger")).json())

        async def buy(token: str) -> None:
            began = time.perf_counter()
            answer = await client.post(address, json=body, headers={"Authorization": f"Bearer {token}"})
            latencies.append((time.perf_counter() - began) * 1000)
            answers[answer.status_code] += 1

        started = time.perf_counter()
        await asyncio.gather(*(buy(person.token) for person in ground.people[:AT_ONCE_COUNT]))
        answered = time.perf_counter() - started
        await _ended(ground)
        ended = time.perf_counter() - started
        ledger = (await client.get(f"{gateway}/ledger")).json()[before:]
    _check(ground, [entry["kind"] for entry in ledger])
    return Rush(answered, ended, statistics.quantiles(latencies, n=20)[-1], dict(answers))


def _check(ground: Ground, entries: list[str]) -> None:
    half = AT_ONCE_COUNT // 2
    outcomes = {str(status): int(count) for status, count in ground.sql(_OUTCOMES)}
    [(seats,)] = ground.sql("SELECT count(*) FROM courses.enrolments WHERE deleted_at IS NULL")
    found = (outcomes, seats, dict(Counter(entries)))
    wanted = ({"completed": half, "compensated": half}, half, {"charge": AT_ONCE_COUNT, "refund": half})
    if found != wanted:
        raise Inconsistent(f"after {AT_ONCE_COUNT} purchases there are {found}, not {wanted}")


async def _ended(ground: Ground) -> None:
    async with asyncio.timeout(120):
        while await asyncio.to_thread(ground.sql, _UNFINISHED) != [(0,)]:  # noqa: ASYNC110  # the database is polled
            await asyncio.sleep(0.02)


def _steady(
    ground: Ground, side: Side, requests: Path, connections: int, rounds: int, seconds: float
) -> Purchases:
    runs = []
    for _ in range(rounds):
        _afresh(ground, capacity=None)
        runs.append(
            load.run(side.port, requests, connections=connections, seconds=seconds, pid=side.process.pid)
        )

    def median(figure: str) -> float:
        return statistics.median(float(getattr(run, figure)) for run in runs)

    return Purchases(connections, median("rate"), median("p50_ms"), median("p95_ms"), median("cpu_ms"))


def _requests(ground: Ground, side: Side, courses: list[UUID]) -> Path:
    """Write one purchase for each pair of a person and a course, no person twice in a row."""
    return load.write(
        [
            load.Sent(
                "POST",
                f"{side.prefix}/orders/purchase",
                {
                    "Authorization": f"Bearer {person.token}",
                    "Content-Type": "application/json",
                    "Idempotency-Key": "purchase-%d",
                },
                f'{{"course_id": "{course_id}", "payment_token": "tok_ok"}}',
            )
            for course_id in courses
            for person in ground.people
        ],
        ground.home / "purchases.lua",
    )


def _afresh(ground: Ground, *, capacity: int | None) -> None:
    ground.sql("TRUNCATE courses.enrolments, orders.orders, platform.sagas CASCADE")
    ground.sql(_SEATS, {"capacity": capacity})
