"""SIGTERM under load (B45): what was begun is finished, the rest is handed on, nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx2
from fault_rig.house import Api, House, eventually

if TYPE_CHECKING:
    from conftest import NewHouse

Figure = Callable[[str, object], None]


async def test_b45_an_api_told_to_end_finishes_what_it_has_begun(
    house: House, record_property: Figure
) -> None:
    """Red when the process leaves at once, and when it waits for clients that only keep a connection open."""
    api, _ = await asyncio.gather(house.api(), house.worker())
    codes: Counter[object] = Counter()
    clients = [asyncio.create_task(_until_gone(house, api, number, codes)) for number in range(8)]
    await asyncio.sleep(1)
    async with house.locked("tally.marks"):
        await eventually(lambda: _blocked(house, 8))  # all eight are in the middle of it
        ending = asyncio.create_task(asyncio.to_thread(api.process.terminate))
        await eventually(lambda: _refuses(api))
        released_at = time.monotonic()
    assert await ending == 0
    record_property("seconds from the last answer to the end", round(time.monotonic() - released_at, 2))
    await asyncio.gather(*clients)
    record_property("answers", dict(codes))
    assert set(codes) <= {201, 503, "gone"}
    assert codes[201] >= 8
    assert await house.value("SELECT count(*) FROM tally.marks") == len(house.marks)
    await house.check()
    assert "cut off" not in api.process.output


async def _until_gone(house: House, api: Api, number: int, codes: Counter[object]) -> None:
    client = await house.visitor(api.url)
    for count in range(10_000):
        try:
            answer = await house.mark(client, f"{number}-{count}")
        except httpx2.TransportError:
            codes["gone"] += 1
            return
        codes[answer.status_code] += 1
        if answer.status_code == 503:
            assert answer.headers["connection"] == "close"
            assert int(answer.headers["retry-after"]) >= 1
            return


async def _refuses(api: Api) -> bool:
    """Whether new requests are refused; the probe of whoever routes them is answered all the same."""
    return (await api.client.get("/health/ready")).status_code == 503


async def _blocked(house: House, count: int) -> bool:
    return await house.blocked_count() == count


async def test_b45_a_worker_told_to_end_finishes_what_is_short_and_hands_on_the_rest(
    new_house: NewHouse, record_property: Figure
) -> None:
    """
    With a lease of a minute only what is given back can be done in time.

    Red when leases are kept, and when what runs is cut off at once.
    """
    settings = {"PLATFORM_LEASE_SECONDS": "60", "PLATFORM_SHUTDOWN_GRACE_SECONDS": "2"}
    async with new_house(settings) as house:
        api, worker = await asyncio.gather(house.api(), house.worker())
        for number in range(30):
            await house.mark(api.client, f"short {number}", work_ms=200)
        for number in range(3):
            await house.mark(api.client, f"long {number}", work_ms=4000)
        await eventually(lambda: _has_leased_all(house))

        told_at = time.monotonic()
        assert await asyncio.to_thread(worker.terminate) == 0
        record_property("seconds until the worker ended, grace 2 s", round(time.monotonic() - told_at, 2))
        assert time.monotonic() - told_at < 10
        left = "SELECT count(*) FROM platform.deliveries WHERE status = 'pending'"
        assert await house.value(left) == 3
        assert await house.value(f"{left} AND lease_token IS NULL AND attempts_count = 0") == 3

        await house.worker()
        await house.check()


async def _has_leased_all(house: House) -> bool:
    waiting = "SELECT count(*) FROM platform.deliveries WHERE status = 'pending' AND lease_token IS NULL"
    return not await house.value(waiting)
