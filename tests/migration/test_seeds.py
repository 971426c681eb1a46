"""
Seeds: which run where, in which order, how often, and what is told when one fails.
"""

import asyncio
import importlib
import json
import os
import subprocess
import sys
import types
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

import platform_core
from platform_core import _migrations, _seeds
from platform_core._pools import libpq_url
from platform_core._seeds import run_seeds
from platform_core.context import current
from platform_core.declarations import Seed, Tier
from platform_core.errors import SeedFailed
from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform

ROOT = Path(platform_core.__file__).resolve().parents[1]

SEEDS = """
from platform_core import hookimpl
from platform_core.declarations import Seed, Tier
from platform_core.ports import Clock, Execute

runs: list[str] = []
broken: set[str] = set()


def seed(module, name, tier):
    async def run(execute: Execute, clock: Clock) -> None:
        if name in broken:
            raise RuntimeError("no more seats")
        runs.append(f"{module}.{name}")

    return Seed(name=name, tier=tier, run=run)


def seeds(module):
    return [
        seed(module, "first", Tier.ESSENTIAL),
        seed(module, "example", Tier.DEVELOPMENT),
        seed(module, "second", Tier.ESSENTIAL),
        seed(module, "crowd", Tier.TEST),
    ]
"""

OFFER = """
from aaa_tools import seeding
from platform_core import hookimpl


@hookimpl
def register_seeds():
    return seeding.seeds({!r})
"""

TOOLS = PluginSource(name="aaa_tools", files={"seeding.py": SEEDS})
# in the order of their names the second would come first; it needs the first one
ZEBRA = PluginSource(
    name="zebra", files={"plugin.py": OFFER.format("zebra")}, requires=["platform-plugin-aaa-tools"]
)
APE = PluginSource(name="ape", files={"plugin.py": OFFER.format("ape")}, requires=["platform-plugin-zebra"])


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(extra=[APE, TOOLS, ZEBRA]) as running:
        yield running


@pytest.fixture
def seeding(p: RunningPlatform) -> types.ModuleType:
    return sys.modules["aaa_tools.seeding"]


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, seeding: types.ModuleType) -> list[Seed]:
    """What the folder seeds/ offers."""
    offered = [seeding.seed("seeds", "house", Tier.ESSENTIAL)]
    monkeypatch.setattr(importlib.import_module("seeds"), "seeds", offered)
    return offered


@pytest.mark.parametrize(("environment", "names"), [
    ("production", ["first", "second"]),
    ("staging", ["first", "second"]),
    ("development", ["first", "example", "second"]),
    ("test", ["first", "example", "second", "crowd"]),
])  # fmt: skip
async def test_an_environment_runs_its_tier_and_those_below_in_plugin_order_then_the_deployments(
    p: RunningPlatform, seeding: types.ModuleType, own: list[Seed], environment: str, names: list[str]
) -> None:
    await run_seeds(p.kernel, environment)
    expected = [f"{module}.{name}" for module in ("zebra", "ape") for name in names]
    assert seeding.runs == [*expected, "seeds.house"]


async def test_the_settings_say_which_environment_it_is_and_essential_only_narrows(
    p: RunningPlatform, seeding: types.ModuleType
) -> None:
    assert p.kernel.settings.environment == "test"
    await run_seeds(p.kernel, module="ape")
    assert seeding.runs == ["ape.first", "ape.example", "ape.second", "ape.crowd"]
    seeding.runs.clear()
    await run_seeds(p.kernel, "development", essential_only=True, module="zebra")
    assert seeding.runs == ["zebra.first", "zebra.second"]


async def test_every_run_is_counted_in_the_ledger(p: RunningPlatform, own: list[Seed]) -> None:
    told: list[str] = []
    first = await run_seeds(p.kernel, "production", progress=lambda report: told.append(report.name))
    again = await run_seeds(p.kernel, "production")
    assert [report.runs_count for report in first] == [1] * 5
    assert [report.runs_count for report in again] == [2] * 5
    assert told == [report.name for report in first]
    assert await p.sql("SELECT module, name, tier, runs_count FROM platform.seeds ORDER BY 1, 2") == [
        {"module": module, "name": name, "tier": "essential", "runs_count": 2}
        for module, name in [
            ("ape", "first"),
            ("ape", "second"),
            ("seeds", "house"),
            ("zebra", "first"),
            ("zebra", "second"),
        ]
    ]


