"""Buying a seat: what clients are told, what the gateway's ledger says, who has a seat in the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from courses import CourseView
from courses.testing import make_course
from orders import OrderCompleted, OrderConfirmed, OrderFailed, OrderRefunded
from orders.testing import ServedGateway
from platform_core._saga_operations import CompensateSaga, RetrySaga
from platform_core.testing import RunningPlatform
from user_management.testing import Account, sign_up

PURCHASE = "/api/v1/orders/purchase"


async def buy(buyer: Account, course: CourseView, token: str = "tok_ok", **headers: str) -> Any:
    body = {"course_id": str(course.id), "payment_token": token}
    return await buyer.client.post(PURCHASE, json=body, headers=headers)


async def only_order(buyer: Account) -> dict[str, Any]:
    [listed] = (await buyer.client.get("/api/v1/orders")).json()["items"]
    order: dict[str, Any] = (await buyer.client.get(f"/api/v1/orders/{listed['id']}")).json()
    return order


def steps(order: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["status"] for step in order["steps"]}


async def seats(p: RunningPlatform, course: CourseView) -> tuple[int, int]:
    """How many the course counts, and how many there are."""
    [row] = await p.sql(
        "SELECT c.seats_taken, count(e.id) FROM courses.courses c LEFT JOIN courses.enrolments e"
        " ON e.course_id = c.id AND e.deleted_at IS NULL WHERE c.id = %(id)s GROUP BY c.seats_taken",
        id=course.id,
    )
    return row["seats_taken"], row["count"]


async def test_a_seat_is_bought(p: RunningPlatform, eve: Account, gateway: ServedGateway) -> None:
    course = await make_course(p)
    answer = await buy(eve, course)

    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert order.keys() == {
        *("id", "status", "course_id", "amount", "payment_reference", "created_at", "updated_at"),
    }
    assert (order["status"], order["course_id"]) == ("completed", str(course.id))
    assert order["amount"] == {"amount": "49.90", "currency": "EUR"}
    assert order["payment_reference"] == f"pay_{order['id']}"
    assert await only_order(eve) == order | {
        "steps": [
            {"name": name, "status": "completed", "attempts": 1, "error": None}
            for name in ("payment", "enrolment", "confirmation", "completion")
        ]
    }
    [seat] = (await eve.client.get("/api/v1/enrolments")).json()["items"]
    assert (seat["course_id"], seat["course_title"]) == (str(course.id), "Reading maps")
    assert gateway.entries(order["id"]) == ["charge"]
    assert gateway.ledger[0].amount == "49.90"
    assert await seats(p, course) == (1, 1)
    assert [type(e) for kind in (OrderConfirmed, OrderCompleted) for e in await p.events(kind)] == [
        OrderConfirmed,
        OrderCompleted,
    ]


async def test_a_payment_token_is_in_no_row_event_log_or_answer_afterwards(
    p: RunningPlatform, eve: Account
) -> None:
    course = await make_course(p)
    for token in ("tok_very_secret", "tok_declined"):
        await buy(eve, course, token)
        for table in (
            *("orders.orders", "platform.sagas", "platform.saga_log", "platform.deliveries"),
            *("audit.audit_logs", "audit.domain_events"),
        ):
            assert token not in str(await p.sql(f"SELECT * FROM {table}")), table


async def test_a_declined_payment_is_402_and_the_order_has_failed(
    p: RunningPlatform, eve: Account, gateway: ServedGateway
) -> None:
    course = await make_course(p)
    answer = await buy(eve, course, "tok_declined")
    assert (answer.status_code, answer.json()["type"]) == (402, "/problems/payment-declined")
    order = await only_order(eve)
    assert (order["status"], order["payment_reference"]) == ("failed", None)
    assert steps(order) == {
        "payment": "failed",
        "enrolment": "pending",
        "confirmation": "pending",
        "completion": "pending",
    }
    assert gateway.entries(order["id"]) == ["decline"]
    assert await seats(p, course) == (0, 0)
    assert len(await p.events(OrderFailed)) == 1


async def test_a_full_course_is_409_and_the_payment_was_taken_back(
    p: RunningPlatform, eve: Account, gateway: ServedGateway
) -> None:
    course = await make_course(p, capacity=1)
    await buy(await sign_up(p, "ben"), course)
    answer = await buy(eve, course)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/course-full")
    order = await only_order(eve)
    assert order["status"] == "refunded"
    assert steps(order)["payment"] == "compensated"
    assert steps(order)["enrolment"] == "failed"
    assert gateway.entries(order["id"]) == ["charge", "refund"]
    assert await seats(p, course) == (1, 1)
    assert len(await p.events(OrderRefunded)) == 1


async def test_who_has_a_seat_already_is_refunded(
    p: RunningPlatform, eve: Account, gateway: ServedGateway
) -> None:
    course = await make_course(p)
    first = (await buy(eve, course)).json()
    answer = await buy(eve, course)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/already-enrolled")
    orders = (await eve.client.get("/api/v1/orders")).json()["items"]
    assert [order["status"] for order in orders] == ["refunded", "completed"]
    assert gateway.entries(orders[0]["id"]) == ["charge", "refund"]
    assert gateway.entries(first["id"]) == ["charge"]
    assert await seats(p, course) == (1, 1)


async def test_fifty_race_for_one_seat(p: RunningPlatform, gateway: ServedGateway) -> None:
    course = await make_course(p, capacity=1)
    buyers = [await sign_up(p, f"buyer{number}") for number in range(50)]
    answers = await asyncio.gather(*(buy(buyer, course) for buyer in buyers))
    assert Counter(answer.status_code for answer in answers) <= Counter({201: 1, 409: 49, 202: 50})
    await p.deliver(skip_waits=True)  # a busy machine answers 202 to some, and a worker goes on
    statuses = Counter(row["status"] for row in await p.sql("SELECT status FROM orders.orders"))
    assert statuses == {"completed": 1, "refunded": 49}
    kinds = Counter(entry.kind for entry in gateway.ledger)
    assert kinds == {"charge": 50, "refund": 49}
    assert await seats(p, course) == (1, 1)


async def test_the_same_key_buys_once_and_the_first_answer_comes_again(
    p: RunningPlatform, eve: Account, gateway: ServedGateway
) -> None:
    course = await make_course(p, capacity=1)
    key = {"Idempotency-Key": "eve-1"}
    first, again = await buy(eve, course, **key), await buy(eve, course, **key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    refused = await sign_up(p, "ben")
    for _ in range(2):
        assert (await buy(refused, course, **{"Idempotency-Key": "ben-1"})).status_code == 409
    assert Counter(entry.kind for entry in gateway.ledger) == {"charge": 2, "refund": 1}


async def test_a_key_whose_process_died_leads_to_the_order(
    p: RunningPlatform, eve: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored with the order, before any step: 202 and where to look."""

    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    course = await make_course(p)
    with monkeypatch.context() as patch:
        patch.setattr("platform_core._sagas.runner.SagaRunner._carry_on", die)
        with pytest.raises(asyncio.CancelledError):
            await buy(eve, course, **{"Idempotency-Key": "eve-1"})
    again = await buy(eve, course, **{"Idempotency-Key": "eve-1"})
    assert (again.status_code, again.json()["status"]) == (202, "processing")
    await p.sql("UPDATE platform.deliveries SET available_at = now()")
    await p.deliver()
    found = (await eve.client.get(again.headers["Location"])).json()
    assert found["status"] == "completed"
    assert len((await eve.client.get("/api/v1/orders")).json()["items"]) == 1


