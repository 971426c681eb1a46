"""Clients that hang up: in the middle of a request, right behind it, and before they read the answer (B40)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from fault_rig.house import Api, House, eventually

if TYPE_CHECKING:
    from conftest import NewHouse

pytestmark = pytest.mark.long

Figure = Callable[[str, object], None]

DISCONNECTS_COUNT = 500
AT_ONCE = 20
POOL_SIZE = 3


async def test_b40_five_hundred_disconnects_leak_no_connection_and_leave_no_half_command(
    new_house: NewHouse, record_property: Figure
) -> None:
    """
    The pool is so small that a single connection that is not given back stops the platform soon.

    Red when one connection in fifty is not given back.
    """
    async with new_house({"PLATFORM_DATABASE_POOL_SIZE": str(POOL_SIZE)}) as house:
        api, _ = await asyncio.gather(house.api(), house.worker())
        await _many(house, api, AT_ONCE)  # everything is imported, every pool is filled
        before = _resident_megabytes(api)

        room = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(_hang_up(api, room, number) for number in range(DISCONNECTS_COUNT)))

        await eventually(lambda: _is_idle(house))
        made = await house.value("SELECT count(*) FROM tally.marks WHERE text LIKE 'hang up%%'")
        record_property("of them carried out", made)
        assert made > POOL_SIZE  # or nothing was caught in the middle
        await _every_connection_can_be_had(house, api)
        grown = _resident_megabytes(api) - before
        record_property("MB grown over 500 disconnects", round(grown, 1))
        assert grown < 20
        # each of them is whole or not at all
        await house.check(unacknowledged=DISCONNECTS_COUNT)


async def _every_connection_can_be_had(house: House, api: Api) -> None:
    """As many statements as the pool has connections run at once; with one leaked, one of them would wait outside."""
    async with house.locked("tally.marks"):
        waiting = [asyncio.create_task(house.mark(api.client, f"held {n}")) for n in range(POOL_SIZE)]
        await eventually(lambda: _blocked(house, POOL_SIZE), within_seconds=5)
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [201] * POOL_SIZE


async def _blocked(house: House, count: int) -> bool:
    return await house.blocked_count() == count


async def _many(house: House, api: Api, count: int) -> None:
    name = f"{count} {asyncio.get_running_loop().time()}"
    answers = await asyncio.gather(*(house.mark(api.client, f"{name} {number}") for number in range(count)))
    assert {answer.status_code for answer in answers} == {201}


async def _hang_up(api: Api, room: asyncio.Semaphore, number: int) -> None:
    """Send a part of a request, or all of it, and close without a word; sometimes after a little while."""
    host, port = urlsplit(api.url).hostname, urlsplit(api.url).port
    body = json.dumps({"text": f"hang up {number}"}).encode()
    head = (
        f"POST /api/v1/tally/marks HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: hang-up-{number}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    sent = (head + body[:5], head + body, head + body)[number % 3]
    async with room:
        _, writer = await asyncio.open_connection(host, port)
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(number % 20 / 100)
        writer.transport.abort() if number % 2 else writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _is_idle(house: House) -> bool:
    """Whether no statement runs and no transaction is open."""
    return not await house.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'platform/%%' AND state <> 'idle'"
        " AND application_name NOT LIKE 'platform/scheduler%%'"
    )


def _resident_megabytes(api: Api) -> float:
    lines = Path(f"/proc/{api.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
