"""
Seeds: the data that modules need, then those of the deployment; private to the kernel.

    plugin order ─► seeds of each module in its own order ─► top-level `seeds/`, what no module owns

They go through commands like everybody, so each is checked, audited and told of by events. Every seed runs every time
and changes nothing the second time; `platform.seeds` counts the runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import psycopg
from sqlalchemy import text

from platform_core._migrations import ModuleMigrations, read_database
from platform_core._migrations.lock import LOCK_NAMESPACE, SEEDER_LOCK
from platform_core._pools import KERNEL, Pools, libpq_url, translated
from platform_core.context import Context, bind
from platform_core.declarations import Seed, Tier
from platform_core.errors import PlatformError, SeedFailed
from platform_core.security import SYSTEM
from platform_core.settings import KernelSettings

DEPLOYMENT: Final = "seeds"
"""How ledger and reports call the top-level folder."""

WAIT_SECONDS: Final = 300.0

HIGHEST_TIER: Final[Mapping[str, Tier]] = {
    "production": Tier.ESSENTIAL,
    "staging": Tier.ESSENTIAL,
    "development": Tier.DEVELOPMENT,
    "test": Tier.TEST,
}
"""An environment runs its own tier and the ones below: what tests need stands on what developers need."""


class _Declared(Protocol):
    @property
    def seeds(self) -> Sequence[Seed]: ...


class SeedingKernel(Protocol):
    """What this needs of a running kernel."""

    settings: KernelSettings
    pools: Pools

    @property
    def migrations(self) -> Sequence[ModuleMigrations]:
        """Every active module's revisions."""
        ...

    @property
    def declared(self) -> Mapping[str, _Declared]:
        """Active plugin → what it declared, in plugin order."""
        ...

    async def announce(self) -> None:
        """Make this build's handlers known, so that events are delivered to them."""
        ...

    async def call(self, module: str, function: Callable[..., Any]) -> Any:
        """Await a function with what its parameters ask for, as `module`."""
        ...


@dataclass(frozen=True, slots=True)
class SeedReport:
    """
    One seed that was run.

    Attributes:
        runs_count: how often it ran in this database, this time included; 1 means it was new.
    """

    module: str
    name: str
    tier: str
    runs_count: int
    duration_ms: int


async def run_seeds(
    kernel: SeedingKernel,
    environment: str | None = None,
    *,
    essential_only: bool = False,
    module: str | None = None,
    progress: Callable[[SeedReport], None] = lambda _: None,
) -> Sequence[SeedReport]:
    """
    Run the seeds of an environment, one seeder at a time.

    Args:
        kernel: running, on a migrated database.
        environment: development, test, staging or production; by default the one in the settings.
        essential_only: leave out what production must not have.
        module: only this module's; `seeds` are the deployment's own.
        progress: told of each seed that was run.

    Raises:
        SeedFailed: the database is not migrated, or a seed failed; those before it are done, those after it were
            not tried.
    """
    highest = Tier.ESSENTIAL if essential_only else HIGHEST_TIER[environment or kernel.settings.environment]
    plan = [(owner, seed) for owner, seed in _planned(kernel, module) if seed.tier <= highest]
    reports: list[SeedReport] = []
    url = kernel.settings.database_url.get_secret_value()
    async with _lock(url):
        if not_ready := (await read_database(url, kernel.migrations)).not_ready:
            told = "; ".join(str(state) for state in not_ready)
            raise SeedFailed(
                f"The database is not what this build needs: {told}. Run `platform db upgrade` first."
            )
        # in a fresh database no process has served yet, and nobody would ever hear of what seeds do
        await kernel.announce()
        for owner, seed in plan:
            began = time.monotonic()
            await _run(kernel, owner, seed)
            runs_count = await _note(kernel.pools, owner, seed)
            duration_ms = round((time.monotonic() - began) * 1000)
            reports.append(SeedReport(owner, seed.name, seed.tier.name.lower(), runs_count, duration_ms))
            progress(reports[-1])
    return reports


def deployment_seeds() -> Sequence[Seed]:
    """
    Return the seeds of the top-level package `seeds`.

    Raises:
        SeedFailed: it cannot be imported, or offers something else.
    """
    try:
        offered = importlib.import_module(DEPLOYMENT).seeds
    except ModuleNotFoundError as error:
        if error.name == DEPLOYMENT:  # a deployment without seeds of its own
            return ()
        raise SeedFailed(f"The package seeds/ cannot be imported: {error}.") from error
    except Exception as error:
        raise SeedFailed(
            f"The package seeds/ cannot be imported: {type(error).__name__}: {error}."
        ) from error
    if not all(isinstance(seed, Seed) for seed in offered):
        raise SeedFailed(
            "`seeds` in seeds/__init__.py holds something that is no Seed(name=…, tier=…, run=…)."
        )
    return tuple(offered)


def _planned(kernel: SeedingKernel, module: str | None) -> Iterator[tuple[str, Seed]]:
    known = [*kernel.declared, DEPLOYMENT]
    if module is not None and module not in known:
        raise SeedFailed(
            f"There is no module {module} to seed. Running are: {', '.join(known)}. If it is installed,"
            " `platform modules list` says why it does not run."
        )
    for owner, declared in kernel.declared.items():
        if module in (None, owner):
            yield from ((owner, seed) for seed in declared.seeds)
    if module in (None, DEPLOYMENT):
        yield from ((DEPLOYMENT, seed) for seed in deployment_seeds())


async def _run(kernel: SeedingKernel, owner: str, seed: Seed) -> None:
    principal = replace(SYSTEM, label=f"seed {owner}.{seed.name}")
    try:
        with bind(Context(principal=principal, primary_reads=True)):
            await kernel.call(KERNEL if owner == DEPLOYMENT else owner, seed.run)
    except Exception as error:
        words = error.message if isinstance(error, PlatformError) else f"{type(error).__name__}: {error}"
        raise SeedFailed(
            f"The seed {seed.name} of {owner} failed: {words} Seeds before it are done, seeds after it were not tried;"
            " running them all again does no harm."
        ) from error


async def _note(pools: Pools, owner: str, seed: Seed) -> int:
    statement = text(
        "INSERT INTO platform.seeds (module, name, tier) VALUES (:module, :name, :tier)"
        " ON CONFLICT (module, name) DO UPDATE SET tier = excluded.tier, runs_count = seeds.runs_count + 1,"
        " applied_at = now() RETURNING runs_count"
    )
    values = {"module": owner, "name": seed.name, "tier": seed.tier.name.lower()}
    with translated():
        async with pools.commands(KERNEL).connect() as connection:
            [row] = await connection.fetch(statement, values)
            return int(row["runs_count"])


@contextlib.asynccontextmanager
async def _lock(url: str) -> AsyncIterator[None]:
    """Hold the right to seed on a connection of its own, so that two seeders do not interleave."""
    try:
        connection = await psycopg.AsyncConnection.connect(
            libpq_url(url), autocommit=True, application_name="platform/seeds", connect_timeout=10
        )
    except psycopg.OperationalError as error:
        raise SeedFailed(f"The database does not answer: {str(error).strip()}.") from error
    async with connection:
        deadline = time.monotonic() + WAIT_SECONDS
        while not await _taken(connection):
            if time.monotonic() > deadline:
                raise SeedFailed(
                    f"Another process has been seeding this database for more than {WAIT_SECONDS:.0f} s."
                )
            await asyncio.sleep(0.1)
        yield


async def _taken(connection: psycopg.AsyncConnection[Any]) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_NAMESPACE, SEEDER_LOCK))
    row = await cursor.fetchone()
    return row is not None and bool(row[0])
