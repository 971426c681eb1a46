"""A plugin that ends its process while it is imported, or blocks it for good, is left out at the next start (B33)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fault_rig.house import SETTINGS, House

from platform_core.testing import PlatformFactory, PluginSource, ProcessProblem, RunPlatform

pytestmark = pytest.mark.long

FATAL = Path(__file__).parent / "plugins" / "hostile" / "fatal"


@pytest.fixture
async def house(platform: PlatformFactory, run_platform: RunPlatform) -> AsyncIterator[House]:
    """A house in which nothing fatal happens before a process is told so."""
    source = PluginSource(name="fatal", directory=FATAL, requires=["platform-core"])
    async with platform(["user_management"], extra=[source], settings=SETTINGS) as p:
        async with contextlib.AsyncExitStack() as stack:
            yield House(p, run_platform, stack)


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("exit", "that ended with exit code 3"),
        ("crash", "that was ended by SIGSEGV"),
        ("deaf", "that ended with exit code 1"),
    ],
)
async def test_b33_what_ends_the_process_is_left_out_at_the_next_start(
    house: House, tmp_path: Path, way: str, told: str
) -> None:
    """Red without the marks: each start ends like the first."""
    environment = {"FATAL": way, "TMPDIR": str(tmp_path)}
    # only the deaf one is waited for; a short limit counts for the modules that are well, too
    limit = {"PLATFORM_STARTUP_TIMEOUT_SECONDS": "1"} if way == "deaf" else {}
    for _ in range(2):
        with pytest.raises(ProcessProblem, match="ended"):
            await house.api(environment=environment | limit)

    for _ in range(2 if way == "exit" else 1):  # marks stay for as long as the plugin deserves it
        api = await house.api(environment=environment)
        assert (await api.client.get("/api/v1/users")).status_code == 401
        answer = await api.client.get("/api/v1/fatal")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/module-unavailable")
        assert told in api.process.output
        assert "fatal: importing fatal.plugin ended the whole process" in api.process.output
        assert await asyncio.to_thread(api.process.terminate) == 0

    mended = await house.api(environment=environment | {"FATAL": ""})
    assert (await mended.client.get("/api/v1/fatal")).json() == "alive"
    assert await asyncio.to_thread(mended.process.terminate) == 0
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if name.endswith(".mark")]


async def test_b33_a_plugin_that_was_not_the_reason_runs_as_ever(house: House, tmp_path: Path) -> None:
    """Somebody killed two processes while the plugin was imported; red when marks alone convict."""
    environment = {"FATAL": f"twice:{tmp_path / 'done'}", "TMPDIR": str(tmp_path)}
    for _ in range(2):
        with pytest.raises(ProcessProblem, match="ended"):
            await house.api(environment=environment)
    api = await house.api(environment=environment)
    assert (await api.client.get("/api/v1/fatal")).json() == "alive"
    assert "trying it apart" in api.process.output
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if name.endswith(".mark")]
