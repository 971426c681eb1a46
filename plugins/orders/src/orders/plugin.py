"""What orders contribute to the platform; read it like a table of contents."""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orders.application import ports, purchase, queries, steps
from orders.infrastructure import reads, tables
from orders.infrastructure.gateway import HttpPaymentGateway, payment_gateway
from orders.settings import OrdersSettings
from platform_core import hookimpl
from platform_core.declarations import (
    Companion,
    HealthCheck,
    Migrations,
    Retry,
    Saga,
    SagaStep,
    Services,
    Subscription,
    per_application,
    per_unit_of_work,
)

if TYPE_CHECKING:
    from fastapi import APIRouter


@hookimpl
def register_settings() -> type[OrdersSettings]:
    return OrdersSettings


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[
            per_unit_of_work(ports.OrderRepository, tables.SqlOrderRepository),
            per_application(HttpPaymentGateway, payment_gateway),
            per_application(ports.PaymentGateway, gateway),
        ],
        commands={
            purchase.PurchaseCourse: purchase.purchase_course,
            steps.TakePayment: steps.take_payment,
            steps.RefundPayment: steps.refund_payment,
            steps.ConfirmOrder: steps.confirm_order,
            steps.CompleteOrder: steps.complete_order,
        },
        queries={
            queries.GetOrder: reads.get_order,
            queries.ListOrders: reads.list_orders,
        },
    )


@hookimpl
def register_sagas() -> Sequence[Saga]:
    return [
        Saga(
            name=purchase.PURCHASE,
            steps=[
                SagaStep(
                    name="payment",
                    action=purchase.take_payment,
                    compensation=purchase.refund_payment,
                    # half a minute: whoever bought should soon hear yes or no, or that somebody looks after it
                    retry=Retry(attempts_count=6),
                ),
                SagaStep(name="enrolment", action=purchase.enrol, compensation=purchase.withdraw),
                SagaStep(name="confirmation", action=purchase.confirm_order, critical=False),
                SagaStep(name="completion", action=purchase.complete_order),
            ],
        )
    ]


@hookimpl
def register_routes() -> Sequence[APIRouter]:
    from orders.presentation import router

    return [router]


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", tables.METADATA)


@hookimpl
def register_health_checks() -> Sequence[HealthCheck]:
    return [HealthCheck(name="payments", check=check_gateway)]


@hookimpl
def register_companions() -> Sequence[Companion]:
    return [
        Companion(
            name="Payments",
            variable="PAYMENT_GATEWAY_URL",
            app=development_gateway,
            remark="tok_ok, tok_declined, tok_slow, tok_unreachable; /ledger shows what was paid",
        )
    ]


# ── Buyers hear of their orders where notification is installed, too ─────────────────────────────


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    if importlib.util.find_spec("notification") is None:
        return []
    from orders.infrastructure.notices import SUBSCRIPTIONS

    return SUBSCRIPTIONS


@hookimpl(optionalhook=True)
def notification_kinds() -> Sequence[Any]:
    from orders.infrastructure.notices import KINDS

    return KINDS


@hookimpl(optionalhook=True)
def notification_templates() -> Sequence[Any]:
    from orders.infrastructure.notices import TEMPLATES

    return TEMPLATES


def gateway(http: HttpPaymentGateway) -> HttpPaymentGateway:
    """The same, under the name by which use cases know it."""
    return http


async def check_gateway(http: HttpPaymentGateway) -> str | None:
    """Tell whether payments can be taken."""
    return await http.check()


def development_gateway(directory: Path) -> Callable[..., Awaitable[None]]:
    """Make the stand-in for the real gateway."""
    from orders.testing.gateway import DevelopmentGateway

    return DevelopmentGateway(directory).app
