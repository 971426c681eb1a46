"""What can be asked about orders."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from orders.contracts import OrderDetailView, OrderView
from platform_core.domain import Page, PageRequest, Query


@dataclass(frozen=True, kw_only=True)
class GetOrder(Query[OrderDetailView]):
    """One of the caller's own orders, with its steps."""

    order_id: UUID


@dataclass(frozen=True, kw_only=True)
class ListOrders(Query[Page[OrderView]]):
    """The caller's own orders, the newest first."""

    page: PageRequest