async def test_what_takes_over_five_seconds_is_202_and_a_worker_goes_on(
    p: RunningPlatform, eve: Account, gateway: ServedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform_core._sagas.runner.FOLLOWED_SECONDS", 0.5)
    gateway.slow_seconds = 1.5
    course = await make_course(p)
    answer = await buy(eve, course, "tok_slow")
    assert (answer.status_code, answer.json()["status"]) == (202, "processing")
    assert answer.headers["Location"] == f"/api/v1/orders/{answer.json()['id']}"
    assert steps((await eve.client.get(answer.headers["Location"])).json())["payment"] == "running"
    await p.deliver()
    order = (await eve.client.get(answer.headers["Location"])).json()
    assert order["status"] == "completed"
    assert gateway.entries(order["id"]) == ["charge"]


async def test_an_answer_that_was_lost_after_charging_is_asked_for(
    p: RunningPlatform, eve: Account, gateway: ServedGateway
) -> None:
    """B36: the gateway says 500 and has taken the money."""
    gateway.loses_answers = 1
    answer = await buy(eve, await make_course(p))
    assert answer.status_code == 201
    assert gateway.entries(answer.json()["id"]) == ["charge"]


async def test_an_outcome_that_nobody_can_find_out_needs_attention_and_an_operator_decides(
    p: RunningPlatform, eve: Account, gateway: ServedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B36: after its limit; nothing was paid and nothing ever will be under this key."""
    monkeypatch.setattr("platform_core._sagas.runner.FOLLOWED_SECONDS", 0.5)
    course = await make_course(p)
    answer = await buy(eve, course, "tok_unreachable")
    assert answer.status_code == 202
    await p.deliver(skip_waits=True)
    order = await only_order(eve)
    assert (order["status"], steps(order)["payment"]) == ("needs_attention", "failed")
    payment = order["steps"][0]
    assert (payment["attempts"], payment["error"]) == (6, "The payment gateway does not answer.")

    await p.execute(CompensateSaga(saga_id=UUID(order["id"])))
    await p.deliver()
    assert (await only_order(eve))["status"] == "failed"
    assert gateway.entries(order["id"]) == ["void"]


async def test_a_refund_that_never_works_needs_attention_and_the_seat_is_not_asked_for_again(
    p: RunningPlatform, eve: Account, gateway: ServedGateway
) -> None:
    """B37."""
    course = await make_course(p, capacity=1)
    await buy(await sign_up(p, "ben"), course)
    gateway.refuses_refunds = 1000
    answer = await asyncio.wait_for(buy(eve, course), 20)
    assert answer.status_code == 202
    await p.deliver(skip_waits=True)
    order = await only_order(eve)
    assert (order["status"], steps(order)["payment"]) == ("needs_attention", "compensation_failed")
    assert len(await p.audit("courses.enrol")) == 2

    gateway.refuses_refunds = 0
    await p.execute(RetrySaga(saga_id=UUID(order["id"])))
    await p.deliver()
    assert (await only_order(eve))["status"] == "refunded"
    assert gateway.entries(order["id"]) == ["charge", "refund"]
    assert len(await p.audit("courses.enrol")) == 2


async def test_an_operator_takes_a_completed_order_back(
    p: RunningPlatform, eve: Account, gateway: ServedGateway
) -> None:
    course = await make_course(p, capacity=1)
    order = (await buy(eve, course)).json()
    await p.execute(CompensateSaga(saga_id=UUID(order["id"])))
    await p.deliver()
    assert (await only_order(eve))["status"] == "refunded"
    assert gateway.entries(order["id"]) == ["charge", "refund"]
    assert await seats(p, course) == (0, 0)
    assert (await buy(eve, course)).status_code == 201, "the seat is free again"


async def test_orders_are_their_buyers_alone(p: RunningPlatform, eve: Account) -> None:
    order = (await buy(eve, await make_course(p))).json()
    ben = await sign_up(p, "ben", permissions=["*"])
    assert (await ben.client.get(f"/api/v1/orders/{order['id']}")).status_code == 404
    assert (await ben.client.get("/api/v1/orders")).json()["items"] == []
    assert (await ben.client.get("/api/v1/enrolments")).json()["items"] == []


async def test_what_cannot_be_bought(p: RunningPlatform, eve: Account, gateway: ServedGateway) -> None:
    nothing = {"course_id": "01a20642-0c8c-7e6e-b94c-e5b378cc4910", "payment_token": "tok_ok"}
    assert (await eve.client.post(PURCHASE, json=nothing)).status_code == 404
    for wrong in ({"payment_token": "x" * 201}, {"payment_token": ""}, {"buyer_id": str(eve.id)}):
        assert (await eve.client.post(PURCHASE, json=nothing | wrong)).status_code == 422
    assert gateway.ledger == []


async def test_a_purchase_costs_so_many_round_trips(p: RunningPlatform, eve: Account) -> None:
    course = await make_course(p)
    with p.count_statements() as traffic:
        assert (await buy(eve, course)).status_code == 201
        await only_order(eve)
    counted = Counter(statement.module for statement in traffic.statements)
    # the lease; the price and the seat; the order with its saga, what three steps read and write, both answers
    assert (counted["platform"], counted["courses"], counted["orders"]) == (1, 2, 1 + 2 * 3 + 1 + 2), counted
