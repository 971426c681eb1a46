"""Each handler gets each event, once, in order per aggregate, and nobody waits for somebody else's trouble."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from ledger.application import Announce, Deposit, OpenAccount, RequestReport, faults
from ledger.contracts import Deposited

from platform_core import _outbox
from platform_core._operations import DeliveryNotRetriable, RetryDelivery
from platform_core._outbox import Delivery, backoff_seconds
from platform_core.declarations import Retry
from platform_core.domain import new_id
from platform_core.errors import LeaseLost, NotFound
from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform

LEDGER = Path(__file__).parent / "plugins" / "ledger"

LISTENER = PluginSource(
    name="listener",
    manifest='title = "Listener"\nconsumes = ["ledger"]\n',
    requires=["platform-core", "platform-plugin-ledger"],
    files={
        "plugin.py": """
from platform_core import hookimpl
from platform_core.declarations import on
from ledger.contracts import AccountOpened

heard = []

async def hear(event: AccountOpened) -> None:
    heard.append(event.owner)

@hookimpl
def register_event_handlers():
    return [on(AccountOpened, hear, name="listener.hear")]
"""
    },
)


async def entries(p: RunningPlatform) -> list[str]:
    return [row["text"] for row in await p.sql("SELECT text FROM ledger.entries ORDER BY written_at, id")]


async def claim(
    p: RunningPlatform, *handlers: str, lease_seconds: float = 60, suspects: bool = False, room: int = 100
) -> list[Delivery]:
    pool = p.kernel.pools.commands("platform")
    newest = p.kernel.bus.newest
    return await _outbox.claim(
        pool,
        dict.fromkeys(handlers, room),
        newest=newest,
        token=new_id(),
        count=100,
        lease_seconds=lease_seconds,
        suspects=suspects,
    )


async def test_a_handlers_effect_and_the_deliverys_completion_are_stored_together(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    [delivered] = await p.deliver()
    assert (delivered.handler, delivered.status, delivered.attempts_count) == (
        "ledger.greet_owner",
        "done",
        1,
    )
    assert await entries(p) == ["welcome Ada"]
    assert await p.deliver() == []


async def test_fifty_parallel_runs_of_one_delivery_have_one_effect(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    [delivery] = await claim(p, "ledger.greet_owner")

    outcomes = await asyncio.gather(
        *(p.kernel.bus.deliver(delivery) for _ in range(50)), return_exceptions=True
    )

    assert outcomes.count(None) == 1
    assert all(isinstance(outcome, LeaseLost) for outcome in outcomes if outcome is not None)
    assert await entries(p) == ["welcome Ada"]


async def test_an_event_without_an_aggregate_is_delivered_too(p: RunningPlatform) -> None:
    await p.execute(Announce(account_id=new_id()))
    await p.deliver()
    assert await entries(p) == ["welcome nobody"]


async def test_events_of_one_aggregate_wait_for_a_failing_one_and_others_do_not(p: RunningPlatform) -> None:
    ada = await p.execute(OpenAccount(owner="Ada"))
    bob = await p.execute(OpenAccount(owner="Bob"))
    await p.deliver()
    for amount in (1, 2, 3):
        await p.execute(Deposit(account_id=ada.id, amount=amount))
        await p.execute(Deposit(account_id=bob.id, amount=amount + 10))
    faults.failing_accounts.add(ada.id)
    faults.runs.clear()

    await p.deliver()

    assert (await entries(p))[2:] == ["deposit 11", "deposit 12", "deposit 13"]
    assert [run for run in faults.runs if not run.startswith("1")] == []
    assert [run for run in faults.runs if run.startswith("1@")] == ["1@1"]

    faults.failing_accounts.clear()
    await p.deliver(skip_waits=True)
    assert (await entries(p))[5:] == ["deposit 1", "deposit 2", "deposit 3"]


async def test_later_events_go_on_once_the_failing_one_is_dead(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    await p.execute(Deposit(account_id=account.id, amount=1))
    await p.execute(Deposit(account_id=account.id, amount=2))

    async def only_the_first_fails() -> None:
        if faults.runs and faults.runs[-1].startswith("1@"):
            raise RuntimeError("the first one is poison")

    faults.before_commit = only_the_first_fails
    await p.deliver(skip_waits=True)

    statuses = [(d.status, d.attempts_count) for d in await p.deliveries("ledger.note_deposit")]
    assert statuses == [("dead", 3), ("done", 1)]
    assert "deposit 2" in await entries(p)


async def test_a_failing_handler_is_retried_with_growing_waits_and_then_a_dead_letter(
    p: RunningPlatform,
) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    faults.failing_accounts.add(account.id)

    [once] = await p.deliver()
    assert (once.status, once.attempts_count, once.lease_token) == ("pending", 1, None)
    assert once.last_error == "RuntimeError: the ledger is closed"
    assert once.available_at > datetime.now(UTC)

    [dead] = await p.deliver(skip_waits=True)
    assert (dead.status, dead.attempts_count) == ("dead", 3)
    assert dead.last_error == "RuntimeError: the ledger is closed"
    assert await entries(p) == []


async def test_a_dead_letter_can_be_replayed_once_its_cause_is_gone(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    faults.failing_accounts.add(account.id)
    [dead] = await p.deliver(skip_waits=True)
    faults.failing_accounts.clear()

    await p.execute(RetryDelivery(delivery_id=dead.id))
    [done] = await p.deliver()
    assert (done.status, done.attempts_count, done.last_error) == ("done", 1, None)
    with pytest.raises(DeliveryNotRetriable):
        await p.execute(RetryDelivery(delivery_id=dead.id))
    with pytest.raises(NotFound):
        await p.execute(RetryDelivery(delivery_id=new_id()))


async def test_a_dead_letter_keeps_what_the_database_said_but_not_the_row(p: RunningPlatform) -> None:
    async def insert_half_a_row() -> None:
        async with p.kernel.pools.commands("ledger").connect() as connection:
            await connection.run("INSERT INTO ledger.entries (text) VALUES ('a secret')")

    await p.execute(OpenAccount(owner="Ada"))
    faults.before_commit = insert_half_a_row
    [dead] = await p.deliver(skip_waits=True)
    assert "violates not-null constraint" in (dead.last_error or "")
    assert "a secret" not in (dead.last_error or "")


def test_waits_double_up_to_the_longest_with_some_jitter() -> None:
    retry = Retry(attempts_count=10, first_seconds=1, longest_seconds=10)
    for attempt, base in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (9, 10)):
        waits = [backoff_seconds(retry, attempt) for _ in range(200)]
        assert base <= min(waits) < max(waits) <= base * 1.25


async def test_a_delivery_that_kills_its_worker_every_time_ends_as_a_dead_letter(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    for attempt in (1, 2, 3):
        assert await claim(p, "ledger.greet_owner", lease_seconds=0, suspects=attempt == 3)
    [dead] = await p.deliver()
    assert dead.status == "dead"
    assert dead.last_error == "the worker died while handling this, every time"
    assert await entries(p) == []


async def test_a_version_of_the_future_waits_for_a_build_that_knows_it_and_is_parked_when_there_is_none(
    p: RunningPlatform,
) -> None:
    pool, newer = p.kernel.pools.commands("platform"), {"ledger.account_opened": 99}
    handlers, older = list(p.kernel.bus.subscribers), p.kernel.bus.newest
    await p.execute(OpenAccount(owner="Ada"))
    await p.sql("UPDATE audit.domain_events SET version = 99")
    assert await p.deliver(skip_waits=True) == []
    assert await _outbox.park_beyond(pool, handlers, older, waited_seconds=60) == 0
    assert await _outbox.park_beyond(pool, handlers, newer, waited_seconds=0) == 0
    assert await _outbox.park_beyond(pool, handlers, older, waited_seconds=0) == 1
    [parked] = await p.deliveries()
    assert parked.status == "parked"
    assert str(parked.last_error).startswith("beyond this build: ledger.account_opened of version 99; ")

    assert await _outbox.revive_beyond(pool, handlers, older) == 0
    assert await _outbox.revive_beyond(pool, handlers, newer) == 1
    await p.sql("UPDATE audit.domain_events SET version = 1")
    [done] = await p.deliver()
    assert (done.status, done.attempts_count) == ("done", 1)


async def test_an_old_version_goes_through_its_upcaster(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    await p.execute(Deposit(account_id=account.id, amount=7))
    await p.sql(
        "UPDATE audit.domain_events SET version = 1, payload = payload - 'amount' || '{\"sum\": 7}'"
        " WHERE name = 'ledger.deposited'"
    )
    await p.deliver()
    assert "deposit 7" in await entries(p)
    assert await p.events(Deposited) == [Deposited(account_id=account.id, amount=7)]


async def test_an_unreadable_payload_is_parked_with_the_field_that_does_not_fit(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    await p.sql("UPDATE audit.domain_events SET payload = '{\"account_id\": 5}'")
    [parked] = await p.deliver()
    assert parked.status == "parked"
    assert parked.last_error == "ledger.account_opened version 1 does not fit its class: account_id, owner"


async def test_an_uninstalled_modules_deliveries_are_dead_letters_until_it_is_back(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    async with platform(extra=[LEDGER, LISTENER], beside=p) as both:
        await both.execute(OpenAccount(owner="Ada"))
    assert [d.status for d in await p.deliveries("listener.hear")] == ["pending"]

    await p.sql(
        "UPDATE platform.subscriptions SET seen_at = now() - interval '1 hour' WHERE module = 'listener'"
    )
    assert await _outbox.bury_orphans(p.kernel.pools.commands("platform"), orphan_seconds=600) == 1
    [dead] = await p.deliveries("listener.hear")
    assert dead.status == "dead"
    assert dead.last_error is not None
    assert "the module listener is not installed; install it again, and this is delivered" in dead.last_error
    await p.execute(OpenAccount(owner="Bob"))  # what happens meanwhile is kept for the module, too

    async with platform(extra=[LEDGER, LISTENER], beside=p) as both:
        await both.deliver()
        assert [d.status for d in await both.deliveries("listener.hear")] == ["done", "done"]


async def test_an_outage_of_every_worker_buries_nothing(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    await p.sql("UPDATE platform.subscriptions SET seen_at = now() - interval '1 day'")
    assert await _outbox.bury_orphans(p.kernel.pools.commands("platform"), orphan_seconds=600) == 0
    assert [d.status for d in await p.deliver()] == ["done"]


async def test_a_lost_lease_is_taken_over_and_the_late_worker_stores_nothing(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    [late] = await claim(p, "ledger.greet_owner", lease_seconds=0)
    [done] = await p.deliver()
    assert (done.status, done.attempts_count) == ("done", 2)
    with pytest.raises(LeaseLost):
        await p.kernel.bus.deliver(late)
    assert await entries(p) == ["welcome Ada"]


async def test_a_leased_delivery_is_nobody_elses_until_the_lease_ends(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    [held] = await claim(p, "ledger.greet_owner")
    assert await p.deliver() == []
    pool = p.kernel.pools.commands("platform")
    await _outbox.extend(pool, [(held.id, held.lease_token)], lease_seconds=0)
    assert [d.status for d in await p.deliver()] == ["done"]


async def test_a_claim_brings_as_many_as_there_is_room_for_the_oldest_first(p: RunningPlatform) -> None:
    for owner in ("Ada", "Bob", "Eve"):
        await p.execute(OpenAccount(owner=owner))
    first = await claim(p, "ledger.greet_owner", room=2)
    assert [d.payload["owner"] for d in first] == ["Ada", "Bob"]
    assert [d.payload["owner"] for d in await claim(p, "ledger.greet_owner", room=2)] == ["Eve"]


async def test_a_flood_of_one_handler_is_worked_off_without_giving_anything_back(p: RunningPlatform) -> None:
    for number in range(40):  # more than may run at once
        await p.execute(OpenAccount(owner=str(number)))
    sent: list[str] = []
    p.kernel.pools.watchers.append(lambda _module, _purpose, sql, _values: sent.append(sql))
    assert {d.attempts_count for d in await p.deliver()} == {1}
    assert not any("GREATEST(attempts_count" in sql for sql in sent)


async def test_only_what_is_done_again_by_itself_does_not_wait_for_the_disk(p: RunningPlatform) -> None:
    """A command was acknowledged to somebody, a job talked to somebody; an event's handler did neither."""
    sent: list[str] = []
    p.kernel.pools.watchers.append(lambda _module, _purpose, sql, _values: sent.append(sql))
    account = await p.execute(OpenAccount(owner="Ada"))
    await p.execute(RequestReport(account_id=account.id))
    await p.deliver()
    stored = [sql for sql in sent if "INSERT INTO ledger" in sql or "SET status = 'done'" in sql]
    hasty = [sql for sql in stored if "set_config('synchronous_commit', 'off', true)" in sql]
    assert len(hasty) == 1, hasty
    assert "ledger.entries" in hasty[0]
    assert len(stored) > 2


