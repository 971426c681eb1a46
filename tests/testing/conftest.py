"""Fixtures of the test kit's own tests; pytest itself is run inside them, for which `pytester` is needed."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from platform_core.testing import PlatformFactory, RunningPlatform

pytest_plugins = ["pytester"]

PLUGINS = Path(__file__).parents[1] / "kernel" / "plugins"
LEDGER = PLUGINS / "ledger"

for place in (PLUGINS, Path(__file__).parent):
    if str(place) not in sys.path:
        sys.path.append(str(place))


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(extra=[LEDGER]) as running:
        yield running


@pytest.fixture
def own_cache(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of its own does not meet the servers of the run that this test is part of."""
    for name in ("TEST_DATABASE_URL", "TEST_REDIS_URL", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    return pytester.path
