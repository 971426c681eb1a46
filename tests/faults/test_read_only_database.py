"""
The primary became read-only, as after a failover to a standby (B13).

What is promised: reads go on, writes are told 503 and lose nothing, deliveries wait, and all of it resumes by itself.
That nothing acknowledged is missing on the standby is the promise of synchronous replication: see docs/chaos.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2
import pytest
from fault_rig.house import House, eventually

from platform_core.testing import RunningProcess

pytestmark = pytest.mark.long

Figure = Callable[[str, object], None]
ME = "/api/v1/users/me"


async def test_b13_a_read_only_primary_reads_refuses_to_write_and_resumes(
    house: House, record_property: Figure
) -> None:
    """Red when ReadOnlySqlTransaction is a 500, and when a worker that cannot claim gives up."""
    api, worker, scheduler = await asyncio.gather(house.api(), house.worker(), house.scheduler())
    assert (await house.register(api.client, "ada")).status_code == 201
    token = (await house.log_in(api.client, "ada")).json()["access_token"]
    me = await house.visitor(api.url, token)
    await house.settled()

    await _read_only(house, "on")
    await _with_a_delivery(house)

    for number in range(6):  # the first ones may meet a connection that died with the old primary
        refusal = await house.mark(api.client, f"refused {number}", key=f"refused-{number}")
        assert refusal.status_code == 503, refusal.text
        assert int(refusal.headers["retry-after"]) >= 1
    patched = await me.patch(ME, json={"full_name": "Ada"})
    assert patched.status_code == 503, patched.text
    await eventually(lambda: _answers(me, 200))
    assert (await api.client.get("/health/live")).status_code == 200
    await eventually(lambda: _says(worker, "cannot claim deliveries"))
    assert await house.value("SELECT count(*) FROM tally.effects") == 0

    await _read_only(house, "off")

    record_property("seconds until deliveries flow again", round(await house.settled(within_seconds=10), 2))
    for number in range(6):
        await eventually(lambda number=number: _is_made(house, api.client, f"refused {number}"))
    await eventually(lambda: _is_patched(me))
    assert await house.value("SELECT count(*) FROM tally.effects WHERE handler = 'tally.note'") >= 1
    assert (api.process.exit_code, worker.exit_code, scheduler.exit_code) == (None, None, None)


async def _read_only(house: House, value: str) -> None:
    """New connections are read-only from now on, and there are no old ones."""
    async with await house.connect() as connection:
        await connection.execute(b"SET default_transaction_read_only = off")
        name = connection.info.dbname
        await connection.execute(
            f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}'.encode()
        )
        await connection.execute(
            b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            b" AND application_name LIKE 'platform/%' AND pid <> pg_backend_pid()"
        )


async def _with_a_delivery(house: House) -> None:
    """Something is due that the workers cannot claim."""
    async with await house.connect() as connection:
        await connection.execute(b"SET default_transaction_read_only = off")
        await connection.execute(
            b"WITH e AS (INSERT INTO audit.domain_events (id, name, version, aggregate_type, aggregate_id, payload,"
            b" correlation_id, occurred_at) VALUES (platform.uuid7(), 'tally.marked', 1, 'tally.mark',"
            b" platform.uuid7(), jsonb_build_object('mark_id', platform.uuid7(), 'work_ms', 0), 'x', now())"
            b" RETURNING *) INSERT INTO platform.deliveries (id, handler, event_id, position, aggregate_id)"
            b" SELECT platform.uuid7(), 'tally.note', id, position, aggregate_id FROM e"
        )


async def _is_made(house: House, client: httpx2.AsyncClient, text: str) -> bool:
    answer = await house.mark(client, text, key=text.replace(" ", "-"))
    return answer.status_code == 201


async def _is_patched(client: httpx2.AsyncClient) -> bool:
    return (await client.patch(ME, json={"full_name": "Ada"})).status_code == 200


async def _answers(client: httpx2.AsyncClient, status: int) -> bool:
    return (await client.get(ME)).status_code == status


async def _says(process: RunningProcess, text: str) -> bool:
    return text in process.output