async def test_a_delivery_that_was_given_back_has_used_up_no_attempt(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    [held] = await claim(p, "ledger.greet_owner")
    await _outbox.give_back(p.kernel.pools.commands("platform"), [(held.id, held.lease_token)])
    [done] = await p.deliver()
    assert (done.status, done.attempts_count) == ("done", 1)


async def test_an_event_that_commits_late_is_delivered_although_later_ones_were(p: RunningPlatform) -> None:
    account_id = new_id()
    async with await psycopg.AsyncConnection.connect(p.database_url) as late:
        await insert_event(late, account_id)
        await p.execute(OpenAccount(owner="Ada"))
        await p.deliver()
        assert await entries(p) == ["welcome Ada"]
        await late.commit()
    await p.deliver()
    assert await entries(p) == ["welcome Ada", "welcome Latecomer"]


async def insert_event(connection: psycopg.AsyncConnection[tuple[object, ...]], account_id: UUID) -> None:
    await connection.execute(
        "WITH made AS (INSERT INTO audit.domain_events (id, name, version, aggregate_type, aggregate_id, payload,"
        " correlation_id, occurred_at) VALUES (%(event)s, 'ledger.account_opened', 1, 'ledger.account', %(account)s,"
        " jsonb_build_object('account_id', %(account)s::text, 'owner', 'Latecomer'), 'late', now()) RETURNING *)"
        " INSERT INTO platform.deliveries (id, handler, event_id, position, aggregate_id)"
        " SELECT %(delivery)s, 'ledger.greet_owner', id, position, aggregate_id FROM made",
        {"event": new_id(), "delivery": new_id(), "account": account_id},
    )


async def test_a_job_runs_once_in_its_own_unit_of_work(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    await p.deliver()
    await p.execute(RequestReport(account_id=account.id))
    [done] = await p.deliver()
    assert (done.handler, done.status) == ("ledger.write_report", "done")
    assert (await entries(p))[1:] == ["report"]
    assert [line.actor_label for line in await p.audit("ledger.write_report")] == ["system"]


async def test_a_delayed_job_waits_for_its_time(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    await p.deliver()
    await p.execute(RequestReport(account_id=account.id, after_seconds=3600))
    assert await p.deliver() == []
    assert len(await p.deliver(skip_waits=True)) == 1


async def test_a_running_worker_is_woken_by_redis_in_another_process(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    async with platform(extra=[LEDGER], beside=p, settings={"PLATFORM_POLL_SECONDS": "60"}) as other:
        worker = other.kernel.worker()
        # a second lifespan of the same kernel would start its services twice: only its bell is wanted
        async with listening(other, worker.wake):
            running = asyncio.create_task(worker.run())
            await asyncio.sleep(0.5)
            await p.execute(OpenAccount(owner="Ada"))
            async with asyncio.timeout(5):
                while await entries(p) != ["welcome Ada"]:  # noqa: ASYNC110  # the database is polled
                    await asyncio.sleep(0.02)
            worker.stop()
            await running


class listening:  # noqa: N801  # reads as the verb it is
    def __init__(self, p: RunningPlatform, wake: object) -> None:
        from platform_core.tasks import Bell

        self._bell = Bell(p.kernel.settings, wake)  # type: ignore[arg-type]  # a bound method

    async def __aenter__(self) -> None:
        await self._bell.start()

    async def __aexit__(self, *_: object) -> None:
        await self._bell.stop()


async def test_a_job_that_says_it_is_unfinished_is_not_taken_for_done(platform: PlatformFactory) -> None:
    """Only a saga takes a command again; a job that went out with half of its work done would say nothing."""
    source = PluginSource(
        name="halfway",
        files={
            "plugin.py": """
from dataclasses import dataclass
from platform_core import hookimpl
from platform_core.declarations import Retry, Services, Task
from platform_core.domain import Command, Unfinished
from platform_core.ports import Jobs

@dataclass(frozen=True, kw_only=True)
class Begin(Command[None]): ...

@dataclass(frozen=True, kw_only=True)
class Sweep(Command[Unfinished]): ...

async def begin(command: Begin, jobs: Jobs) -> None:
    jobs.later(Sweep())

async def sweep(command: Sweep) -> Unfinished:
    return Unfinished(1)

@hookimpl
def register_services():
    return Services(commands={Begin: begin, Sweep: sweep})

@hookimpl
def register_tasks():
    return [Task(command=Sweep, retry=Retry(attempts_count=1))]
"""
        },
    )
    async with platform(extra=[source]) as p:
        begin = next(plugin.module for plugin in p.kernel.plugins if plugin.name == "halfway").Begin  # type: ignore[union-attr]  # imported
        await p.execute(begin())
        [job] = await p.deliver()
    assert job.status == "dead"
    assert "halfway.sweep answers Unfinished" in (job.last_error or "")
