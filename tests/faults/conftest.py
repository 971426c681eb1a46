"""
Fault tests: real processes of the platform, real servers, and somebody who pulls the plug.

Each compares what clients were told with what the database, the mail server and the audit trail hold afterwards
(`House.check`). What a test would not notice if it were broken is no test: each names the change that was made to
the code once to see it fail.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from platform_core.testing import PlatformFactory, PluginSource, RunPlatform

HERE = Path(__file__).parent
TALLY = HERE / "plugins" / "tally"
MISCHIEF = PluginSource(
    name="mischief",
    directory=HERE / "plugins" / "mischief",
    requires=["platform-core", "platform-plugin-tally"],
)

# test files import the rig while they are collected
sys.path.append(str(HERE))

if TYPE_CHECKING:
    from fault_rig.house import House

    from platform_core.testing.chaos import PostgresServer, RedisServer

    NewHouse = Callable[..., contextlib.AbstractAsyncContextManager[House]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.processes)


@pytest.fixture
def new_house(platform: PlatformFactory, run_platform: RunPlatform) -> NewHouse:
    """Open a house: `async with new_house(settings) as house`."""
    from fault_rig.house import SETTINGS, House

    from user_management.testing import essentials

    @contextlib.asynccontextmanager
    async def open_house(
        settings: Mapping[str, str] | None = None,
        factory: PlatformFactory = platform,
        mischief: bool = False,
    ) -> AsyncIterator[House]:
        extra = [TALLY, MISCHIEF] if mischief else [TALLY]
        modules = ["user_management", "notification"]
        merged = {**SETTINGS, **(settings or {})}
        async with factory(modules, extra=extra, settings=merged, seed=essentials) as p:
            assert [plugin.name for plugin in p.kernel.plugins if plugin.error] == []
            async with contextlib.AsyncExitStack() as stack:
                yield House(p, run_platform, stack)

    return open_house


@pytest.fixture
async def house(new_house: NewHouse) -> AsyncIterator[House]:
    async with new_house() as opened:
        yield opened


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test's own."""
    from platform_core.testing.chaos import RedisServer

    directory = tmp_path / "redis"
    directory.mkdir()
    with RedisServer(directory) as server:
        yield server


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test's own."""
    from platform_core.testing.chaos import postgres_server

    with postgres_server() as server:
        yield server
