"""Routes below `/orders`."""

from __future__ import annotations

from uuid import UUID

from fastapi import Response

from courses import AlreadyEnrolled, CourseFull, CourseNotFound
from orders.application.purchase import PurchaseCourse
from orders.application.queries import GetOrder, ListOrders
from orders.contracts import OrderDetailView, OrderView
from orders.domain import NoPaymentGateway, OrderNotFound, PaymentDeclined
from platform_core.domain import Page
from platform_core.http import Ask, Execute, Follow, PageParams, Router

router = Router()


def _address(order: OrderView) -> str:
    return f"/api/v1/orders/{order.id}"


@router.post(
    "/orders/purchase",
    status_code=201,
    begins=_address,
    raises=(CourseNotFound, PaymentDeclined, CourseFull, AlreadyEnrolled, NoPaymentGateway),
    responses={202: {"model": OrderView, "description": "It goes on; `Location` says where to look."}},
    summary="Buy a seat in a course",
)
async def purchase(
    command: PurchaseCourse, execute: Execute, follow: Follow, ask: Ask, response: Response
) -> OrderView:
    placed = await execute(command)
    if not await follow(placed.id):
        response.status_code = 202
        response.headers["Location"] = _address(placed)
    return await ask(GetOrder(order_id=placed.id))


@router.get("/orders", summary="List your orders")
async def list_orders(page: PageParams, ask: Ask) -> Page[OrderView]:
    return await ask(ListOrders(page=page))


@router.get("/orders/{order_id}", raises=(OrderNotFound,), summary="See one of your orders, step by step")
async def get_order(order_id: UUID, ask: Ask) -> OrderDetailView:
    return await ask(GetOrder(order_id=order_id))
