"""The suites of the test kit run on the kernel's own adapters, and on the throw-away plugin of its tests."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from platform_core.testing import PlatformFactory, RunningPlatform

PLUGINS = Path(__file__).parents[1] / "kernel" / "plugins"

if str(PLUGINS) not in sys.path:
    sys.path.append(str(PLUGINS))


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(extra=[PLUGINS / "ledger"]) as running:
        yield running
