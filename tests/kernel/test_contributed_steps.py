"""Steps that modules contribute to another's saga: a run keeps those that it began with, whoever comes and goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from uuid import UUID

import psycopg
import pytest

from platform_core import _outbox
from platform_core._module_operations import DisableModule
from platform_core._modules import removal
from platform_core._pools import KERNEL
from platform_core._saga_operations import CompensateSaga, GetSaga, SkipSagaStep
from platform_core.app import Kernel
from platform_core.domain import new_id
from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform

HOST = PluginSource(
    name="host",
    manifest='title = "Host"\n',
    files={
        "hookspecs.py": '''
from platform_core.hookspecs import hookspec

@hookspec
def party_steps():
    """Offer something to do at the party."""
''',
        "plugin.py": """
from dataclasses import dataclass
from uuid import UUID

from host import hookspecs
from platform_core import hookimpl
from platform_core.declarations import Saga, SagaStep, Services
from platform_core.domain import Command
from platform_core.ports import SagaRun, Sagas


@dataclass(frozen=True, kw_only=True)
class Invite(Command[None]):
    party_id: UUID


@dataclass(frozen=True, kw_only=True)
class Open(Command[None]):
    pass


async def invite(command: Invite, sagas: Sagas) -> None:
    sagas.start("host.party", saga_id=command.party_id)


async def open_door(command: Open) -> None: ...


def door(run: SagaRun) -> Open:
    return Open()


@hookimpl
def register_hookspecs():
    return hookspecs


@hookimpl
def register_services():
    return Services(commands={Invite: invite, Open: open_door})


@hookimpl
def register_sagas():
    return [Saga(name="host.party", steps=[SagaStep(name="door", action=door)], hook="party_steps")]
""",
    },
)


def guest(name: str, options: str = "critical=False", *, step: str = "", undo: bool = False) -> PluginSource:
    """Make a module that adds a step: it leaves a present, and takes it along again where that is asked for."""
    return PluginSource(
        name=name,
        manifest=f'title = "{name.title()}"\n',
        requires=["platform-core", "platform-plugin-host"],
        files={
            "plugin.py": f"""
from dataclasses import dataclass

from platform_core import hookimpl
from platform_core.declarations import Retry, SagaStep, Services
from platform_core.domain import Command
from platform_core.ports import SagaRun


@dataclass(frozen=True, kw_only=True)
class Bring(Command[dict[str, str]]):
    pass


@dataclass(frozen=True, kw_only=True)
class TakeAlong(Command[None]):
    pass


async def bring(command: Bring) -> dict[str, str]:
    return {{"present": "{name}"}}


async def take_along(command: TakeAlong) -> None: ...


def present(run: SagaRun) -> Bring:
    return Bring()


def nothing(run: SagaRun) -> TakeAlong:
    return TakeAlong()


@hookimpl
def register_services():
    return Services(commands={{Bring: bring, TakeAlong: take_along}})


@hookimpl(optionalhook=True)
def party_steps():
    undo = nothing if {undo} else None
    return [SagaStep(name="{step or name + ".present"}", action=present, compensation=undo, {options})]
