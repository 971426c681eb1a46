"""Commands: one statement stores everything or nothing."""

import asyncio
from uuid import UUID

import psycopg
import pytest
from ledger.application import (
    ChangePin,
    CheckPin,
    CloseAccount,
    Deposit,
    DepositAndFail,
    GetAccount,
    OpenAccount,
    RequestReport,
    Withdraw,
    faults,
)
from ledger.contracts import AccountOpened, Deposited
from ledger.domain import InsufficientFunds, OwnerTaken, WrongPin
from sqlalchemy import column, select, text

from platform_core._uow import SqlUnitOfWork, Write
from platform_core.context import Context
from platform_core.domain import new_id
from platform_core.errors import ConcurrentUpdate, ForeignTable, MissingRights, NotFound, PlatformError
from platform_core.security import Principal
from platform_core.testing import PlatformFactory, RunningPlatform


async def test_a_command_stores_its_rows_events_and_deliveries(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada", tags=frozenset({"vip", "founder"})))

    assert await p.ask(GetAccount(account_id=account.id)) == account
    assert await p.events(AccountOpened) == [AccountOpened(account_id=account.id, owner="Ada")]
    assert [(d.handler, d.status) for d in await p.deliveries()] == [("ledger.greet_owner", "pending")]
    tags = await p.sql(
        "SELECT tag FROM ledger.account_tags WHERE account_id = %(id)s ORDER BY tag", id=account.id
    )
    assert [row["tag"] for row in tags] == ["founder", "vip"]


async def test_a_rolled_back_command_leaves_no_outbox_row(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    events, deliveries = await p.events(), await p.deliveries()

    with pytest.raises(WrongPin):
        await p.execute(DepositAndFail(account_id=account.id))

    assert (await p.ask(GetAccount(account_id=account.id))).balance == 0
    assert await p.events() == events
    assert await p.deliveries() == deliveries


async def test_a_violated_constraint_is_the_domains_own_error_and_stores_nothing(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    with pytest.raises(OwnerTaken):
        await p.execute(OpenAccount(owner="Ada"))
    assert len(await p.events()) == 1
    assert [line.outcome for line in await p.audit()] == ["done", "refused"]


async def test_a_refused_command_commits_its_traces_and_then_raises(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada", pin="1234"))
    with pytest.raises(WrongPin):
        await p.execute(CheckPin(account_id=account.id, pin="9999"))
    [row] = await p.sql("SELECT failures, version FROM ledger.accounts")
    assert row == {"failures": 1, "version": 2}
    assert (await p.audit("ledger.check_pin"))[0].outcome == "refused"


async def test_a_rule_that_says_no_leaves_one_line_in_the_trail(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    with pytest.raises(InsufficientFunds):
        await p.execute(Withdraw(account_id=account.id, amount=1))
    [line] = await p.audit("ledger.withdraw")
    assert (line.outcome, line.detail, line.changes) == ("refused", "insufficient-funds", {})


async def test_two_commands_on_one_aggregate_at_once_both_count(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    both_have_read = asyncio.Barrier(2)

    async def meet_once() -> None:
        if faults.runs.count("deposit") <= 2:
            await both_have_read.wait()

    faults.before_commit = meet_once
    await asyncio.gather(
        p.execute(Deposit(account_id=account.id, amount=1)),
        p.execute(Deposit(account_id=account.id, amount=2)),
    )

    seen = await p.ask(GetAccount(account_id=account.id))
    assert (seen.balance, seen.version) == (3, 3)
    assert faults.runs.count("deposit") == 3, "the loser ran once more"
    assert sorted(event.amount for event in await p.events(Deposited)) == [1, 2]


async def test_a_command_that_always_loses_is_a_conflict_after_three_attempts(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))

    async def somebody_else_is_quicker() -> None:
        await p.sql("UPDATE ledger.accounts SET version = version + 1")

    faults.before_commit = somebody_else_is_quicker
    with pytest.raises(ConcurrentUpdate):
        await p.execute(Deposit(account_id=account.id, amount=1))
    assert faults.runs.count("deposit") == 3
    assert await p.events(Deposited) == []


async def test_a_deleted_aggregate_is_gone_for_commands_and_queries(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    await p.execute(CloseAccount(account_id=account.id))
    with pytest.raises(NotFound):
        await p.execute(Deposit(account_id=account.id, amount=1))
    with pytest.raises(NotFound):
        await p.ask(GetAccount(account_id=account.id))
    assert (await p.sql("SELECT count(*) AS n FROM ledger.accounts"))[0]["n"] == 1


async def test_events_tell_who_acted_and_what_they_belong_to(p: RunningPlatform) -> None:
    ada = Principal(user_id=new_id())
    account = await p.acting_as(ada).execute(OpenAccount(owner="Ada"))
    [event] = await p.events()
    assert (event.actor_id, event.aggregate_type, event.aggregate_id) == (
        ada.user_id,
        "ledger.account",
        account.id,
    )
    [line] = await p.audit()
    assert (line.actor_id, line.request_id) == (ada.user_id, event.correlation_id)


async def test_a_query_and_a_command_keep_to_their_round_trips(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    await p.ask(GetAccount(account_id=account.id))

    with p.count_statements() as traffic:
        await p.ask(GetAccount(account_id=account.id))
    assert traffic.count == 1, traffic

    with p.count_statements() as traffic:
        await p.execute(Deposit(account_id=account.id, amount=1))
    assert traffic.count == 2, traffic
    assert traffic.by_module == {"ledger": 2}


async def test_the_trail_shows_before_and_after_and_masks_secrets(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada", pin="1234"))
    p.clock.advance(minutes=1)
    await p.execute(Deposit(account_id=account.id, amount=5))
    await p.execute(ChangePin(account_id=account.id, pin="5678"))

    opened, deposited, changed = await p.audit()
    assert (opened.action, opened.resource_type, opened.resource_id) == (
        "ledger.open_account",
        "ledger.account",
        account.id,
    )
    assert opened.changes["accounts"]["owner"] == [None, "Ada"]
    assert opened.changes["accounts"]["pin"] == [None, "[secret]"]
    assert deposited.changes["accounts"]["balance"] == [0, 5]
    assert set(deposited.changes["accounts"]) == {"balance", "version", "updated_at"}
    assert changed.changes["accounts"]["pin"] == ["[secret]", "[secret]"]
    everything = str(await p.sql("SELECT * FROM audit.audit_logs")) + str(
        await p.sql("SELECT * FROM audit.domain_events")
    )
    assert "1234" not in everything
    assert "5678" not in everything


async def test_a_job_with_a_known_key_is_dropped_silently(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    for _ in range(3):
        await p.execute(RequestReport(account_id=account.id, key="monthly"))
    assert len(await p.deliveries("ledger.write_report")) == 1


async def test_a_message_that_nobody_handles_is_a_plain_error(platform, p: RunningPlatform) -> None:
    async with platform() as bare:
        with pytest.raises(PlatformError, match=r"no installed module handles ledger\.open_account"):
            await bare.execute(OpenAccount(owner="Ada"))
        with pytest.raises(PlatformError, match=r"no installed module answers ledger\.get_account"):
            await bare.ask(GetAccount(account_id=new_id()))


async def test_a_module_cannot_touch_the_kernels_or_another_modules_tables(p: RunningPlatform) -> None:
    async with p.kernel.pools.commands("ledger").connect() as connection:
        for statement in ("DELETE FROM audit.audit_logs", "UPDATE audit.domain_events SET payload = '{}'"):
            with pytest.raises(
                MissingRights, match="The database role of ledger lacks a right: permission denied"
            ):
                await connection.run(statement)


async def test_who_is_refused_their_own_tables_is_not_told_to_have_reached_for_anothers(
    p: RunningPlatform,
) -> None:
    """As after a restore without rights: PostgreSQL names the table and no schema."""
    for module, table in (("ledger", "accounts"), ("platform", "seeds")):
        [known] = await p.sql("SELECT role FROM platform.modules WHERE name = %(name)s", name=module)
        await p.sql(f'REVOKE ALL ON {module}.{table} FROM "{known["role"]}"')
        async with p.kernel.pools.commands(module).connect() as connection:
            told = f"role of {module} lacks a right: permission denied for table {table}.*platform db upgrade"
            with pytest.raises(MissingRights, match=told):
                await connection.run(f"SELECT FROM {module}.{table}")


async def test_who_reaches_for_whose_tables_is_told_for_reads_writes_and_units_of_work(
    platform: PlatformFactory,
) -> None:
    told = (
        "The module courses reached for tables of user_management, and PostgreSQL refused: permission denied"
    )
    async with platform(["user_management", "courses"]) as school:
        with pytest.raises(ForeignTable, match=told):
            await school.kernel.reads("courses").all(text("SELECT email FROM user_management.users"))
        unit = SqlUnitOfWork(school.kernel.pools.commands("courses"), school.kernel.clock, Context())
        with pytest.raises(ForeignTable, match=told):
            await unit.fetch_all(text("SELECT 1 FROM user_management.users FOR UPDATE"))
        unit.append(Write("DELETE FROM user_management.users", {}, None, ConcurrentUpdate))
        with pytest.raises(ForeignTable, match=told):
            await unit.commit()
        await unit.close()


async def test_of_two_that_wait_for_each_others_locks_one_is_a_conflict_and_not_a_defect(
    p: RunningPlatform,
) -> None:
    first, second = await p.execute(OpenAccount(owner="Ada")), await p.execute(OpenAccount(owner="Bob"))
    pool = p.kernel.pools.commands("ledger")
    units = [SqlUnitOfWork(pool, p.clock, Context()) for _ in range(2)]

    async def lock(unit: SqlUnitOfWork, account: UUID) -> None:
        await unit.begin()
        table = text("ledger.accounts")
        await unit.fetch_one(
            select(column("id")).select_from(table).where(column("id") == account).with_for_update()
        )

    await asyncio.gather(lock(units[0], first.id), lock(units[1], second.id))
    outcomes = await asyncio.gather(
        lock(units[0], second.id), lock(units[1], first.id), return_exceptions=True
    )
    for unit in units:
        await unit.close()

    assert [type(outcome) for outcome in outcomes if outcome is not None] == [ConcurrentUpdate]


async def test_what_the_database_refuses_is_told_without_the_values_of_the_statement(
    p: RunningPlatform,
) -> None:
    statement = text("SELECT nothing FROM ledger.accounts WHERE owner = :owner")
    with pytest.raises(psycopg.Error) as refused:
        await p.kernel.reads("ledger").all(statement.bindparams(owner="a secret name"))
    assert "a secret name" not in str(refused.value)
