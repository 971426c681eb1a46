"""Sagas: each step once, all of them or none in the end, whoever takes them and whatever goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from voyage.application import Book, PlanTrip, SoldOut, faults, hang

from platform_core._pools import KERNEL
from platform_core._saga_operations import (
    CompensateSaga,
    GetSaga,
    ListSagas,
    RetrySaga,
    SagaNotInstalled,
    SkipSagaStep,
)
from platform_core._sagas import moves
from platform_core._sagas.housekeeping import purge
from platform_core.declarations import Saga, SagaStep
from platform_core.domain import PageRequest, new_id
from platform_core.errors import NotFound, Unavailable
from platform_core.testing import PlatformFactory, RunningPlatform, eventually

VOYAGE = Path(__file__).parent / "plugins" / "voyage"


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(extra=[VOYAGE]) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_goes_wrong() -> Iterator[None]:
    yield
    faults.planned.clear()
    faults.calls.clear()


async def plan(p: RunningPlatform, *, followed: bool = False, saga: str = "voyage.trip") -> UUID:
    trip_id = new_id()
    await p.execute(PlanTrip(trip_id=trip_id, followed=followed, saga=saga))
    return trip_id


async def diary(p: RunningPlatform, trip_id: UUID) -> list[str]:
    rows = await p.sql(
        "SELECT text FROM voyage.entries WHERE trip_id = %(id)s ORDER BY written_at, id", id=trip_id
    )
    return [row["text"] for row in rows]


async def standing(p: RunningPlatform, trip_id: UUID) -> tuple[str, dict[str, str]]:
    saga = await p.ask(GetSaga(saga_id=trip_id))
    return saga.status, {step.name: step.status for step in saga.steps}


# ── forward ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_worker_takes_every_step_once_and_the_timeline_tells(p: RunningPlatform) -> None:
    trip_id = await plan(p)
    await p.deliver()

    assert await diary(p, trip_id) == [
        "planned",
        "booked flight",
        "booked hotel",
        "booked postcard",
        "booked confirmation",
    ]
    saga = await p.ask(GetSaga(saga_id=trip_id))
    assert (saga.name, saga.version, saga.status, saga.error) == ("voyage.trip", 1, "completed", None)
    assert [(step.name, step.status, step.attempts) for step in saga.steps] == [
        (name, "completed", 1) for name in ("flight", "hotel", "postcard", "confirmation")
    ]
    assert [(entry.step, entry.what) for entry in saga.timeline] == [
        (None, "started"),
        ("flight", "completed"),
        ("hotel", "completed"),
        ("postcard", "completed"),
        ("confirmation", "completed"),
    ]
    assert saga.finished_at is not None
    assert saga.next_attempt_at is None
    assert [line.actor_label for line in await p.audit("voyage.book")] == ["system"] * 4


async def test_a_saga_begins_with_the_command_that_starts_it_or_not_at_all(p: RunningPlatform) -> None:
    trip_id = await plan(p)
    with pytest.raises(Exception, match="pk_"):
        await p.execute(PlanTrip(trip_id=trip_id))
    assert await diary(p, trip_id) == ["planned"]


async def test_whoever_waits_takes_the_steps_and_workers_leave_them_alone(p: RunningPlatform) -> None:
    trip_id = await plan(p, followed=True)
    assert await p.deliver() == []
    assert await p.kernel.sagas.follow(trip_id) is True
    assert (await standing(p, trip_id))[0] == "completed"
    assert await p.kernel.sagas.follow(trip_id) is False, "nobody follows what is over"


async def test_a_step_is_one_statement_more_than_its_command(p: RunningPlatform) -> None:
    trip_id = await plan(p, followed=True)
    with p.count_statements() as traffic:
        await p.kernel.sagas.follow(trip_id)
    assert traffic.count == 1 + 4, traffic  # the lease with the run, then each step with what it did


async def test_an_error_is_repeated_and_what_it_wrote_is_not_there_twice(p: RunningPlatform) -> None:
    faults.planned["book hotel"] = [RuntimeError("a secret detail"), Unavailable("The hotel is away.")]
    trip_id = await plan(p)
    await p.deliver()
    saga = await p.ask(GetSaga(saga_id=trip_id))
    assert (saga.status, saga.error) == ("running", "It failed unexpectedly.")
    assert saga.next_attempt_at is not None
    assert saga.timeline[-1].detail == "RuntimeError: a secret detail"

    await p.deliver(skip_waits=True)

    assert (await diary(p, trip_id)).count("booked hotel") == 1
    saga = await p.ask(GetSaga(saga_id=trip_id))
    assert saga.status == "completed"
    assert [(step.attempts, step.error) for step in saga.steps if step.name == "hotel"] == [(3, None)]


async def test_whoever_waits_waits_for_a_short_pause_too(
    p: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform_core._sagas.runner.backoff_seconds", lambda *_: 0.1)
    faults.planned["book flight"] = [Unavailable()]
    trip_id = await plan(p, followed=True)
    assert await p.kernel.sagas.follow(trip_id) is True


async def test_a_step_that_takes_too_long_is_cut_off_and_repeated(p: RunningPlatform) -> None:
    faults.planned["book hotel"] = [hang]
    trip_id = await plan(p)
    await p.deliver(skip_waits=True)
    saga = await p.ask(GetSaga(saga_id=trip_id))
    assert saga.status == "completed"
    assert "It took longer" not in str(saga.steps)
    assert ("hotel", "failed", "timed out") in [(e.step, e.what, e.detail) for e in saga.timeline]


async def test_what_takes_longer_than_somebody_waits_is_left_to_a_worker(
    p: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform_core._sagas.runner.FOLLOWED_SECONDS", 0.3)
    faults.planned["book flight"] = [hang]
    trip_id = await plan(p, followed=True)
    assert await p.kernel.sagas.follow(trip_id) is False
    await p.deliver()
    assert (await standing(p, trip_id))[0] == "completed"
    assert (await diary(p, trip_id)).count("booked flight") == 1


# ── backward ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("entry", "remains", "steps"),
    [
        ("book flight", ["planned"], ("failed", "pending", "pending", "pending")),
        (
            "book hotel",
            ["planned", "booked flight", "booked hotel", "cancelled flight"],  # a `Refused` leaves its traces
            ("compensated", "failed", "pending", "pending"),
        ),
        (
            "book confirmation",
            [
                *("planned", "booked flight", "booked hotel", "booked postcard"),
                *("cancelled hotel", "cancelled flight"),
            ],
            ("compensated", "compensated", "completed", "failed"),
        ),
    ],
)
async def test_a_refusal_takes_everything_back_in_reverse_and_reaches_whoever_waits(
    p: RunningPlatform, entry: str, remains: list[str], steps: tuple[str, ...]
) -> None:
    faults.planned[entry] = [SoldOut("No room.")]
    trip_id = await plan(p, followed=True)
    with pytest.raises(SoldOut, match="No room"):
        await p.kernel.sagas.follow(trip_id)
    status, stands = await standing(p, trip_id)
    assert (status, tuple(stands.values())) == ("compensated", steps)
    assert await diary(p, trip_id) == remains


async def test_whoever_waits_hears_the_refusal_that_mattered(p: RunningPlatform) -> None:
    faults.planned["book postcard"] = [SoldOut("No stamps.")]
    faults.planned["book confirmation"] = [SoldOut("No trip.")]
    trip_id = await plan(p, followed=True)
    with pytest.raises(SoldOut, match="No trip"):
        await p.kernel.sagas.follow(trip_id)


async def test_what_is_not_critical_fails_without_consequences(p: RunningPlatform) -> None:
    faults.planned["book postcard"] = [SoldOut()]
    refused = await plan(p)
    await p.deliver()
    faults.planned["book postcard"] = [RuntimeError(), RuntimeError(), RuntimeError()]
    broken = await plan(p)
    await p.deliver(skip_waits=True)
    for trip_id in (refused, broken):
        status, steps = await standing(p, trip_id)
        assert (status, steps["postcard"], steps["confirmation"]) == ("completed", "failed", "completed")


async def test_a_step_whose_outcome_nobody_knows_waits_for_somebody(p: RunningPlatform) -> None:
    faults.planned["book hotel"] = [RuntimeError()] * 3
    trip_id = await plan(p)
    await p.deliver(skip_waits=True)
    assert await standing(p, trip_id) == (
        "needs_attention",
        {"flight": "completed", "hotel": "failed", "postcard": "pending", "confirmation": "pending"},
    )
    assert await p.deliver(skip_waits=True) == []
    listed = await p.ask(ListSagas(page=PageRequest(), status="needs_attention", name="voyage.trip"))
    assert [saga.id for saga in listed.items] == [trip_id]
    labels = {"outcome": "needs_attention", "saga": "voyage.trip"}
    assert p.kernel.metrics.registry.get_sample_value("platform_sagas_total", labels) == 1


async def test_a_compensation_that_never_works_waits_for_somebody_and_no_step_runs_meanwhile(
    p: RunningPlatform,
) -> None:
    """B37."""
    faults.planned["book confirmation"] = [SoldOut()]
    faults.planned["cancel hotel"] = [RuntimeError(), SoldOut()]
    trip_id = await plan(p)
    await p.deliver(skip_waits=True)
    status, steps = await standing(p, trip_id)
    assert (status, steps["hotel"], steps["flight"]) == (
        "needs_attention",
        "compensation_failed",
        "completed",
    )
    assert faults.calls.count("book confirmation") == 1

    await p.execute(RetrySaga(saga_id=trip_id))
    await p.deliver()

    assert (await standing(p, trip_id))[0] == "compensated"
    assert (await diary(p, trip_id))[-2:] == ["cancelled hotel", "cancelled flight"]
    assert faults.calls.count("book confirmation") == 1


# ── in batches ───────────────────────────────────────────────────────────────────────────────────

SEEN = [f"see sight {number}" for number in (1, 2, 3)]


async def test_a_step_is_taken_again_until_nothing_is_left_and_each_batch_has_its_turn(
    p: RunningPlatform,
) -> None:
    faults.planned["see sight 2"] = [RuntimeError(), RuntimeError()]
    trip_id = await plan(p, saga="voyage.tour")
    await p.deliver(skip_waits=True)

    assert await diary(p, trip_id) == ["planned", *SEEN, "booked confirmation"]
    saga = await p.ask(GetSaga(saga_id=trip_id))
    [sights, _] = saga.steps
    assert (sights.status, sights.attempts, sights.batches, sights.error) == ("completed", 1, 2, None)
    assert [(e.step, e.what, e.detail) for e in saga.timeline] == [
        (None, "started", None),
        ("sights", "going on", "in batches"),
        ("sights", "failed", "RuntimeError: "),
        ("sights", "failed", "RuntimeError: "),
        ("sights", "completed", "in 3 batches"),
        ("confirmation", "completed", None),
    ], "one line, however many batches"


async def test_a_worker_looks_after_others_between_two_batches(p: RunningPlatform) -> None:
    for _ in range(2):
        await plan(p, saga="voyage.tour")
    assert await p.kernel.worker().run_until_idle() == 2 * len(SEEN), "a claim for each batch"


async def test_whoever_waits_takes_every_batch_with_one_lease(p: RunningPlatform) -> None:
    trip_id = await plan(p, followed=True, saga="voyage.tour")
    with p.count_statements() as traffic:
        assert await p.kernel.sagas.follow(trip_id) is True
    assert traffic.count == 1 + len(SEEN) + 1, traffic
    assert await diary(p, trip_id) == ["planned", *SEEN, "booked confirmation"]


async def test_batches_before_a_refusal_are_taken_back_batch_by_batch(p: RunningPlatform) -> None:
    faults.planned["see sight 3"] = [SoldOut("Closed today.")]
    faults.planned["forget sight 1"] = [RuntimeError()]
    trip_id = await plan(p, saga="voyage.tour")
    await p.deliver(skip_waits=True)
    assert await standing(p, trip_id) == ("compensated", {"sights": "compensated", "confirmation": "pending"})
    assert await diary(p, trip_id) == ["planned", *SEEN[:2], "forget sight 2", "forget sight 1"]


async def test_a_compensation_in_batches_finds_what_its_action_answered_in_each_of_them(
    p: RunningPlatform,
) -> None:
    faults.planned["book confirmation"] = [SoldOut("Sold out.")]
    trip_id = await plan(p, saga="voyage.cruise")
    await p.deliver(skip_waits=True)
    assert await standing(p, trip_id) == ("compensated", {"cabin": "compensated", "confirmation": "failed"})
    assert await diary(p, trip_id) == ["planned", "booked cabin", "half of cabin-1", "half of cabin-1"]


async def test_a_step_that_goes_on_and_on_is_told_every_so_many_batches(
    p: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform_core._sagas.runner._MANY_BATCHES", 2)
    trip_id = await plan(p, saga="voyage.tour")
    with capture_logs() as logs:
        await p.deliver(skip_waits=True)
    [told] = [line for line in logs if line["event"] == "saga step goes on in batches"]
    assert told["log_level"] == "warning"
    assert (told["saga_id"], told["step"], told["batches"]) == (str(trip_id), "sights", 2)


async def test_progress_that_a_run_cannot_carry_is_said_and_not_lost(
    p: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the step would begin anew for ever."""
    monkeypatch.setattr("platform_core._sagas.store._RESULT_LENGTH", 0)
    trip_id = await plan(p, saga="voyage.tour")
    await p.deliver(skip_waits=True)
    saga = await p.ask(GetSaga(saga_id=trip_id))
    assert saga.status == "needs_attention"
    assert "keep it in a table" in str(saga.timeline[-1].detail)
    assert await diary(p, trip_id) == ["planned"]


