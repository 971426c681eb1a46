"""Fixtures of the test kit's own tests; pytest itself is run inside them, for which `pytester` is needed."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from platform_core.testing import PlatformFactory, RunningPlatform

pytest_plugins = ["pytester"]

PLUGINS = Path(__file__).parents[1] / "kernel" / "plugins"
LEDGER = PLUGINS / "ledger"

if str(PLUGINS) not in sys.path:
    sys.path.append(str(PLUGINS))


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(extra=[LEDGER]) as running:
        yield running
