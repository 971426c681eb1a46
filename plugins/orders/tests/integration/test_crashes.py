"""
B35: real processes die by `kill -9` before, inside and after each step of a purchase and each compensation.

Whatever was interrupted, somebody else ends it: the gateway's ledger, the seats and the order agree, nobody has a seat
and their money back, and a client who repeats the request buys nothing more.

Red with the code broken on purpose: with the completion of a step in a statement of its own, everything that dies after
enrolment, confirmation and completion happens twice. Payment, refund and withdrawal bear that by their own rules.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest

from courses import CourseView
from courses.testing import make_course
from orders.testing import ServedGateway
from platform_core._saga_operations import CompensateSaga
from platform_core.testing import PlatformFactory, RunningPlatform, RunPlatform, eventually
from platform_core.testing.crashing import KILLED, MOMENTS, doomed_to
from user_management.testing import Account, essentials, sign_up

pytestmark = [pytest.mark.long, pytest.mark.processes]

STEPS = {
    "payment": "orders.take_payment",
    "enrolment": "courses.enrol",
    "confirmation": "orders.confirm_order",
    "completion": "orders.complete_order",
}
COMPENSATIONS = {"refund": "orders.refund_payment", "withdrawal": "courses.withdraw_enrolment"}
ENDED = {"completed", "compensated"}


@pytest.fixture
async def p(platform: PlatformFactory, gateway: ServedGateway) -> AsyncIterator[RunningPlatform]:
    settings = {
        "PAYMENT_GATEWAY_URL": gateway.url,
        "PLATFORM_LEASE_SECONDS": "2",
        "PLATFORM_POLL_SECONDS": "0.2",
    }
    async with platform(["user_management", "courses", "orders"], seed=essentials, settings=settings) as one:
        yield one


async def buy_and_crash(
    p: RunningPlatform,
    run_platform: RunPlatform,
    buyer: Account,
    course: CourseView,
    command: str,
    moment: str,
) -> UUID:
    """Let the process that serves a purchase die in it, or the worker that goes on with it; return the order."""
    options = doomed_to(command, moment, p)
    with run_platform("serve", "--port", "0", **options) as api:
        url = (await asyncio.to_thread(api.wait_for_line, r'"(http://127\.0\.0\.1:\d+)"'))[1]
        async with httpx2.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
            try:
                answer = await _buy(client, buyer, course)
            except httpx2.TransportError:
                assert await asyncio.to_thread(api.wait) == KILLED
            else:  # a busy machine did not come so far in five seconds, and left the rest to a worker
                assert answer.status_code == 202, answer.text
                with run_platform("worker", **options) as worker:
                    assert await asyncio.to_thread(worker.wait, timeout_seconds=120) == KILLED
    [row] = await p.sql("SELECT id FROM orders.orders WHERE buyer_id = %(id)s", id=buyer.id)
    order_id: UUID = row["id"]
    return order_id


async def _buy(client: httpx2.AsyncClient, buyer: Account, course: CourseView) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {buyer.access_token}", "Idempotency-Key": f"{buyer.username}-1"}
    body = {"course_id": str(course.id), "payment_token": "tok_ok"}
    return await client.post("/api/v1/orders/purchase", json=body, headers=headers)


async def end(p: RunningPlatform, run_platform: RunPlatform, order_id: UUID, *, wait: bool = False) -> str:
    """Let a worker end what was interrupted; return how it ended."""
    if not wait:  # the lease of the dead process ends, a few seconds earlier than it would
        await p.sql("UPDATE platform.deliveries SET available_at = now() WHERE id = %(id)s", id=order_id)

    with run_platform("worker", env=p.environment, ready="worker started"):
        await eventually(lambda: has_ended(p, order_id))
    [row] = await p.sql("SELECT status FROM platform.sagas WHERE id = %(id)s", id=order_id)
    status: str = row["status"]
    return status


async def has_ended(p: RunningPlatform, order_id: UUID) -> bool:
    [row] = await p.sql("SELECT status FROM platform.sagas WHERE id = %(id)s", id=order_id)
    return row["status"] in ENDED


async def check(
    p: RunningPlatform, gateway: ServedGateway, buyer: Account, course: CourseView, order_id: UUID
) -> dict[str, Any]:
    """Compare ledger, seats and order; return the order as its buyer sees it."""
    order: dict[str, Any] = (await buyer.client.get(f"/api/v1/orders/{order_id}")).json()
    paid = gateway.entries(str(order_id))
    seats = await p.sql(
        "SELECT student_id FROM courses.enrolments WHERE course_id = %(course)s AND deleted_at IS NULL",
        course=course.id,
    )
    [counted] = await p.sql("SELECT seats_taken FROM courses.courses WHERE id = %(course)s", course=course.id)
    assert counted["seats_taken"] == len(seats)
    has_seat = buyer.id in [row["student_id"] for row in seats]
    assert (order["status"], paid, has_seat) in (
        ("completed", ["charge"], True),
        ("refunded", ["charge", "refund"], False),
    )
    events = await p.sql(
        "SELECT name, count(*) FROM audit.domain_events WHERE aggregate_id = %(id)s GROUP BY name",
        id=order_id,
    )
    assert {row["count"] for row in events} == {1}, "each thing happened once"
    for attempt in range(2):
        again = await _buy(p.client, buyer, course)
        assert again.status_code in (201, 202, 409), (attempt, again.text)
    assert len((await buyer.client.get("/api/v1/orders")).json()["items"]) == 1
    assert gateway.entries(str(order_id)) == paid
    return order


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", STEPS)
async def test_a_purchase_whose_process_dies_is_completed_by_somebody_else(
    p: RunningPlatform, run_platform: RunPlatform, gateway: ServedGateway, step: str, moment: str
) -> None:
    eve, course = await sign_up(p, "eve"), await make_course(p, capacity=1)
    order_id = await buy_and_crash(p, run_platform, eve, course, STEPS[step], moment)
    really = (step, moment) == ("payment", "inside")
    assert await end(p, run_platform, order_id, wait=really) == "completed"
    order = await check(p, gateway, eve, course, order_id)
    assert [s["status"] for s in order["steps"]] == ["completed"] * 4


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_refund_whose_process_dies_is_made_by_somebody_else(
    p: RunningPlatform, run_platform: RunPlatform, gateway: ServedGateway, moment: str
) -> None:
    course = await make_course(p, capacity=1)
    ben, eve = await sign_up(p, "ben"), await sign_up(p, "eve")
    assert (await _buy(p.client, ben, course)).status_code == 201
    order_id = await buy_and_crash(p, run_platform, eve, course, COMPENSATIONS["refund"], moment)
    assert await end(p, run_platform, order_id) == "compensated"
    order = await check(p, gateway, eve, course, order_id)
    assert [s["status"] for s in order["steps"]] == ["compensated", "failed", "pending", "pending"]


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_withdrawal_whose_process_dies_is_made_by_somebody_else(
    p: RunningPlatform, run_platform: RunPlatform, gateway: ServedGateway, moment: str
) -> None:
    """An operator takes a completed purchase back; the worker that does so dies."""
    eve, course = await sign_up(p, "eve"), await make_course(p, capacity=1)
    order_id = UUID((await _buy(p.client, eve, course)).json()["id"])
    await p.execute(CompensateSaga(saga_id=order_id))
    with run_platform("worker", **doomed_to(COMPENSATIONS["withdrawal"], moment, p)) as worker:
        assert await asyncio.to_thread(worker.wait, timeout_seconds=30) == KILLED
    assert await end(p, run_platform, order_id) == "compensated"
    order = await check(p, gateway, eve, course, order_id)
    assert [s["status"] for s in order["steps"]][:2] == ["compensated", "compensated"]


SEEDS = {"short": 3, "gate": 20, "long": 100}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """As many seeds as `--chaos-scale` says; `--chaos-seed` repeats one."""
    if "seed" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--chaos-seed")
        count = SEEDS[metafunc.config.getoption("--chaos-scale")]
        metafunc.parametrize("seed", range(count) if asked is None else [asked])


async def test_whoever_takes_over_may_die_as_well(
    p: RunningPlatform, run_platform: RunPlatform, gateway: ServedGateway, seed: int
) -> None:
    """The API dies at one point, and the first heir at another, or at the same."""
    dice = random.Random(seed)
    course = await make_course(p, capacity=1)
    ben, eve = await sign_up(p, "ben"), await sign_up(p, "eve")
    is_full = dice.random() < 0.5
    if is_full:
        assert (await _buy(p.client, ben, course)).status_code == 201
    first = dice.choice([STEPS["payment"], COMPENSATIONS["refund"]] if is_full else [*STEPS.values()])
    order_id = await buy_and_crash(p, run_platform, eve, course, first, dice.choice(MOMENTS))
    await p.sql("UPDATE platform.deliveries SET available_at = now() WHERE id = %(id)s", id=order_id)

    second = dice.choice([*STEPS.values(), COMPENSATIONS["refund"]])
    with run_platform("worker", **doomed_to(second, dice.choice(MOMENTS), p)) as worker:

        async def over() -> bool:  # it may be past that point already, and then it lives
            return worker.exit_code is not None or await has_ended(p, order_id)

        await eventually(over)
    assert await end(p, run_platform, order_id) == ("compensated" if is_full else "completed")
    await check(p, gateway, eve, course, order_id)


async def test_a_worker_that_hangs_beyond_its_lease_changes_nothing_when_it_wakes(
    p: RunningPlatform, run_platform: RunPlatform, gateway: ServedGateway
) -> None:
    """B37: it slept in the middle of a slow payment, which somebody else has taken back meanwhile."""
    eve, course = await sign_up(p, "eve"), await make_course(p)
    gateway.slow_seconds = 3.0
    options = {"env": p.environment, "ready": r'"(http://127\.0\.0\.1:\d+)"'}
    with run_platform("serve", "--port", "0", **options) as api:
        url = api.wait_for_line(options["ready"])[1]
        async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            body = {"course_id": str(course.id), "payment_token": "tok_slow"}
            headers = {"Authorization": f"Bearer {eve.access_token}"}
            buying = asyncio.create_task(client.post("/api/v1/orders/purchase", json=body, headers=headers))
            await eventually(lambda: _placed(p))
            await asyncio.sleep(0.5)
            api.signal(signal.SIGSTOP)
            [row] = await p.sql("SELECT id FROM orders.orders")
            await p.execute(CompensateSaga(saga_id=row["id"]))
            assert await end(p, run_platform, row["id"]) == "compensated"
            await asyncio.sleep(3)
            api.signal(signal.SIGCONT)
            answer = await buying
    assert answer.status_code in (201, 202, 402)
    [order] = (await eve.client.get("/api/v1/orders")).json()["items"]
    assert order["status"] in ("failed", "refunded")
    assert gateway.entries(order["id"]) in (["void"], ["charge", "refund"])
    assert await p.sql("SELECT id FROM courses.enrolments") == []


async def _placed(p: RunningPlatform) -> bool:
    return bool(await p.sql("SELECT id FROM orders.orders"))
