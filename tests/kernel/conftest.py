"""Fixtures of the kernel's tests: a platform with the throw-away plugin `ledger`."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from platform_core.testing import PlatformFactory, RunningPlatform

PLUGINS = Path(__file__).parent / "plugins"
LEDGER = PLUGINS / "ledger"

# test files import its commands and events while they are collected
sys.path.append(str(PLUGINS))


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(extra=[LEDGER]) as running:
        yield running


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    from ledger.application import faults

    yield
    faults.reset()
