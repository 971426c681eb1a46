"""The worker itself: how it ends, and what it keeps of failures."""

import asyncio
import time
from pathlib import Path

from ledger.application import OpenAccount, faults

from platform_core.testing import PlatformFactory
from platform_core.worker import Worker

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
        worker = Worker(p.kernel.settings, p.kernel.engines, p.kernel.bus, p.kernel.metrics)
        running = asyncio.create_task(worker.run())
        await asyncio.wait_for(busy.wait(), 10)

        told = time.monotonic()
        worker.stop()
        await asyncio.wait_for(running, 15)

        assert time.monotonic() - told < 5
        [delivery] = await p.deliveries("ledger.greet_owner")
        assert (delivery.status, delivery.attempts_count) == ("pending", 0)
