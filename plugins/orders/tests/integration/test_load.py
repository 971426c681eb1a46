"""Two hundred purchases at once for half as many seats, real processes; once with one of them killed meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import httpx2
import pytest

from courses.testing import make_course
from orders.testing import ServedGateway
from platform_core.testing import PlatformFactory, RunningProcess, RunPlatform, eventually
from user_management.testing import essentials, sign_up

pytestmark = [pytest.mark.long, pytest.mark.processes]

BUYERS_COUNT, COURSES_COUNT, SEATS_COUNT = 20, 10, 10
_URL = r'"(http://127\.0\.0\.1:\d+)"'


@pytest.mark.parametrize("is_killed", [False, True], ids=["undisturbed", "one of two processes is killed"])
async def test_two_hundred_purchases_at_once_end_consistent(
    platform: PlatformFactory,
    run_platform: RunPlatform,
    gateway: ServedGateway,
    record_property: Callable[[str, object], None],
    is_killed: bool,
) -> None:
    settings = {
        "PAYMENT_GATEWAY_URL": gateway.url,
        "PLATFORM_LEASE_SECONDS": "2",
        "PLATFORM_POLL_SECONDS": "0.2",
        "PLATFORM_DATABASE_POOL_SIZE": "5",  # three processes share a hundred connections
    }
    async with platform(["user_management", "courses", "orders"], seed=essentials, settings=settings) as p:
        buyers = [await sign_up(p, f"buyer{number}") for number in range(BUYERS_COUNT)]
        courses = [await make_course(p, f"Course {n}", capacity=SEATS_COUNT) for n in range(COURSES_COUNT)]

        def serve() -> object:
            return run_platform("serve", "--port", "0", env=p.environment, ready=_URL)

        with (
            serve() as one,  # type: ignore[attr-defined]  # a context manager
            serve() as other,  # type: ignore[attr-defined]  # as above
            run_platform("worker", env=p.environment, ready="worker started"),
        ):
            urls = [_address(process) for process in (one, other)]
            started = time.monotonic()
            answers = asyncio.gather(
                *(
                    _insist(urls, f"{buyer.username}-{course.id}", buyer.access_token, str(course.id))
                    for buyer in buyers
                    for course in courses
                )
            )
            if is_killed:
                await eventually(lambda: _some(gateway, 60), within_seconds=300, every_seconds=0.01)
                one.kill()
            statuses = Counter(await answers)

            async def settled() -> bool:
                [row] = await p.sql(
                    "SELECT count(*) AS n FROM platform.sagas WHERE status NOT IN ('completed', 'compensated')"
                )
                return row["n"] == 0

            await eventually(settled, within_seconds=300)
            record_property(
                "chaos", f"200 purchases at once: {time.monotonic() - started:.1f} s, {dict(statuses)}"
            )
        assert set(statuses) <= {201, 202, 409}, statuses
        orders = Counter(row["status"] for row in await p.sql("SELECT status FROM orders.orders"))
        seats = COURSES_COUNT * SEATS_COUNT
        assert orders == {"completed": seats, "refunded": seats}
        assert Counter(entry.kind for entry in gateway.ledger) == {"charge": 2 * seats, "refund": seats}
        assert {row["seats_taken"] for row in await p.sql("SELECT seats_taken FROM courses.courses")} == {
            SEATS_COUNT
        }
        [row] = await p.sql("SELECT count(*) AS n FROM courses.enrolments WHERE deleted_at IS NULL")
        assert row["n"] == seats


def _address(process: RunningProcess) -> str:
    return process.wait_for_line(_URL)[1]


async def _insist(urls: list[str], key: str, token: str, course_id: str) -> int:
    """Ask until there is an answer, of whoever lives, as a patient client does."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    body = {"course_id": course_id, "payment_token": "tok_ok"}
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
        for attempt in range(600):
            url = urls[(hash(key) + attempt) % len(urls)]
            try:
                answer = await client.post(f"{url}/api/v1/orders/purchase", json=body, headers=headers)
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
                continue
            in_progress = answer.json().get("type") == "/problems/request-in-progress"
            if answer.status_code < 500 and not in_progress:
                return answer.status_code
            await asyncio.sleep(0.5)
    raise AssertionError("nobody ever answered")


async def _some(gateway: ServedGateway, count: int) -> bool:
    return len(gateway.ledger) >= count
