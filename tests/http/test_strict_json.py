"""JSON is taken at its word, in a third party's routes as in ours; addresses and forms have only texts."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from fastapi import APIRouter, Body, Form

from platform_core.domain import Money
from platform_core.http.assembly import HttpParts, ModuleRoutes, build_app


@dataclass(frozen=True, kw_only=True)
class Order:
    count: int = 1
    is_gift: bool = False
    weight: float = 1.0
    price: Money | None = None
    share: Decimal = Decimal(1)
    day: date | None = None
    moment: datetime | None = None
    thing_id: UUID | None = None
    size: Literal["small", "large"] = "small"
    notes: tuple[str, ...] = ()
    options: dict[str, bool] | None = None


def router() -> APIRouter:
    router = APIRouter(prefix="/orders")

    @router.post("/whole")
    async def whole(order: Order) -> Order:
        return order

    @router.post("/parts")
    async def parts(order: Order, amount: Annotated[int, Body()] = 1) -> dict[str, Any]:
        return {"order": order, "amount": amount}

    @router.post("/form")
    async def form(count: Annotated[int, Form()], is_gift: Annotated[bool, Form()]) -> dict[str, Any]:
        return {"count": count, "is_gift": is_gift}

    @router.get("/parameters")
    async def parameters(count: int, is_gift: bool) -> dict[str, Any]:  # a query's
        return {"count": count, "is_gift": is_gift}

    return router


@pytest.fixture
async def client(rig):
    parts = HttpParts(
        settings=rig.settings,
        bus=rig.bus,
        pools=rig.pools,
        keys=rig.keys,
        gate=rig.gate,
        standings=rig.standings,
        authenticators=lambda: {"bearer": rig.tokens},
        audit_denied=rig.audit,
        storage=rig.storage,
        modules=[ModuleRoutes("toys", "Toys", [router()])],
    )
    rig.app = build_app(parts)
    async with rig.client(token=await rig.log_in()) as client:
        yield client


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("count", "5"),
        ("count", True),
        ("count", 5.0),
        ("is_gift", "yes"),
        ("is_gift", 1),
        ("weight", "1.5"),
        ("day", 1_700_000_000),
        ("day", "2026-11-23T00:00:00Z"),
        ("moment", 1_700_000_000),
        ("thing_id", 7),
        ("notes", "one"),
        ("options", {"email": "on"}),
        ("options", {"email": 0}),
    ],
)
async def test_what_is_written_as_something_else_is_422(client, member, value):
    for path, body, pointer in (
        ("whole", {member: value}, f"/body/{member}"),
        ("parts", {"order": {member: value}}, f"/body/order/{member}"),
    ):
        answer = await client.post(f"/orders/{path}", json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"].startswith(pointer)


async def test_what_json_has_no_type_for_is_a_text_as_described(client):
    body = {
        "count": 5,
        "is_gift": True,
        "weight": 2,
        "price": {"amount": "49.90", "currency": "EUR"},
        "share": "0.1",
        "day": "2026-11-23",
        "moment": "2026-11-23T10:00:00Z",
        "thing_id": "0190a5c8-0000-7000-8000-000000000000",
        "size": "large",
        "notes": ["one", "two"],
        "options": {"email": False},
    }
    answer = await client.post("/orders/whole", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == body | {"weight": 2.0}
    assert (await client.post("/orders/parts", json={"order": body, "amount": 2})).status_code == 200


async def test_addresses_and_forms_have_only_texts(client):
    for answer in (
        await client.get("/orders/parameters", params={"count": "5", "is_gift": "yes"}),
        await client.post("/orders/form", data={"count": "5", "is_gift": "yes"}),
    ):
        assert answer.json() == {"count": 5, "is_gift": True}
