"""An order: what is bought, for how much, and whether it was paid, completed or given back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from orders.contracts import OrderCompleted, OrderConfirmed, OrderFailed, OrderPlaced, OrderRefunded
from platform_core.domain import Aggregate, Money
from platform_core.errors import DomainError, Kind, NotFound, Unavailable
from platform_core.money import exact

PROCESSING: Final = "processing"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
REFUNDED: Final = "refunded"


class OrderNotFound(NotFound):
    """There is no such order, or it is not yours."""


class PaymentDeclined(DomainError, kind=Kind.PAYMENT_REQUIRED):
    """The payment was declined; nothing was bought and nothing was paid."""


class PaymentGatewayAway(Unavailable):
    """The payment gateway does not answer."""


class NoPaymentGateway(Unavailable):
    """Nobody takes payments here: PAYMENT_GATEWAY_URL is not set."""


@dataclass(eq=False, kw_only=True)
class Order(Aggregate):
    """
    A purchase of one seat.

    Attributes:
        course_title, price_amount, price_currency: as they were when it was placed.
        payment_token: what the gateway takes the payment from; forgotten as soon as it has said yes or no.
        payment_reference: the gateway's name for the payment.
    """

    buyer_id: UUID
    course_id: UUID
    course_title: str
    price_amount: Decimal
    price_currency: str
    status: str
    payment_token: str | None
    payment_reference: str | None = None

    @classmethod
    def place(
        cls,
        order_id: UUID,
        *,
        buyer_id: UUID,
        course_id: UUID,
        course_title: str,
        price: Money,
        payment_token: str,
        now: datetime,
    ) -> Order:
        """Begin a purchase."""
        order = cls(
            id=order_id,
            buyer_id=buyer_id,
            course_id=course_id,
            course_title=course_title,
            price_amount=price.amount,
            price_currency=price.currency,
            status=PROCESSING,
            payment_token=payment_token,
            created_at=now,
            updated_at=now,
        )
        order.record(OrderPlaced(order_id=order_id, buyer_id=buyer_id, course_id=course_id))
        return order

    @property
    def price(self) -> Money:
        return exact(self.price_amount, self.price_currency)

    def pay(self, reference: str, now: datetime) -> None:
        """The gateway took the payment."""
        self.payment_reference, self.payment_token = reference, None
        self.touch(now)

    def fail(self, now: datetime) -> None:
        """Nothing was paid, and nothing will be."""
        if self.status == FAILED:
            return
        self.status, self.payment_token = FAILED, None
        self.touch(now)
        self.record(OrderFailed(order_id=self.id, buyer_id=self.buyer_id, course_id=self.course_id))

    def refund(self, now: datetime) -> None:
        """What was paid was given back."""
        if self.status == REFUNDED:
            return
        self.status, self.payment_token = REFUNDED, None
        self.touch(now)
        self.record(OrderRefunded(order_id=self.id, buyer_id=self.buyer_id, course_id=self.course_id))

    def confirm(self) -> None:
        """Let the buyer hear of it."""
        self.record(
            OrderConfirmed(
                order_id=self.id,
                buyer_id=self.buyer_id,
                course_id=self.course_id,
                course_title=self.course_title,
                amount=str(self.price.amount),
                currency=self.price_currency,
            )
        )

    def complete(self, now: datetime) -> None:
        """Everything is done."""
        self.status = COMPLETED
        self.touch(now)
        self.record(OrderCompleted(order_id=self.id, buyer_id=self.buyer_id, course_id=self.course_id))
