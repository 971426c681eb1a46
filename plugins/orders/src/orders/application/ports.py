"""What the use cases of orders need of the outside."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from orders.domain import Order
from platform_core.domain import Money


class OrderRepository(Protocol):
    """Orders, for commands."""

    def add(self, aggregate: Order) -> None: ...
    async def get(self, identity: UUID) -> Order: ...


class PaymentGateway(Protocol):
    """
    Takes payments and gives them back.

    Each payment has a key that its caller chooses. Whatever is asked twice under one key happens once, and after an
    answer that never came the gateway is asked what it did.
    """

    def check_configured(self) -> None:
        """Raise `NoPaymentGateway` where there is none."""
        ...

    async def charge(self, key: str, price: Money, token: str) -> str:
        """
        Take a payment.

        Returns: the gateway's reference.

        Raises:
            PaymentDeclined: it says no, for good.
            PaymentGatewayAway: nobody knows whether it was taken.
        """
        ...

    async def refund(self, key: str) -> bool:
        """
        Give back what was paid under a key, and see to it that nothing is paid under it any more.

        Returns: whether anything had been paid.

        Raises:
            PaymentGatewayAway: nobody knows whether it was given back.
        """
        ...
