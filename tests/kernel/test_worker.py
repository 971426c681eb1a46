"""The worker itself: how it ends, and what it keeps of failures."""

import asyncio
from pathlib import Path

from ledger.application import OpenAccount, faults

from platform_core.testing import PlatformFactory, eventually

LEDGER = Path(__file__).parent / "plugins" / "ledger"


async def test_a_worker_without_a_free_place_ends_when_it_is_told_to(platform: PlatformFactory) -> None:
    async with platform(
        extra=[LEDGER],
        settings={"PLATFORM_WORKER_CONCURRENCY": "1", "PLATFORM_SHUTDOWN_GRACE_SECONDS": "0.2"},
    ) as p:
        busy = asyncio.Event()

        async def hang() -> None:
            busy.set()
            await asyncio.sleep(20)

        faults.before_commit = hang
        await p.execute(OpenAccount(owner="Ada"))
        worker = p.kernel.worker()
        running = asyncio.create_task(worker.run())
        await asyncio.wait_for(busy.wait(), 10)

        worker.stop()
        await asyncio.wait_for(running, 15)
        [delivery] = await p.deliveries("ledger.greet_owner")
        assert (delivery.status, delivery.attempts_count) == ("pending", 0)


async def test_what_several_workers_died_with_runs_alone_so_that_the_innocent_get_through(
    platform: PlatformFactory,
) -> None:
    """B6: a batch dies with the one that kills; its last chance each of them has for itself."""
    async with platform(extra=[LEDGER]) as p:
        for owner in ("Ada", "Ben", "Cy"):
            await p.execute(OpenAccount(owner=owner))
        together, most = 0, 0

        async def work() -> None:
            nonlocal together, most
            together += 1
            most = max(most, together)
            await asyncio.sleep(0.05)
            together -= 1

        faults.before_commit = work
        # two workers had all of them and never came back
        await p.sql(
            "UPDATE platform.deliveries SET attempts_count = 2, lease_token = platform.uuid7(), available_at = now()"
        )
        worker = p.kernel.worker()
        running = asyncio.create_task(worker.run())

        async def all_done() -> bool:
            return {delivery.status for delivery in await p.deliveries("ledger.greet_owner")} == {"done"}

        await eventually(all_done, within_seconds=20)
        worker.stop()
        await running
        assert most == 1


async def test_a_first_loss_is_chance_and_the_batch_runs_together_again(platform: PlatformFactory) -> None:
    async with platform(extra=[LEDGER]) as p:
        for owner in ("Ada", "Ben"):
            await p.execute(OpenAccount(owner=owner))
        both = asyncio.Barrier(2)

        async def meet() -> None:
            async with asyncio.timeout(5):
                await both.wait()

        faults.before_commit = meet
        await p.sql(
            "UPDATE platform.deliveries SET attempts_count = 1, lease_token = platform.uuid7(), available_at = now()"
        )
        worker = p.kernel.worker()
        assert await worker.run_until_idle() == 2
        assert {delivery.status for delivery in await p.deliveries("ledger.greet_owner")} == {"done"}


async def test_places_that_stay_free_are_filled_while_others_of_the_handler_hang(
    platform: PlatformFactory,
) -> None:
    """Eleven of a handler's sixteen places hang: the others do not wait for the next look at the clock."""
    async with platform(extra=[LEDGER], settings={"PLATFORM_POLL_SECONDS": "30"}) as p:
        for number in range(41):
            await p.execute(OpenAccount(owner=f"Owner {number}"))
        begun = 0

        async def hang_at_first() -> None:
            nonlocal begun
            begun += 1
            await asyncio.sleep(30 if begun <= 11 else 0)

        faults.before_commit = hang_at_first
        worker = p.kernel.worker()
        worker.wake()
        running = asyncio.create_task(worker.run())

        async def thirty_are_done() -> bool:
            return [one.status for one in await p.deliveries("ledger.greet_owner")].count("done") == 30

        await eventually(thirty_are_done, within_seconds=20)
        worker.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
