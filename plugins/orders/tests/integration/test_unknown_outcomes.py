"""
B36, B37, B38 with real processes that die by `kill -9`.

Nobody knows whether a payment was made; a refund never works; the mail cannot be sent.

Each was seen red with the code broken on purpose: a key of its own for each attempt at a payment (B36), a refund that
is given up and the purchase completed (B37), a payment that is repeated after compensation was ordered (B37), a mail
that is part of a critical step (B38).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import httpx2
import pytest

from courses import CourseView
from courses.testing import make_course
from orders.testing import ServedGateway
from platform_core._saga_operations import CompensateSaga
from platform_core.testing import PlatformFactory, RunningPlatform, RunningProcess, RunPlatform, eventually
from user_management.testing import Account, essentials, sign_up

pytestmark = [pytest.mark.long, pytest.mark.processes]

_URL = r'"(http://127\.0\.0\.1:\d+)"'
_SETTINGS = {"PLATFORM_LEASE_SECONDS": "2", "PLATFORM_POLL_SECONDS": "0.2"}


@pytest.fixture
async def p(platform: PlatformFactory, gateway: ServedGateway) -> AsyncIterator[RunningPlatform]:
    settings = {**_SETTINGS, "PAYMENT_GATEWAY_URL": gateway.url}
    async with platform(["user_management", "courses", "orders"], seed=essentials, settings=settings) as one:
        yield one


# ── B36 ──────────────────────────────────────────────────────────────────────────────────────────


async def test_b36_a_payment_of_which_nobody_knows_is_asked_for_and_never_made_again(
    p: RunningPlatform, run_platform: RunPlatform, gateway: ServedGateway
) -> None:
    """The API dies while the gateway takes the money; then the gateway is away, and two workers die asking."""
    eve, course = await sign_up(p, "eve"), await make_course(p)
    gateway.slow_seconds = 1.0
    with serving(run_platform, p) as (api, url):
        buying = asyncio.create_task(buy(url, eve, course, "tok_slow"))
        await eventually(lambda: told(bool(gateway.asked)))
        await asyncio.to_thread(api.kill)
        with pytest.raises(httpx2.TransportError):
            await buying
    order_id = await only_order(p)
    await eventually(lambda: told(gateway.entries(str(order_id)) == ["charge"]))
    gateway.is_away = True

    for failures in (1, 2):
        with run_platform("worker", env=p.environment, ready="worker started") as worker:
            await impatiently(p, order_id, partial(has_failed, p, order_id, "payment", failures))
            worker.kill()
    with run_platform("worker", env=p.environment, ready="worker started"):
        await impatiently(p, order_id, lambda: is_(p, order_id, "needs_attention"))
    assert (await shown(eve, order_id))["status"] == "needs_attention"
    assert gateway.entries(str(order_id)) == ["charge"]

    gateway.is_away = False
    command = run_platform("sagas", "retry", str(order_id), env=p.environment)
    with command as operator:
        assert await asyncio.to_thread(operator.wait) == 0, operator.output
    with run_platform("worker", env=p.environment, ready="worker started"):
        await eventually(lambda: is_(p, order_id, "completed"))
    assert (await shown(eve, order_id))["status"] == "completed"
    assert gateway.entries(str(order_id)) == ["charge"], "asked for, not made again"
    assert set(gateway.asked) == {str(order_id)}, "always under the same key"


# ── B37 ──────────────────────────────────────────────────────────────────────────────────────────


async def test_b37_a_refund_that_never_works_waits_for_somebody_and_the_seat_is_not_asked_for_again(
    p: RunningPlatform, run_platform: RunPlatform, gateway: ServedGateway
) -> None:
    course = await make_course(p, capacity=1)
    ben, eve = await sign_up(p, "ben"), await sign_up(p, "eve")
    root = await sign_up(p, "root", permissions=["*"])
    gateway.refuses_refunds = 1_000_000
    with serving(run_platform, p) as (api, url):
        assert (await buy(url, ben, course)).status_code == 201
        buying = asyncio.create_task(buy(url, eve, course))
        await eventually(lambda: told(gateway.refuses_refunds < 1_000_000))
        await asyncio.to_thread(api.kill)
        with pytest.raises(httpx2.TransportError):
            await buying
    [row] = await p.sql("SELECT id FROM orders.orders WHERE buyer_id = %(id)s", id=eve.id)
    order_id: UUID = row["id"]
    for failures in (3, 6):
        with run_platform("worker", env=p.environment, ready="worker started") as worker:
            await impatiently(p, order_id, partial(has_failed, p, order_id, "payment", failures))
            worker.kill()
    with run_platform("worker", env=p.environment, ready="worker started"):
        await impatiently(p, order_id, lambda: is_(p, order_id, "needs_attention"))
    order = await shown(eve, order_id)
    assert [step["status"] for step in order["steps"]] == [
        "compensation_failed",
        "failed",
        "pending",
        "pending",
    ]
    assert gateway.entries(str(order_id)) == ["charge"]
    refusals = "SELECT what FROM platform.saga_log WHERE saga_id = %(id)s AND step = 'enrolment'"
    assert [entry["what"] for entry in await p.sql(refusals, id=order_id)] == ["refused"]

    gateway.refuses_refunds = 0
    answer = await root.client.post(f"/api/v1/platform/sagas/{order_id}/retry")
    assert answer.status_code == 204, answer.text
    with run_platform("worker", env=p.environment, ready="worker started"):
        await eventually(lambda: is_(p, order_id, "compensated"))
    assert (await shown(eve, order_id))["status"] == "refunded"
    assert gateway.entries(str(order_id)) == ["charge", "refund"]
    assert [entry["what"] for entry in await p.sql(refusals, id=order_id)] == ["refused"]


async def test_b37_a_step_that_is_still_being_repeated_is_not_repeated_once_it_is_taken_back(
    p: RunningPlatform, run_platform: RunPlatform, gateway: ServedGateway
) -> None:
    """The worker that repeats the payment dies after an operator has decided, and its heir takes it back."""
    eve, course = await sign_up(p, "eve"), await make_course(p)
    with serving(run_platform, p) as (api, url):
        buying = asyncio.create_task(buy(url, eve, course, "tok_unreachable"))
        await eventually(lambda: told(len(gateway.asked) == 2))
        await asyncio.to_thread(api.kill)
        with pytest.raises(httpx2.TransportError):
            await buying
    order_id = await only_order(p)
    with run_platform("worker", env=p.environment, ready="worker started") as worker:
        await impatiently(p, order_id, lambda: told(len(gateway.asked) == 3))
        await p.execute(CompensateSaga(saga_id=order_id))
        worker.kill()
    asked = len(gateway.asked)
    with run_platform("worker", env=p.environment, ready="worker started"):
        await eventually(lambda: is_(p, order_id, "compensated"))
        await asyncio.sleep(2)
    assert len(gateway.asked) == asked
    assert gateway.entries(str(order_id)) == ["void"]
    assert (await shown(eve, order_id))["status"] == "failed"


# ── B38 ──────────────────────────────────────────────────────────────────────────────────────────


async def test_b38_a_mail_that_cannot_be_sent_is_seen_and_takes_nothing_back(
    platform: PlatformFactory, run_platform: RunPlatform, gateway: ServedGateway
) -> None:
    """The mail server hangs on a worker that dies, and tells the next one that it knows nobody of this name."""
    pytest.importorskip("notification")
    async with refusing_mail_server() as (smtp, calls):
        settings = {**_SETTINGS, "PAYMENT_GATEWAY_URL": gateway.url, "SMTP_URL": smtp}
        modules = ["user_management", "notification", "courses", "orders"]
        async with platform(modules, seed=essentials, settings=settings, mail=False) as p:
            eve, course = await sign_up(p, "eve"), await make_course(p)
            root = await sign_up(p, "root", permissions=["*"])
            bought = await buy_here(p, eve, course)
            assert bought["status"] == "completed"
            with run_platform("worker", env=p.environment, ready="worker started") as worker:
                await eventually(lambda: told(len(calls) == 1))
                worker.kill()
            with run_platform("worker", env=p.environment, ready="worker started"):

                async def is_seen() -> bool:
                    logs = (await root.client.get("/api/v1/notifications/email-logs")).json()["items"]
                    return any(
                        log["status"] in ("failed", "bounced") and "550" in log["error"] for log in logs
                    )

                await eventually(is_seen)
            order = await shown(eve, UUID(bought["id"]))
            assert order["status"] == "completed"
            assert [step["status"] for step in order["steps"]] == ["completed"] * 4
            assert gateway.entries(bought["id"]) == ["charge"]
            [row] = await p.sql("SELECT count(*) AS n FROM courses.enrolments WHERE deleted_at IS NULL")
            assert row["n"] == 1


@contextlib.asynccontextmanager
async def refusing_mail_server() -> AsyncIterator[tuple[str, list[str]]]:
    """
    Serve SMTP that hangs on the first recipient, and knows none of the later ones.

    Yields: its URL, and every recipient that it was asked for.
    """
    calls: list[str] = []
    silence = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            writer.write(b"220 test\r\n")
            while line := (await reader.readline()).decode():
                if line.startswith("RCPT"):
                    calls.append(line)
                    if len(calls) == 1:
                        await silence.wait()
                    writer.write(b"550 5.1.1 nobody of this name\r\n")
                else:
                    writer.write(b"221 bye\r\n" if line.startswith("QUIT") else b"250 ok\r\n")
                await writer.drain()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"smtp://127.0.0.1:{port}", calls
    finally:
        silence.set()
        server.close()


# ── how it is done ───────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def serving(run_platform: RunPlatform, p: RunningPlatform) -> Iterator[tuple[RunningProcess, str]]:
    with run_platform("serve", "--port", "0", env=p.environment, ready=_URL) as api:
        yield api, api.wait_for_line(_URL)[1]


async def buy(url: str, buyer: Account, course: CourseView, how: str = "tok_ok") -> httpx2.Response:
    headers = {"Authorization": f"Bearer {buyer.access_token}"}
    async with httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        body = {"course_id": str(course.id), "payment_token": how}
        return await client.post("/api/v1/orders/purchase", json=body, headers=headers)


async def buy_here(p: RunningPlatform, buyer: Account, course: CourseView) -> dict[str, Any]:
    body = {"course_id": str(course.id), "payment_token": "tok_ok"}
    answer = await buyer.client.post("/api/v1/orders/purchase", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = json.loads(answer.text)
    return made


async def only_order(p: RunningPlatform) -> UUID:
    [row] = await p.sql("SELECT id FROM orders.orders")
    order_id: UUID = row["id"]
    return order_id


async def shown(buyer: Account, order_id: UUID) -> dict[str, Any]:
    order: dict[str, Any] = (await buyer.client.get(f"/api/v1/orders/{order_id}")).json()
    return order


async def is_(p: RunningPlatform, order_id: UUID, status: str) -> bool:
    [row] = await p.sql("SELECT status FROM platform.sagas WHERE id = %(id)s", id=order_id)
    return bool(row["status"] == status)


async def has_failed(p: RunningPlatform, order_id: UUID, step: str, count: int) -> bool:
    [row] = await p.sql(
        "SELECT count(*) AS n FROM platform.saga_log WHERE saga_id = %(id)s AND step = %(step)s"
        " AND what IN ('failed', 'compensation failed')",
        id=order_id,
        step=step,
    )
    return bool(row["n"] >= count)


async def impatiently(p: RunningPlatform, order_id: UUID, condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition without waiting for the pauses between the attempts."""

    async def hurried() -> bool:
        await p.sql(
            "UPDATE platform.deliveries SET available_at = now() WHERE id = %(id)s AND lease_token IS NULL",
            id=order_id,
        )
        return await condition()

    await eventually(hurried)


async def told(answer: bool) -> bool:
    return answer