"""
        },
    )


ANN, BEN, ZOE = guest("ann"), guest("ben", undo=True), guest("zoe", "critical=False, rank=-1")


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(extra=[HOST, ANN, BEN, ZOE]) as running:
        yield running


async def invite(p: RunningPlatform) -> UUID:
    [module] = [plugin.module for plugin in p.kernel.plugins if plugin.name == "host"]
    party_id = new_id()
    await p.execute(module.Invite(party_id=party_id))  # type: ignore[union-attr]  # active plugins are imported
    return party_id


async def standing(p: RunningPlatform, party_id: UUID) -> tuple[str, dict[str, str]]:
    saga = await p.ask(GetSaga(saga_id=party_id))
    return saga.status, {step.name: step.status for step in saga.steps}


async def test_contributed_steps_come_after_the_sagas_own_by_rank_and_then_by_module(
    p: RunningPlatform,
) -> None:
    party_id = await invite(p)
    await p.deliver()
    assert await standing(p, party_id) == (
        "completed",
        dict.fromkeys(("door", "zoe.present", "ann.present", "ben.present"), "completed"),
    )


async def test_a_run_does_not_take_steps_of_modules_that_came_after_it_began(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    async with platform(extra=[HOST, ANN], beside=p) as before:
        party_id = await invite(before)
    await p.deliver()
    assert await standing(p, party_id) == ("completed", {"door": "completed", "ann.present": "completed"})


async def test_a_step_waits_for_a_worker_that_has_its_module_and_is_taken_there(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    party_id = await invite(p)
    async with platform(extra=[HOST, ANN, ZOE], beside=p) as without_ben:
        await without_ben.deliver()
        assert (await standing(p, party_id))[1]["ann.present"] == "completed"
        [delivery] = await p.sql("SELECT handler, status, lease_token FROM platform.deliveries")
        assert delivery == {
            "handler": "ben.present:host.party@1",
            "status": "pending",
            "lease_token": None,
        }
        assert await without_ben.deliver() == [], "nobody here knows what to do"
    await p.deliver()
    assert (await standing(p, party_id))[0] == "completed"


async def test_a_run_whose_module_has_gone_is_parked_and_goes_on_where_it_is_installed_again(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    await p.kernel.announce()
    parked, skipped = await invite(p), await invite(p)
    async with platform(extra=[HOST, ANN, ZOE], beside=p) as without_ben:
        await without_ben.deliver()
        pool = without_ben.kernel.pools.commands(KERNEL)
        await p.sql(
            "UPDATE platform.subscriptions SET seen_at = now() - interval '1 hour' WHERE module = 'ben'"
        )
        await _outbox.touch_subscriptions(pool, ["host.party@1"])
        assert await _outbox.bury_orphans(pool, orphan_seconds=60) == 2
        saga = await without_ben.ask(GetSaga(saga_id=parked))
        assert saga.status == "parked"
        assert "the module ben is not installed" in (saga.error or "")

        await without_ben.execute(SkipSagaStep(saga_id=skipped))
        await without_ben.deliver()
        assert (await standing(p, skipped))[0] == "completed"
    await p.kernel.announce()
    await p.deliver()
    assert await standing(p, parked) == (
        "completed",
        dict.fromkeys(("door", "zoe.present", "ann.present", "ben.present"), "completed"),
    )


async def test_a_step_of_a_module_that_is_switched_off_waits_until_it_is_on_again(p: RunningPlatform) -> None:
    party_id = await invite(p)
    p.kernel.switches.resting.add("ben")  # as a note about it does
    await p.deliver()
    status, steps = await standing(p, party_id)
    assert (status, steps["ann.present"], steps["ben.present"]) == ("running", "completed", "running")
    p.kernel.switches.resting.remove("ben")
    await p.deliver()
    assert (await standing(p, party_id))[0] == "completed"


async def test_a_run_goes_on_without_the_steps_of_a_module_that_was_taken_out_for_good(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    party_id = await invite(p)
    async with platform(extra=[HOST, ANN, ZOE], beside=p) as without_ben:
        await without_ben.deliver()
        with psycopg.connect(p.database_url, autocommit=True) as connection:
            removal.unsubscribe(connection, "ben")
        await without_ben.deliver()
        saga = await p.ask(GetSaga(saga_id=party_id))
    assert (saga.status, saga.steps[-1].status) == ("completed", "skipped")
    assert [entry.what for entry in saga.timeline if entry.step == "ben.present"] == ["left out"]


async def test_a_run_that_began_after_its_module_was_taken_out_is_found_by_the_next_process_without_it(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    await p.kernel.announce()
    await p.execute(DisableModule(module="ben", is_removal=True))
    with psycopg.connect(p.database_url, autocommit=True) as connection:
        removal.unsubscribe(connection, "ben")
    party_id = await invite(p)  # it still has the module loaded
    async with platform(extra=[HOST, ANN, ZOE], beside=p) as without_ben:
        await without_ben.deliver()
        assert (await standing(p, party_id))[0] == "running"
        await without_ben.kernel.announce()
        await without_ben.deliver()
        status, steps = await standing(p, party_id)
    assert (status, steps["ann.present"], steps["ben.present"]) == ("completed", "completed", "skipped")


async def test_a_run_that_waits_for_a_module_that_is_there_somewhere_is_left_alone(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    await p.kernel.announce()
    party_id = await invite(p)
    async with platform(extra=[HOST, ANN, ZOE], beside=p) as without_ben:
        await without_ben.deliver()
        await without_ben.kernel.announce()
        assert await without_ben.deliver() == []
    await p.deliver()
    assert (await standing(p, party_id))[1]["ben.present"] == "completed"


async def test_what_is_taken_back_waits_for_the_module_that_can_take_it_back(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    party_id = await invite(p)
    await p.deliver()
    async with platform(extra=[HOST, ANN, ZOE], beside=p) as without_ben:
        await without_ben.execute(CompensateSaga(saga_id=party_id))
        assert await without_ben.deliver() == []
        assert (await standing(p, party_id))[0] == "compensating"
    await p.deliver()
    assert (await standing(p, party_id))[1]["ben.present"] == "compensated"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (guest("ann", "critical=True"), "is critical: it would undo others' steps"),
        (guest("ann", step="ben.present"), "does not begin with its own name"),
    ],
)
def test_a_step_that_may_not_be_added_is_its_modules_failure(
    load: Callable[..., Kernel], source: PluginSource, problem: str
) -> None:
    [failed] = [plugin for plugin in load(HOST, source).plugins if plugin.error]
    assert (failed.name, problem in str(failed.error)) == ("ann", True)


def test_a_saga_takes_steps_by_a_hook_of_its_own_module_only(load: Callable[..., Kernel]) -> None:
    greedy = host_with("party_steps", "register_seeds")
    [failed] = [plugin for plugin in load(greedy).plugins if plugin.error]
    assert "which is not its own" in str(failed.error)


async def test_a_saga_of_which_nobody_does_anything_is_over_before_it_begins(
    platform: PlatformFactory,
) -> None:
    lazy = host_with('steps=[SagaStep(name="door", action=door)], ', "")
    async with platform(extra=[lazy]) as p:
        await invite(p)
        assert await p.sql("SELECT id FROM platform.sagas") == []
        assert await p.sql("SELECT id FROM platform.deliveries") == []


def host_with(text: str, instead: str) -> PluginSource:
    files = dict(HOST.files)
    assert text in files["plugin.py"]
    files["plugin.py"] = files["plugin.py"].replace(text, instead)
    return replace(HOST, files=files)
