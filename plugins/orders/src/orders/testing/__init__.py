"""
For tests, of this plugin and of those that sell: a payment gateway whose ledger is the oracle.

    async with running_gateway() as gateway:
        async with platform(["courses", "orders"], settings={"PAYMENT_GATEWAY_URL": gateway.url}) as p:
            …
            order = await buy(eve.client, await make_course(p))
            assert gateway.entries(UUID(order["id"])) == ["charge"]
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from orders.testing.gateway import DevelopmentGateway

if TYPE_CHECKING:
    from httpx2 import AsyncClient

    from courses import CourseView

__all__ = ["FACTORIES", "ServedGateway", "buy", "running_gateway", "settings_for_tests"]


def settings_for_tests() -> Mapping[str, str]:
    """Return what this plugin needs to start under test: nothing, until somebody wants to pay."""
    return {}


class ServedGateway(DevelopmentGateway):
    """
    A gateway that listens.

    Attributes:
        url: for `PAYMENT_GATEWAY_URL`, also of other processes.
    """

    url = ""


@contextlib.asynccontextmanager
async def running_gateway() -> AsyncIterator[ServedGateway]:
    """Serve a gateway on a free port of this machine for the length of the block."""
    gateway = ServedGateway()
    config = uvicorn.Config(
        gateway.app, lifespan="off", log_config=None, log_level="warning", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gateway.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        serving = asyncio.create_task(server._serve([listener]))  # `serve` would take the test's signals
        try:
            yield gateway
        finally:
            server.should_exit = True
            await serving


async def buy(
    client: AsyncClient,
    course: CourseView,
    token: str = "tok_ok",  # noqa: S107  # of the development gateway
) -> dict[str, Any]:
    """Buy a seat over HTTP and return the order; fails unless it was completed, or is under way."""
    body = {"course_id": str(course.id), "payment_token": token}
    answer = await client.post("/api/v1/orders/purchase", json=body)
    assert answer.status_code in (201, 202), answer.text  # noqa: S101  # assertions are its product
    order: dict[str, Any] = answer.json()
    return order


FACTORIES: Final = {"orders.order": buy}
"""What makes one of each aggregate."""
