"""Schedules: each tick becomes one job, however many schedulers believe to act."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ledger.application import OpenAccount

from platform_core.scheduler import Scheduler, last_tick
from platform_core.testing import PlatformFactory, RunningPlatform

LEDGER = Path(__file__).parent / "plugins" / "ledger"


def scheduler_of(p: RunningPlatform) -> Scheduler:
    schedules = [schedule for declared in p.kernel.declared.values() for schedule in declared.schedules]
    return Scheduler(p.kernel.settings, p.kernel.pools, p.clock, schedules, p.kernel._ring)


async def jobs(p: RunningPlatform) -> int:
    return len(await p.deliveries("ledger.close_books"))


async def until(condition: object, seconds: float = 10) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # the database is polled
            await asyncio.sleep(0.02)


async def test_two_schedulers_make_one_job_of_each_tick_and_one_takes_over_from_the_other(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    async with platform(extra=[LEDGER], beside=p) as other:
        first, second = scheduler_of(p), scheduler_of(other)
        running = [asyncio.create_task(first.run())]

        async def first_acts() -> bool:
            return first.is_acting and await jobs(p) == 1

        await until(first_acts)
        running.append(asyncio.create_task(second.run()))
        await asyncio.sleep(1.2)
        assert (first.is_acting, second.is_acting) == (True, False)
        assert await jobs(p) == 1

        p.clock.advance(hours=1)

        async def ticked_again() -> bool:
            return await jobs(p) == 2

        await until(ticked_again)
        first.stop()
        await running[0]
        p.clock.advance(hours=1)

        async def second_acts() -> bool:
            return second.is_acting and await jobs(p) == 3

        await until(second_acts)
        second.stop()
        await asyncio.gather(*running)
    assert len(await p.deliver()) == 3


async def test_even_two_that_both_believe_to_act_cannot_run_a_tick_twice(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    async with platform(extra=[LEDGER], beside=p) as other:
        await asyncio.gather(*(scheduler_of(each)._tick() for each in (p, other) * 10))
    assert await jobs(p) == 1


async def test_the_acting_scheduler_extends_the_audit_chain(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    scheduler = scheduler_of(p)
    running = asyncio.create_task(scheduler.run())

    async def chained() -> bool:
        return (await p.sql("SELECT count(*) AS n FROM audit.audit_chain WHERE position IS NULL"))[0][
            "n"
        ] == 0

    await until(chained)
    scheduler.stop()
    await running


def test_ticks_are_multiples_since_1970_so_that_restarts_do_not_shift_them() -> None:
    now = datetime(2026, 11, 23, 10, 17, 31, tzinfo=UTC)
    assert last_tick(now, timedelta(minutes=5)) == datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
    assert last_tick(now, timedelta(hours=1)) == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert last_tick(now, timedelta(days=1)) == datetime(2026, 11, 23, tzinfo=UTC)


async def test_a_tick_runs_once_although_its_job_was_tidied_away_before_the_next(
    platform: PlatformFactory,
) -> None:
    async with platform(extra=[LEDGER], settings={"PLATFORM_DELIVERY_RETENTION_DAYS": "0.000000001"}) as p:
        scheduler = scheduler_of(p)
        [purge] = [chore for chore in scheduler._chores if chore.name == "purge"]
        await scheduler._tick()
        assert len(await p.deliver()) == 1
        await asyncio.sleep(0.01)
        await purge.run()
        await scheduler._tick()
        assert await p.deliver() == []

        p.clock.advance(hours=1)
        await purge.run()
        assert await p.deliveries("ledger.close_books") == []
