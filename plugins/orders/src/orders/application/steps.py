"""The steps of a purchase that are this module's own."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from orders.application.ports import OrderRepository, PaymentGateway
from orders.domain import PaymentDeclined
from platform_core.domain import Command, Refused
from platform_core.ports import Clock


@dataclass(frozen=True, kw_only=True)
class TakePayment(Command[None]):
    """Let the gateway take the price of an order, under the order's id."""

    order_id: UUID


@dataclass(frozen=True, kw_only=True)
class RefundPayment(Command[None]):
    """Let the gateway give back whatever it took for an order, be it nothing."""

    order_id: UUID


@dataclass(frozen=True, kw_only=True)
class ConfirmOrder(Command[None]):
    """Let the buyer hear that they have the seat."""

    order_id: UUID


@dataclass(frozen=True, kw_only=True)
class CompleteOrder(Command[None]):
    """Note that everything is done."""

    order_id: UUID


async def take_payment(
    command: TakePayment, orders: OrderRepository, gateway: PaymentGateway, clock: Clock
) -> Refused | None:
    """Handle `TakePayment`; a "no" is final and leaves a failed order."""
    order = await orders.get(command.order_id)
    try:
        reference = await gateway.charge(str(order.id), order.price, order.payment_token or "")
    except PaymentDeclined as declined:
        order.fail(clock.now())
        return Refused(declined)
    order.pay(reference, clock.now())
    return None


async def refund_payment(
    command: RefundPayment, orders: OrderRepository, gateway: PaymentGateway, clock: Clock
) -> None:
    """Handle `RefundPayment`; the gateway knows better than the order whether anything was paid."""
    order = await orders.get(command.order_id)
    if await gateway.refund(str(order.id)):
        order.refund(clock.now())
    else:
        order.fail(clock.now())


async def confirm_order(command: ConfirmOrder, orders: OrderRepository) -> None:
    """Handle `ConfirmOrder`; who sends what becomes of it is the business of whoever hears the event."""
    (await orders.get(command.order_id)).confirm()


async def complete_order(command: CompleteOrder, orders: OrderRepository, clock: Clock) -> None:
    """Handle `CompleteOrder`."""
    (await orders.get(command.order_id)).complete(clock.now())