async def test_a_failing_seed_is_named_and_stops_those_after_it(
    p: RunningPlatform, seeding: types.ModuleType
) -> None:
    seeding.broken.add("second")
    with pytest.raises(SeedFailed) as failed:
        await run_seeds(p.kernel, "production")
    assert failed.value.message.startswith("The seed second of zebra failed: RuntimeError: no more seats")
    assert isinstance(failed.value.__cause__, RuntimeError)
    assert seeding.runs == ["zebra.first"]
    assert len(await p.sql("SELECT name FROM platform.seeds")) == 1
    seeding.broken.clear()
    await run_seeds(p.kernel, "production")
    assert seeding.runs[1:] == ["zebra.first", "zebra.second", "ape.first", "ape.second"]


async def test_a_seed_acts_as_the_platform_and_by_its_name(p: RunningPlatform, own: list[Seed]) -> None:
    seen: list[tuple[str, bool]] = []

    async def look() -> None:
        seen.append((current().principal.label, current().principal.can("anything:at_all")))

    own[:] = [Seed(name="look", tier=Tier.ESSENTIAL, run=look)]
    await run_seeds(p.kernel, module="seeds")
    assert seen == [("seed seeds.look", True)]


async def test_two_seeders_do_not_interleave(p: RunningPlatform, own: list[Seed]) -> None:
    at_work: list[int] = []
    most = 0

    async def work() -> None:
        nonlocal most
        at_work.append(1)
        most = max(most, len(at_work))
        await asyncio.sleep(0.2)
        at_work.pop()

    own[:] = [Seed(name="work", tier=Tier.ESSENTIAL, run=work)]
    await asyncio.gather(*(run_seeds(p.kernel, module="seeds") for _ in range(3)))
    assert most == 1


async def test_who_waits_too_long_to_seed_is_told(
    p: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_seeds, "WAIT_SECONDS", 0.2)
    with psycopg.connect(libpq_url(p.database_url), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s, %s)", (_seeds.LOCK_NAMESPACE, _seeds.SEEDER_LOCK))
        with pytest.raises(SeedFailed, match="Another process has been seeding"):
            await run_seeds(p.kernel)


async def test_an_unknown_module_is_told_with_those_that_run(p: RunningPlatform) -> None:
    with pytest.raises(
        SeedFailed, match=r"no module nothing to seed\. Running are: platform, aaa_tools, zebra, ape, seeds"
    ):
        await run_seeds(p.kernel, module="nothing")


async def test_a_database_that_is_not_migrated_is_not_seeded(p: RunningPlatform) -> None:
    _migrations.downgrade(p.database_url, p.kernel.migrations, "base").raise_for_failures()
    with pytest.raises(
        SeedFailed, match=r"platform: pending: platform_0001.* Run `platform db upgrade` first"
    ):
        await run_seeds(p.kernel)


async def test_what_the_folder_offers_has_to_be_seeds(
    p: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("seeds"), "seeds", ["house"])
    with pytest.raises(SeedFailed, match="holds something that is no Seed"):
        await run_seeds(p.kernel)


@pytest.mark.processes
async def test_python_m_seeds_and_platform_seed_do_the_same(p: RunningPlatform) -> None:
    path = os.pathsep.join([p.environment["PYTHONPATH"], str(ROOT), *sys.path])
    environment = {**os.environ, **p.environment, "PYTHONPATH": path}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments], env=environment, cwd=ROOT, capture_output=True, text=True
        )

    first = await asyncio.to_thread(run, "seeds", "--env", "development", "--module", "zebra")
    assert first.returncode == 0, first.stderr
    assert [line.partition(",")[0] for line in first.stdout.splitlines()] == [
        "zebra.first (essential): applied",
        "zebra.example (development): applied",
        "zebra.second (essential): applied",
    ]
    again = await asyncio.to_thread(run, "platform_core", "seed", "--essential-only", "--json")
    assert [(s["module"], s["name"], s["runs_count"]) for s in json.loads(again.stdout)] == [
        ("zebra", "first", 2),
        ("zebra", "second", 2),
        ("ape", "first", 1),
        ("ape", "second", 1),
    ]
    unknown = await asyncio.to_thread(run, "seeds", "--module", "nothing")
    assert unknown.returncode == 1
    assert "Error: There is no module nothing to seed." in unknown.stderr
