"""A module that is switched off says so, and everything that is its waits; switched on again, it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ledger.application import Deposit, OpenAccount

from platform_core._documentation import handbook_of
from platform_core._health import Health
from platform_core._module_operations import (
    DisableModule,
    EnableModule,
    ModuleIsNeeded,
    ModuleIsRequired,
    ModuleNeedsOthers,
)
from platform_core._switches import Switchboard, note_of
from platform_core.app import Kernel
from platform_core.errors import ConcurrentUpdate, NotFound
from platform_core.settings import read_settings
from platform_core.testing import PlatformFactory, RunningPlatform, eventually


async def switched(p: RunningPlatform, command: DisableModule | EnableModule) -> list[str]:
    """Execute, and wait until this process has heard of it."""
    before = p.kernel.switches.epoch
    changed = await p.execute(command)

    async def heard() -> bool:
        return p.kernel.switches.epoch > before

    if changed:
        await eventually(heard, within_seconds=2)
    return changed


@pytest.fixture
async def school(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(["user_management", "courses", "orders"]) as running:
        yield running


async def test_its_routes_answer_503_or_404_as_was_chosen_and_come_back(school: RunningPlatform) -> None:
    path = "/api/v1/orders"
    assert (await school.client.get(path)).status_code == 401
    await switched(school, DisableModule(module="orders"))
    answer = await school.client.get(path)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/module-disabled")
    assert answer.headers["Retry-After"] == "30"
    await switched(school, DisableModule(module="orders", answer=404))
    answer = await school.client.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert (await school.client.get("/api/v1/courses")).status_code == 401  # everybody else serves
    await switched(school, EnableModule(module="orders"))
    assert (await school.client.get(path)).status_code == 401


async def test_the_description_of_the_api_says_what_holds_now(school: RunningPlatform) -> None:
    async def described() -> tuple[dict[str, Any], set[str]]:
        document = (await school.client.get("/openapi.json")).json()
        return document["paths"], {tag["description"] for tag in document["tags"]}

    before, _ = await described()
    assert {"/api/v1/orders", "/api/v1/courses"} <= before.keys()
    await switched(school, DisableModule(module="orders"))
    paths, tags = await described()
    marked = [path for path, methods in paths.items() if any("x-switched-off" in m for m in methods.values())]
    assert marked
    assert all(path.startswith("/api/v1/orders") for path in marked)
    assert "Orders (switched off at the moment)" in tags
    await switched(school, EnableModule(module="orders"))
    await switched(school, DisableModule(module="orders", answer=404))
    paths, tags = await described()
    assert not [path for path in paths if path.startswith("/api/v1/orders")]
    assert not [tag for tag in tags if "Orders" in tag]
    await switched(school, EnableModule(module="orders"))
    assert (await described())[0] == before


async def test_what_is_its_waits_in_order_with_all_its_attempts_and_is_worked_off(p: RunningPlatform) -> None:
    await switched(p, DisableModule(module="ledger"))
    account = await p.execute(OpenAccount(owner="Ann"))
    for amount in (1, 2, 3):
        await p.execute(Deposit(account_id=account.id, amount=amount))
    assert await p.deliver() == []
    waiting = await p.deliveries("ledger.note_deposit")
    assert [(d.status, d.attempts_count) for d in waiting] == [("pending", 0)] * 3
    await switched(p, EnableModule(module="ledger"))
    await p.deliver()
    assert {d.status for d in await p.deliveries("ledger.note_deposit")} == {"done"}


async def test_its_schedules_rest_and_its_health_is_not_asked_for(p: RunningPlatform) -> None:
    async def jobs() -> int:
        return len(await p.deliveries("ledger.close_books"))

    scheduler = p.kernel.scheduler()
    await switched(p, DisableModule(module="ledger"))
    await scheduler._tick()
    assert await jobs() == 0
    assert "vault" not in (await Health(p.kernel, lambda: False).readiness()).checks
    await switched(p, EnableModule(module="ledger"))
    await scheduler._tick()
    assert await jobs() == 1
    assert (await Health(p.kernel, lambda: False).readiness()).checks["vault"] == "ok"


async def test_a_module_is_not_switched_off_from_under_others(school: RunningPlatform) -> None:
    with pytest.raises(ModuleIsNeeded, match="courses is needed by orders"):
        await school.execute(DisableModule(module="courses"))
    with pytest.raises(ModuleIsRequired, match="does not start without user_management"):
        await school.execute(DisableModule(module="user_management", with_dependents=True))
    with pytest.raises(NotFound, match="There is no module nowhere; installed are: "):
        await school.execute(DisableModule(module="nowhere"))
    assert await switched(school, DisableModule(module="user_management", is_removal=True)) == [
        "user_management"
    ]
    assert await switched(school, EnableModule(module="user_management")) == ["user_management"]
    assert await switched(school, DisableModule(module="courses", with_dependents=True)) == [
        "orders",
        "courses",
    ]
    with pytest.raises(ModuleNeedsOthers, match="orders needs courses"):
        await school.execute(EnableModule(module="orders"))
    assert await switched(school, EnableModule(module="orders", with_needed=True)) == ["courses", "orders"]
    assert await school.execute(EnableModule(module="orders")) == []


async def test_who_switched_what_and_why_is_kept(p: RunningPlatform) -> None:
    await switched(p, DisableModule(module="ledger", reason="the gateway is down"))
    [line] = await p.sql("SELECT * FROM audit.audit_logs WHERE action = 'platform.disable_module'")
    before, after = line["changes"]["module_switches"]["off"]
    assert before == {}
    assert (after["ledger"]["reason"], after["ledger"]["answer"]) == ("the gateway is down", 503)
    handbook = handbook_of(p.kernel)
    for told in (p.kernel.modules(), handbook.modules, handbook.graph.nodes):
        assert {one.name: one.status for one in told}["ledger"] == "disabled"


async def test_a_process_that_starts_knows_and_one_that_was_cut_off_learns(p: RunningPlatform) -> None:
    await switched(p, DisableModule(module="ledger"))
    other = Kernel.load(read_settings(p.environment), p.environment)
    async with other.running():
        assert other.switches.off == {"ledger": 503}
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        await p.sql(f"{cut} AND application_name = 'platform/standings'")
        await p.execute(EnableModule(module="ledger"))

        async def knows() -> bool:
            return other.switches.off == {}

        await eventually(knows, within_seconds=2)


async def test_of_two_who_switch_at_once_one_has_to_look_again(p: RunningPlatform) -> None:
    outcomes = await asyncio.gather(
        *(p.execute(DisableModule(module="ledger", reason=str(number))) for number in range(5)),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, ConcurrentUpdate)]
    done = [outcome for outcome in outcomes if isinstance(outcome, list)]
    [row] = await p.sql("SELECT epoch FROM platform.module_switches")
    assert row["epoch"] == len(done)
    assert len(done) + len(refused) == 5


def test_a_note_from_the_past_and_one_that_makes_no_sense_change_nothing() -> None:
    board = Switchboard()
    board.hear(note_of(7, {"blog": {"answer": 404}}))
    for note in (
        note_of(6, {}),
        note_of(7, {}),
        "",
        "null",
        '{"epoch": "x"}',
        '{"epoch": 9, "off": {"blog": "x"}}',
    ):
        board.hear(note)
    assert (board.epoch, board.off) == (7, {"blog": 404})
