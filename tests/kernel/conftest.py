"""Fixtures of the kernel's tests: a platform with the throw-away plugin `ledger`."""

import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from platform_core.app import Kernel
from platform_core.settings import read_settings
from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform, plugins_installed

PLUGINS = Path(__file__).parent / "plugins"
LEDGER = PLUGINS / "ledger"
SERVERS = Path(__file__).parents[1] / "servers"

# test files import commands, events and servers while they are collected
sys.path += [str(PLUGINS), str(SERVERS)]


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(extra=[LEDGER]) as running:
        yield running


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    from ledger.application import faults

    yield
    faults.reset()


class Loader(Protocol):
    def __call__(self, *sources: PluginSource | Path, **environment: str) -> Kernel: ...


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Loader]:
    """Load a kernel with throw-away plugins; nothing is connected."""
    with contextlib.ExitStack() as stack:

        def load(*sources: PluginSource | Path, **environment: str) -> Kernel:
            stack.pop_all().close()  # what the call before installed
            into = tmp_path / f"plugins{len(list(tmp_path.iterdir()))}"
            stack.enter_context(plugins_installed(*sources, into=into))
            names = ",".join(dict.fromkeys(PluginSource.of(source).name for source in sources))
            source = {
                "DATABASE_URL": "postgresql://nobody@localhost/nowhere",
                "REDIS_URL": "redis://localhost",
                "PLATFORM_SECRET_KEY": "x" * 40,
                "PLATFORM_ENV": "test",
                "PLATFORM_MODULES": names,
                **environment,
            }
            return Kernel.load(read_settings(source), source)

        yield load
