"""The read side: an order and how its saga stands are one statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import bindparam, case, literal, select

from orders.application.queries import GetOrder, ListOrders
from orders.contracts import OrderDetailView, OrderView, StepView
from orders.domain import OrderNotFound
from orders.infrastructure.tables import orders
from platform_core.db import Reads, sagas
from platform_core.domain import Page
from platform_core.money import exact
from platform_core.security import Principal

_STATUS: Final = case(
    (sagas.c.status == "needs_attention", literal("needs_attention")), else_=orders.c.status
).label("status")
_OWN: Final = (
    select(
        orders.c.id,
        _STATUS,
        orders.c.course_id,
        orders.c.price_amount,
        orders.c.price_currency,
        orders.c.payment_reference,
        orders.c.created_at,
        orders.c.updated_at,
    )
    .select_from(orders.outerjoin(sagas, sagas.c.id == orders.c.id))
    .where(orders.c.buyer_id == bindparam("buyer_id"))
)
_ONE: Final = _OWN.add_columns(sagas.c.steps).where(orders.c.id == bindparam("order_id"))
_PLAIN: Final = ("id", "status", "course_id", "payment_reference", "created_at", "updated_at")


async def get_order(query: GetOrder, reads: Reads, principal: Principal) -> OrderDetailView:
    values = {"order_id": query.order_id, "buyer_id": principal.require_user()}
    row = await reads.one(_ONE, values)
    if row is None:
        raise OrderNotFound
    steps = [
        StepView(**{name: step[name] for name in StepView.__dataclass_fields__})
        for step in row["steps"] or ()
    ]
    return OrderDetailView(**_order(row), steps=steps)


async def list_orders(query: ListOrders, reads: Reads, principal: Principal) -> Page[OrderView]:
    return await reads.page(
        _OWN,
        query.page,
        lambda row: OrderView(**_order(row)),
        order=(orders.c.id,),
        values={"buyer_id": principal.require_user()},
    )


def _order(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _PLAIN} | {
        "amount": exact(row["price_amount"], row["price_currency"])
    }
