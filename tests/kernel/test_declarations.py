"""What else a plugin declares: seeds, health checks, permissions, public services."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from ledger.application import Deposit, OpenAccount, faults

from platform_core.context import Context, bind
from platform_core.declarations import HealthCheck
from platform_core.errors import PlatformError
from platform_core.ports import PermissionInfo
from platform_core.security import SYSTEM
from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform

LEDGER = Path(__file__).parent / "plugins" / "ledger"


async def test_a_seed_goes_through_commands_and_changes_nothing_the_second_time(p: RunningPlatform) -> None:
    [seed] = p.kernel.declared["ledger"].seeds
    for _ in range(2):
        with bind(Context(principal=SYSTEM)):
            await p.kernel.call("ledger", seed.run)
    assert await p.sql("SELECT owner, version FROM ledger.accounts") == [{"owner": "the house", "version": 1}]
    assert [line.outcome for line in await p.audit("ledger.open_account")] == ["done", "refused"]


async def test_a_health_check_gets_what_it_asks_for_and_has_its_time(p: RunningPlatform) -> None:
    [check] = p.kernel.declared["ledger"].health_checks
    await p.kernel.check("ledger", check)

    async def hangs() -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await p.kernel.check("ledger", replace(check, check=hangs, timeout_seconds=0.05))
    assert isinstance(check, HealthCheck)


async def test_permissions_are_listed_with_the_module_that_declared_them(p: RunningPlatform) -> None:
    assert PermissionInfo("accounts:read", "See every account", "ledger") in p.kernel.permissions


ASKER = PluginSource(
    name="asker",
    manifest='title = "Asker"\nqueries = ["ledger"]\n',
    requires=["platform-core", "platform-plugin-ledger"],
    files={
        "plugin.py": """
from dataclasses import dataclass
from uuid import UUID
from platform_core import hookimpl
from platform_core.declarations import Services
from platform_core.domain import Command
from ledger.contracts import AccountDirectory

@dataclass(frozen=True, kw_only=True)
class LookUp(Command[int]):
    account_id: UUID

async def look_up(command: LookUp, accounts: AccountDirectory) -> int:
    return await accounts.balance(command.account_id)

@hookimpl
def register_services():
    return Services(commands={LookUp: look_up})
"""
    },
)


async def test_a_neighbours_public_service_reads_with_the_neighbours_own_role(
    platform: PlatformFactory,
) -> None:
    async with platform(extra=[LEDGER, ASKER]) as p:
        from asker.plugin import LookUp

        account = await p.execute(OpenAccount(owner="Ada"))
        await p.execute(Deposit(account_id=account.id, amount=5))
        with p.count_statements() as traffic:
            assert await p.execute(LookUp(account_id=account.id)) == 5
        assert traffic.by_module["ledger"] == 1, traffic


@pytest.mark.slow
async def test_a_handler_that_takes_longer_than_its_lease_keeps_it(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    async def takes_long() -> None:
        faults.runs.append("began")
        await asyncio.sleep(4)

    faults.before_commit = takes_long
    quick = {"PLATFORM_LEASE_SECONDS": "1.5", "PLATFORM_POLL_SECONDS": "0.1"}
    async with (
        platform(extra=[LEDGER], beside=p, settings=quick) as one,
        platform(extra=[LEDGER], beside=p, settings=quick) as two,
    ):
        workers = [one.kernel.worker(), two.kernel.worker()]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        await p.execute(OpenAccount(owner="Ada"))
        async with asyncio.timeout(30):
            while (await p.deliveries())[0].status != "done":  # noqa: ASYNC110  # the database is polled
                await asyncio.sleep(0.1)
        for worker in workers:
            worker.stop()
        await asyncio.gather(*running)
    assert faults.runs == ["began"]
    assert [row["text"] for row in await p.sql("SELECT text FROM ledger.entries")] == ["welcome Ada"]


async def test_a_worker_that_is_told_to_stop_ends_what_it_began(p: RunningPlatform) -> None:
    async def takes_a_while() -> None:
        worker.stop()
        await asyncio.sleep(0.3)

    faults.before_commit = takes_a_while
    worker = p.kernel.worker()
    running = asyncio.create_task(worker.run())
    await p.execute(OpenAccount(owner="Ada"))
    worker.wake()
    async with asyncio.timeout(20):
        await running
    assert [(d.status, d.attempts_count) for d in await p.deliveries()] == [("done", 1)]


async def test_a_delivery_that_outlasts_the_grace_period_goes_back_at_once(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    async def takes_too_long() -> None:
        worker.stop()
        await asyncio.sleep(60)

    faults.before_commit = takes_too_long
    async with platform(
        extra=[LEDGER], beside=p, settings={"PLATFORM_SHUTDOWN_GRACE_SECONDS": "0.1"}
    ) as other:
        worker = other.kernel.worker()
        running = asyncio.create_task(worker.run())
        await p.execute(OpenAccount(owner="Ada"))
        worker.wake()
        async with asyncio.timeout(20):
            await running
    [returned] = await p.deliveries()
    assert (returned.status, returned.attempts_count, returned.lease_token) == ("pending", 0, None)
    faults.reset()
    assert [d.status for d in await p.deliver()] == ["done"]


HASTY = PluginSource(
    name="hasty",
    manifest='title = "Hasty"\n',
    files={
        "plugin.py": """
from dataclasses import dataclass
from platform_core import hookimpl
from platform_core.declarations import Services
from platform_core.domain import Command
from platform_core.ports import Jobs

@dataclass(frozen=True, kw_only=True)
class Hurry(Command[None]):
    pass

async def hurry(command: Hurry, jobs: Jobs) -> None:
    jobs.later(Hurry())

@hookimpl
def register_services():
    return Services(commands={Hurry: hurry})
"""
    },
)


async def test_a_job_that_no_worker_would_ever_take_is_refused_where_it_is_made(
    platform: PlatformFactory,
) -> None:
    async with platform(extra=[HASTY]) as p:
        from hasty.plugin import Hurry

        with pytest.raises(PlatformError, match=r"hasty\.hurry is no task"):
            await p.execute(Hurry())
        assert await p.deliveries() == []