# ── two at once ──────────────────────────────────────────────────────────────────────────────────


async def test_whoever_lost_the_lease_changes_nothing(p: RunningPlatform) -> None:
    """B37: an operator takes it back while a step is under way."""

    async def meanwhile() -> None:
        await p.execute(CompensateSaga(saga_id=trip_id))

    faults.planned["book hotel"] = [meanwhile]
    trip_id = await plan(p)
    worker = p.kernel.worker()
    await worker.run_until_idle()

    status, steps = await standing(p, trip_id)
    assert (status, steps["hotel"]) == ("compensated", "compensated")
    assert await diary(p, trip_id) == ["planned", "booked flight", "cancelled hotel", "cancelled flight"]


async def test_two_who_hold_the_same_run_take_a_step_once(p: RunningPlatform) -> None:
    """A stalled worker wakes up after its lease was taken over."""
    trip_id = await plan(p)
    woken = asyncio.Event()
    faults.planned["book flight"] = [woken.wait]

    async def begun() -> bool:
        return bool(faults.calls)

    stalled = asyncio.create_task(p.kernel.worker().run_until_idle())
    await eventually(begun)
    await p.sql("UPDATE platform.deliveries SET available_at = now() WHERE id = %(id)s", id=trip_id)
    await p.kernel.worker().run_until_idle()
    assert (await standing(p, trip_id))[0] == "completed"
    woken.set()
    await stalled
    assert faults.calls.count("book flight") == 2
    assert (await diary(p, trip_id)).count("booked flight") == 1


