"""Scenarios: stimulate, wait for what follows, verify."""

import pytest
from ledger.application import Deposit, OpenAccount, RequestReport, faults
from ledger.contracts import AccountOpened, AccountView, Deposited

from platform_core.domain import new_id
from platform_core.testing import RunningPlatform, ScenarioFailed, scenario


async def test_a_scenario_answers_with_the_event_that_it_waited_for(p: RunningPlatform) -> None:
    account_id = new_id()
    seen: list[str] = []
    event = await (
        scenario(p)
        .stimulate(lambda: p.execute(OpenAccount(owner="Ada", account_id=account_id)))
        .verify(lambda view: isinstance(view, AccountView))
        .wait_for_event(AccountOpened)
        .verify(lambda event: seen.append(event.owner))
    )
    assert event == AccountOpened(account_id=account_id, owner="Ada")
    assert seen == ["Ada"]


async def test_only_events_since_the_stimulus_count(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    await p.execute(Deposit(account_id=account.id, amount=1))
    event = await (
        scenario(p)
        .stimulate(lambda: p.execute(Deposit(account_id=account.id, amount=2)))
        .wait_for_event(Deposited)
    )
    assert event.amount == 2


async def test_of_several_events_one_can_be_chosen(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))

    async def twice() -> None:
        for amount in (1, 2):
            await p.execute(Deposit(account_id=account.id, amount=amount))

    event = (
        await scenario(p).stimulate(twice).wait_for_event(Deposited, where=lambda event: event.amount == 2)
    )
    assert event.amount == 2


async def test_a_scenario_works_deliveries_off_while_it_waits(p: RunningPlatform) -> None:
    async def entries() -> list[dict[str, object]]:
        return await p.sql("SELECT text FROM ledger.entries")

    rows = (
        await scenario(p)
        .stimulate(lambda: p.execute(OpenAccount(owner="Ada")))
        .wait_until(entries, "a greeting")
    )
    assert rows == [{"text": "welcome Ada"}]


async def test_retries_are_waited_for(p: RunningPlatform) -> None:
    account_id = new_id()
    faults.failing_accounts.add(account_id)

    async def done() -> bool:
        faults.failing_accounts.clear()  # the first attempt has failed by now
        return any(d.status == "done" for d in await p.deliveries("ledger.write_report"))

    await p.execute(RequestReport(account_id=account_id))
    await p.deliver()
    assert await scenario(p).within(30).wait_until(done)


async def test_a_scenario_that_waits_in_vain_tells_what_did_arrive(p: RunningPlatform) -> None:
    account_id = new_id()
    faults.failing_accounts.add(account_id)
    with pytest.raises(ScenarioFailed) as failure:
        await (
            scenario(p)
            .within(0.2)
            .stimulate(lambda: p.execute(OpenAccount(owner="Ada", account_id=account_id)))
            .wait_for_event(Deposited)
        )
    faults.reset()
    message = str(failure.value)
    assert message.startswith(
        "no ledger.deposited that fits, within 0.2 s. The stimulus answered AccountView("
    )
    assert "What arrived:\n  ledger.account_opened {'owner': 'Ada', 'account_id': " in message
    assert "ledger.greet_owner: pending after 1 attempts, RuntimeError: the ledger is closed" in message


async def test_a_verification_that_answers_false_fails(p: RunningPlatform) -> None:
    with pytest.raises(ScenarioFailed, match="verification failed for 5"):
        await scenario(p).stimulate(lambda: 5).verify(lambda value: value == 6)


async def test_an_error_of_the_stimulus_is_the_tests_own(p: RunningPlatform) -> None:
    with pytest.raises(ZeroDivisionError):
        await scenario(p).stimulate(lambda: 1 / 0).wait_for_event(Deposited)
