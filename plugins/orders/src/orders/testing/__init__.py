"""
For tests, of this plugin and of those that sell: a payment gateway whose ledger is the oracle.

    async with running_gateway() as gateway:
        async with platform(["courses", "orders"], settings={"PAYMENT_GATEWAY_URL": gateway.url}) as p:
            …
            assert gateway.entries(order_id) == ["charge"]
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping

import uvicorn

from orders.testing.gateway import DevelopmentGateway

__all__ = ["ServedGateway", "running_gateway", "settings_for_tests"]


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