async def test_a_step_whose_answer_was_lost_is_not_taken_again(
    p: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement was stored, but whoever sent it never heard so."""
    from platform_core._uow import SqlUnitOfWork

    commit, lost = SqlUnitOfWork.commit, []

    async def lose_one(uow: SqlUnitOfWork) -> list[UUID]:
        made = await commit(uow)
        if faults.calls == ["book flight"] and not lost:
            lost.append(True)
            raise Unavailable("The connection is gone.")
        return made

    monkeypatch.setattr(SqlUnitOfWork, "commit", lose_one)
    trip_id = await plan(p)
    await p.deliver()
    await p.sql("UPDATE platform.deliveries SET available_at = now() WHERE id = %(id)s", id=trip_id)
    await p.deliver()
    assert (await standing(p, trip_id))[0] == "completed"
    assert (await diary(p, trip_id)).count("booked flight") == 1


# ── operators ────────────────────────────────────────────────────────────────────────────────────


async def test_operators_try_again_leave_out_or_take_back_and_the_trail_says_so(p: RunningPlatform) -> None:
    faults.planned["book hotel"] = [RuntimeError()] * 9
    again, without, back = [await plan(p) for _ in range(3)]
    await p.deliver(skip_waits=True)
    faults.planned.clear()

    await p.execute(RetrySaga(saga_id=again))
    await p.execute(SkipSagaStep(saga_id=without))
    await p.execute(CompensateSaga(saga_id=back))
    await p.deliver()

    assert await standing(p, again) == (
        "completed",
        dict.fromkeys(("flight", "hotel", "postcard", "confirmation"), "completed"),
    )
    assert (await standing(p, without))[1]["hotel"] == "skipped"
    assert (await standing(p, without))[0] == "completed"
    # nobody knows whether the hotel was booked, so it is cancelled as if it had been
    assert (await standing(p, back))[1]["hotel"] == "compensated"
    assert await diary(p, back) == ["planned", "booked flight", "cancelled hotel", "cancelled flight"]
    for action in ("retry_saga", "skip_saga_step", "compensate_saga"):
        [line] = await p.audit(f"platform.{action}")
        assert (line.resource_type, line.outcome) == ("platform.saga", "done")
    timeline = (await p.ask(GetSaga(saga_id=back))).timeline
    assert [(e.what, e.detail) for e in timeline if e.step is None] == [
        ("started", None),
        ("compensation ordered", "by system"),
    ]


async def test_a_completed_saga_can_be_taken_back_long_after(p: RunningPlatform) -> None:
    trip_id = await plan(p)
    await p.deliver()
    await p.sql("DELETE FROM platform.deliveries WHERE id = %(id)s", id=trip_id)  # as the purge does
    await p.execute(CompensateSaga(saga_id=trip_id))
    await p.deliver()
    assert (await standing(p, trip_id))[0] == "compensated"
    for command in (RetrySaga, SkipSagaStep, CompensateSaga):
        with pytest.raises(moves.SagaNotActionable):
            await p.execute(command(saga_id=trip_id))
    with pytest.raises(NotFound):
        await p.execute(RetrySaga(saga_id=new_id()))


async def test_a_run_whose_version_is_gone_is_parked_and_comes_back_with_it(
    p: RunningPlatform, platform: PlatformFactory
) -> None:
    trip_id = await plan(p)
    await p.sql(
        "UPDATE platform.sagas SET definition = 2 WHERE id = %(id)s;", id=trip_id
    )  # a later release began it
    await p.sql("UPDATE platform.deliveries SET handler = 'voyage.trip@2' WHERE id = %(id)s", id=trip_id)
    assert await p.deliver() == [], "no worker of this build takes it"
    with pytest.raises(SagaNotInstalled, match="version 2"):
        await p.execute(CompensateSaga(saga_id=trip_id))

    from platform_core import _outbox

    pool = p.kernel.pools.commands(KERNEL)
    await _outbox.sync_subscriptions(pool, [("voyage.trip@2", None, "voyage")])
    await p.sql(
        "UPDATE platform.subscriptions SET seen_at = now() - interval '1 h' WHERE handler LIKE '%%@2'"
    )
    await _outbox.bury_orphans(pool, orphan_seconds=60)
    saga = await p.ask(GetSaga(saga_id=trip_id))
    assert saga.status == "parked"
    assert "voyage" in (saga.error or "")
    [listed] = (await p.ask(ListSagas(page=PageRequest(), status="parked"))).items
    assert listed.id == trip_id

    await _outbox.sync_subscriptions(pool, [("voyage.trip@2", None, "voyage")])
    assert (await standing(p, trip_id))[0] == "running"


async def test_a_run_keeps_the_version_that_it_began_with(
    p: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voyage.application import book_flight

    from platform_core._sagas import Definitions

    old = await plan(p)
    both = [
        *(("voyage", saga) for saga in p.kernel.sagas.definitions.by_handler.values()),
        ("voyage", Saga(name="voyage.trip", version=2, steps=[SagaStep(name="flight", action=book_flight)])),
    ]
    monkeypatch.setattr(p.kernel.sagas, "definitions", Definitions(both))
    new = await plan(p)
    await p.deliver()
    assert (await p.ask(GetSaga(saga_id=old))).version == 1
    assert len((await p.ask(GetSaga(saga_id=old))).steps) == 4
    assert len((await p.ask(GetSaga(saga_id=new))).steps) == 1


async def test_runs_that_ended_long_ago_are_deleted_with_their_timelines_and_no_others(
    p: RunningPlatform,
) -> None:
    long_ago, lately, waiting = await plan(p), await plan(p), await plan(p)
    await p.sql("DELETE FROM platform.deliveries WHERE id = %(id)s", id=waiting)  # nobody works on it
    await p.deliver()
    await p.sql(
        "UPDATE platform.sagas SET updated_at = now() - interval '40 days',"
        " finished_at = CASE WHEN id <> %(waiting)s THEN now() - interval '40 days' END WHERE id <> %(lately)s",
        waiting=waiting,
        lately=lately,
    )
    pool = p.kernel.pools.commands(KERNEL)
    assert await purge(pool, retention_days=30, batch_count=1) == 1
    assert {row["id"] for row in await p.sql("SELECT id FROM platform.sagas")} == {lately, waiting}
    assert {row["saga_id"] for row in await p.sql("SELECT saga_id FROM platform.saga_log")} == {
        lately,
        waiting,
    }
    with pytest.raises(NotFound):
        await p.ask(GetSaga(saga_id=long_ago))


# ── what is refused at the start ─────────────────────────────────────────────────────────────────


def unannotated(run: Any):  # type: ignore[no-untyped-def]  # what the test is about
    return Book(trip_id=run.id, what="nothing")


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([], "no steps"),
        ([SagaStep(name="a", action=unannotated)], "nothing says which command"),
        (
            [SagaStep(name="a", action=lambda run: Book(trip_id=run.id, what=""))],
            "nothing says which command",
        ),
    ],
)
def test_a_saga_that_cannot_work_is_refused_at_the_start(
    steps: list[SagaStep], problem: str, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voyage import plugin

    monkeypatch.setattr(plugin, "register_sagas", _hook(lambda: [Saga(name="voyage.trip", steps=steps)]))
    kernel = load(VOYAGE)
    [failed] = [plugin for plugin in kernel.plugins if plugin.error]
    assert problem in str(failed.error)


def _hook(function: Any) -> Any:
    from platform_core import hookimpl

    return hookimpl(function, specname="register_sagas")
