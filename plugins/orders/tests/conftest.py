"""A platform that sells, a gateway whose ledger is the oracle, and people who buy."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from orders.testing import ServedGateway, running_gateway
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import Account, essentials, sign_up

MODULES = ["user_management", "courses", "orders"]


@pytest.fixture
async def gateway() -> AsyncIterator[ServedGateway]:
    async with running_gateway() as served:
        yield served


@pytest.fixture
async def p(platform: PlatformFactory, gateway: ServedGateway) -> AsyncIterator[RunningPlatform]:
    async with platform(MODULES, seed=essentials, settings={"PAYMENT_GATEWAY_URL": gateway.url}) as running:
        yield running


@pytest.fixture
async def eve(p: RunningPlatform) -> Account:
    return await sign_up(p, "eve")
