"""The table of orders, and how they lie in it."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from sqlalchemy import CheckConstraint, Column, Index, Numeric, Table, Text, Uuid

from orders.domain import Order, OrderNotFound
from platform_core.db import AggregateMap, Repository, aggregate_columns, module_metadata

METADATA: Final = module_metadata("orders")

orders = Table(
    "orders",
    METADATA,
    *aggregate_columns(),
    Column("buyer_id", Uuid, nullable=False),
    Column("course_id", Uuid, nullable=False),
    Column("course_title", Text, nullable=False),
    Column("price_amount", Numeric, nullable=False),
    Column("price_currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("payment_token", Text),
    Column("payment_reference", Text),
    CheckConstraint("status IN ('processing', 'completed', 'failed', 'refunded')", name="status"),
    CheckConstraint("payment_token IS NULL OR status = 'processing'", name="payment_token"),
    Index("ix_orders_buyer_id", "buyer_id", "id"),
    comment="Purchases; each has the id of its saga. A payment token is forgotten once the gateway has answered.",
)

ORDERS: Final = AggregateMap(Order, orders, name="orders.order", secret=["payment_token"])


class SqlOrderRepository(Repository[Order]):
    """Orders, for commands."""

    mapping: ClassVar[AggregateMap[Any]] = ORDERS
    missing = OrderNotFound
