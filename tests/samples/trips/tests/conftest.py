"""A platform with courses and trips, and somebody who travels."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import Account, essentials, sign_up


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(["user_management", "courses", "trips"], seed=essentials) as running:
        yield running


@pytest.fixture
async def eve(p: RunningPlatform) -> Account:
    return await sign_up(p, "eve")
