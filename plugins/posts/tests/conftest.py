"""A platform with posts, and people who write and read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import Account, essentials, sign_up

MODULES = ["user_management", "posts"]


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(MODULES, seed=essentials) as running:
        yield running


@pytest.fixture
async def eve(p: RunningPlatform) -> Account:
    return await sign_up(p, "eve")


@pytest.fixture
async def ben(p: RunningPlatform) -> Account:
    return await sign_up(p, "ben")


@pytest.fixture
async def editor(p: RunningPlatform) -> Account:
    return await sign_up(p, "editor", permissions=["posts:write"])
