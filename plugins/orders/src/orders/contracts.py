"""What orders promise to other modules: views and published events; none of them holds a payment token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias
from uuid import UUID

from platform_core.domain import Event, Money

OrderId: TypeAlias = UUID
OrderStatus: TypeAlias = Literal["processing", "completed", "failed", "refunded", "needs_attention"]
StepStatus: TypeAlias = Literal[
    "pending", "running", "completed", "failed", "skipped", "compensated", "compensation_failed"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """
    What somebody wanted to buy, and what became of it.

    Attributes:
        status: `failed`: nothing was paid; `refunded`: what was paid was given back; `needs_attention`: an operator
            has to decide, because nobody knows what the gateway did.
        payment_reference: the gateway's, once it was paid.
    """

    id: OrderId
    status: OrderStatus
    course_id: UUID
    amount: Money
    payment_reference: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step of a purchase."""

    name: str
    status: StepStatus
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDetailView(OrderView):
    """An order with the steps of its purchase, in order."""

    steps: list[StepView]


@dataclass(frozen=True, kw_only=True)
class OrderPlaced(Event):
    """Somebody wants to buy a seat."""

    wire_name: ClassVar[str] = "orders.order_placed"

    order_id: OrderId
    buyer_id: UUID
    course_id: UUID


@dataclass(frozen=True, kw_only=True)
class OrderConfirmed(Event):
    """
    The seat is paid and taken; the buyer should hear of it.

    Attributes:
        amount: as text, exact: `49.90`.
    """

    wire_name: ClassVar[str] = "orders.order_confirmed"

    order_id: OrderId
    buyer_id: UUID
    course_id: UUID
    course_title: str
    amount: str
    currency: str


@dataclass(frozen=True, kw_only=True)
class OrderCompleted(Event):
    """A purchase has come to its good end."""

    wire_name: ClassVar[str] = "orders.order_completed"

    order_id: OrderId
    buyer_id: UUID
    course_id: UUID


@dataclass(frozen=True, kw_only=True)
class OrderFailed(Event):
    """Nothing was paid."""

    wire_name: ClassVar[str] = "orders.order_failed"

    order_id: OrderId
    buyer_id: UUID
    course_id: UUID


@dataclass(frozen=True, kw_only=True)
class OrderRefunded(Event):
    """What was paid was given back."""

    wire_name: ClassVar[str] = "orders.order_refunded"

    order_id: OrderId
    buyer_id: UUID
    course_id: UUID
