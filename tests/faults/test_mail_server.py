"""
A mail server that takes a mail and then says nothing (B14).

What it says otherwise (B15) is tried with a scripted one in `plugins/notification/tests/integration/test_mails.py`,
a crash between its yes and our commit (B16) in `test_killed_processes.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import httpx2
import pytest
from fault_rig.house import House, eventually

from notification.settings import NotificationSettings

if TYPE_CHECKING:
    from conftest import NewHouse

pytestmark = pytest.mark.long

Figure = Callable[[str, object], None]

MAILS_AT_ONCE = 4


async def test_b14_a_mail_server_that_hangs_after_data_costs_its_own_mails_time_and_nothing_else(
    new_house: NewHouse, record_property: Figure
) -> None:
    """
    Twelve mails hang in a worker of twelve places, and everything else goes on as before.

    Red when mails may take every place of a worker, and when handing over has no time-out.
    """
    assert NotificationSettings().send_timeout_seconds <= 10  # type: ignore[call-arg]  # all have defaults
    async with _mail_server_that_hangs() as url:
        settings = {
            "SMTP_URL": url,
            "PLATFORM_NOTIFICATION_SEND_TIMEOUT_SECONDS": "8",
            "PLATFORM_WORKER_CONCURRENCY": "12",
        }
        async with new_house(settings) as house:
            api, _ = await asyncio.gather(house.api(), house.worker())
            alone = await _marks_per_second(house, api.client, "alone")
            for number in range(12):
                assert (await house.register(api.client, f"reader{number}")).status_code == 201
            await eventually(lambda: _are_hanging(house))
            beside, hanging = [], set()
            for attempt in range(2):
                hanging.add(await _hanging_count(house))
                beside.append(await _marks_per_second(house, api.client, f"beside {attempt}"))
            record_property("marks per second, alone and beside hanging mails", (alone, *beside))
            # none at all where the mails keep every place; a busy machine takes its share
            assert max(beside) >= 0.4 * alone
            assert max(hanging) <= MAILS_AT_ONCE
            await eventually(lambda: _is_deferred(house))
            assert (
                await house.value("SELECT count(*) FROM notification.email_logs WHERE status = 'sent'") == 0
            )


async def _marks_per_second(house: House, client: httpx2.AsyncClient, name: str) -> float:
    """Make marks one after the other, each with a little work for its handler, until all are handled."""
    started = time.monotonic()
    for number in range(40):
        assert (await house.mark(client, f"{name} {number}", work_ms=50)).status_code == 201
    await eventually(lambda: _are_handled(house))
    return round(40 / (time.monotonic() - started), 1)


async def _are_handled(house: House) -> bool:
    waiting = "SELECT count(*) FROM platform.deliveries WHERE handler = 'tally.note' AND status = 'pending'"
    return not await house.value(waiting)


async def _hanging_count(house: House) -> int:
    leased = (
        "SELECT count(*) FROM platform.deliveries WHERE lease_token IS NOT NULL AND handler = %(handler)s"
    )
    return int(await house.value(leased, handler="notification.send_email"))


async def _are_hanging(house: House) -> bool:
    return await _hanging_count(house) >= MAILS_AT_ONCE


async def _is_deferred(house: House) -> bool:
    rows = await house.sql("SELECT status, error FROM notification.email_logs WHERE attempts > 0")
    return ("queued", "handing over took the mail server longer than 8 s") in {
        tuple(r.values()) for r in rows
    }


@contextlib.asynccontextmanager
async def _mail_server_that_hangs() -> AsyncIterator[str]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            writer.write(b"220 mail.test\r\n")
            while line := await reader.readline():
                if line.upper().startswith(b"DATA"):
                    writer.write(b"354 go on\r\n")
                    await reader.read()  # until the other side has had enough
                else:
                    writer.write(b"250 fine\r\n")

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
