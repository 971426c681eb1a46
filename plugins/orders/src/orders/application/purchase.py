"""
Buying a seat: the command that begins it, and which command each step of it is.

    payment ──► enrolment ──► confirmation ──► completion
    refund  ◄── withdrawal    (not critical)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final
from uuid import UUID

from annotated_types import Len

from courses import CourseCatalogue, CourseNotFound, Enrol, WithdrawEnrolment
from orders.application.ports import OrderRepository, PaymentGateway
from orders.application.steps import CompleteOrder, ConfirmOrder, RefundPayment, TakePayment
from orders.contracts import OrderView
from orders.domain import Order
from platform_core.domain import Command, new_id
from platform_core.ports import Clock, SagaRun, Sagas
from platform_core.security import Principal

PURCHASE: Final = "orders.purchase"


@dataclass(frozen=True, kw_only=True)
class PurchaseCourse(Command[OrderView]):
    """
    Buy a seat in a course.

    Attributes:
        payment_token: what the gateway's form in the buyer's browser made of their card.
    """

    secret_fields: ClassVar[frozenset[str]] = frozenset({"payment_token"})

    course_id: UUID
    payment_token: Annotated[str, Len(1, 200)]


async def purchase_course(
    command: PurchaseCourse,
    orders: OrderRepository,
    catalogue: CourseCatalogue,
    gateway: PaymentGateway,
    sagas: Sagas,
    principal: Principal,
    clock: Clock,
) -> OrderView:
    """Handle `PurchaseCourse`: place the order and begin its saga, which has the order's id."""
    buyer_id = principal.require_user()
    gateway.check_configured()
    course = await catalogue.get(command.course_id)
    if course is None:
        raise CourseNotFound
    order = Order.place(
        new_id(),
        buyer_id=buyer_id,
        course_id=course.id,
        course_title=course.title,
        price=course.price,
        payment_token=command.payment_token,
        now=clock.now(),
    )
    orders.add(order)
    data = {"course_id": str(course.id), "buyer_id": str(buyer_id)}
    sagas.start(PURCHASE, saga_id=order.id, data=data, followed=True)
    return OrderView(
        id=order.id,
        status="processing",
        course_id=order.course_id,
        amount=order.price,
        payment_reference=None,
        created_at=order.created_at,
        updated_at=order.updated_at,
    )


# ── which command each step is ───────────────────────────────────────────────────────────────────


def take_payment(run: SagaRun) -> TakePayment:
    return TakePayment(order_id=run.id)


def refund_payment(run: SagaRun) -> RefundPayment:
    return RefundPayment(order_id=run.id)


def enrol(run: SagaRun) -> Enrol:
    """The seat has the order's id, so that it can be given free whatever became of the answer."""
    return Enrol(
        enrolment_id=run.id,
        course_id=UUID(run.data["course_id"]),
        student_id=UUID(run.data["buyer_id"]),
    )


def withdraw(run: SagaRun) -> WithdrawEnrolment:
    return WithdrawEnrolment(enrolment_id=run.id)


def confirm_order(run: SagaRun) -> ConfirmOrder:
    return ConfirmOrder(order_id=run.id)


def complete_order(run: SagaRun) -> CompleteOrder:
    return CompleteOrder(order_id=run.id)
