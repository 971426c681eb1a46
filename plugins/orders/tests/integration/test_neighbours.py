"""Orders beside `notification`, and without it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from courses.testing import make_course
from orders.testing import ServedGateway
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import essentials, sign_up

EVERYBODY = ["user_management", "notification", "courses", "orders"]
needs_mails = pytest.mark.skipif(find_spec("notification") is None, reason="nobody here sends mails")


@needs_mails
async def test_a_buyer_gets_a_mail(platform: PlatformFactory, gateway: ServedGateway) -> None:
    settings = {"PAYMENT_GATEWAY_URL": gateway.url}
    async with platform(EVERYBODY, seed=essentials, settings=settings) as p:
        eve = await sign_up(p, "eve")
        course = await make_course(p)
        body = {"course_id": str(course.id), "payment_token": "tok_ok"}
        order = (await eve.client.post("/api/v1/orders/purchase", json=body)).json()
        await p.deliver(skip_waits=True)
        [mail] = [mail for mail in p.mails if "Reading maps" in mail.subject]
        assert "49.90 EUR" in (mail.text or "")
        assert order["id"] in (mail.text or "")


@needs_mails
async def test_b38_a_mail_that_cannot_be_sent_changes_nothing(
    platform: PlatformFactory, gateway: ServedGateway
) -> None:
    """It is seen in the log of mails; the order stays completed, and nothing is given back."""
    settings = {"PAYMENT_GATEWAY_URL": gateway.url, "SMTP_URL": "smtp://127.0.0.1:1"}
    async with platform(EVERYBODY, seed=essentials, settings=settings) as p:
        eve = await sign_up(p, "eve", permissions=["notifications:read"])
        course = await make_course(p)
        body = {"course_id": str(course.id), "payment_token": "tok_ok"}
        answer = await eve.client.post("/api/v1/orders/purchase", json=body)
        await p.deliver(skip_waits=True)
        assert answer.status_code == 201
        order = (await eve.client.get(f"/api/v1/orders/{answer.json()['id']}")).json()
        assert order["status"] == "completed"
        assert gateway.entries(order["id"]) == ["charge"]
        logs = (await eve.client.get("/api/v1/notifications/email-logs")).json()["items"]
        assert [log["status"] for log in logs if "Reading maps" in log["subject"] or log["error"]]
        assert all(log["status"] == "failed" for log in logs), logs


async def test_without_a_gateway_nothing_can_be_bought_and_readiness_says_so(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management", "courses", "orders"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        course = await make_course(p)
        body = {"course_id": str(course.id), "payment_token": "tok_ok"}
        answer = await eve.client.post("/api/v1/orders/purchase", json=body)
        assert (answer.status_code, "PAYMENT_GATEWAY_URL" in answer.json()["detail"]) == (503, True)
        assert (await eve.client.get("/api/v1/orders")).json()["items"] == []
        ready = await p.client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")


async def test_courses_do_not_need_orders(platform: PlatformFactory) -> None:
    async with platform(["courses"]) as p:
        assert [plugin.name for plugin in p.kernel.active] == ["platform", "courses"]
        course = await make_course(p)
        assert course.seats_taken == 0


async def test_the_refunds_of_a_gateway_that_was_away_are_made_when_it_is_back(
    p: RunningPlatform, gateway: ServedGateway
) -> None:
    buyers = [await sign_up(p, name) for name in ("ada", "ben")]
    course = await make_course(p, capacity=1)
    gateway.refuses_refunds = 1
    for buyer in buyers:
        body = {"course_id": str(course.id), "payment_token": "tok_ok"}
        await buyer.client.post("/api/v1/orders/purchase", json=body)
    await p.deliver(skip_waits=True)
    rows = await p.sql("SELECT status FROM orders.orders ORDER BY id")
    assert [row["status"] for row in rows] == ["completed", "refunded"]
