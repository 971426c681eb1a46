"""
Every backend is terminated, while statements run and in the very middle of a commit (B12).

The client cannot know whether its command was stored, and the platform does not pretend to: it says 503, and the same
key settles it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from fault_rig.house import Api, House, eventually

pytestmark = pytest.mark.long

Figure = Callable[[str, object], None]
CLIENTS_COUNT = 4

_TERMINATE = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'platform/%%' AND pid <> pg_backend_pid()"
)


@pytest.mark.parametrize("moment", ["while the statement runs", "in the middle of the commit"])
async def test_b12_who_loses_the_connection_is_told_503_and_the_key_settles_it(
    house: House, moment: str
) -> None:
    """Seen red, both, when the pools do not say what a lost connection means: it is a 500 then."""
    api, _ = await asyncio.gather(house.api(), house.worker())
    caught = house.locked("tally.marks") if moment.startswith("while") else _stopped_in_commit(house)
    async with caught:
        requests = [
            asyncio.create_task(_mark(house, api, f"mark {number}")) for number in range(CLIENTS_COUNT)
        ]
        await eventually(lambda: _blocked(house))
        await house.sql(_TERMINATE)
        refusals = await asyncio.gather(*requests)

    for refusal in refusals:
        assert refusal.status_code == 503, refusal.text
        assert refusal.headers["content-type"] == "application/problem+json"
        assert int(refusal.headers["retry-after"]) >= 1
    assert await house.value("SELECT count(*) FROM tally.marks") == 0
    for number in range(CLIENTS_COUNT):
        await eventually(lambda number=number: _is_made(house, api, f"mark {number}"))
    await house.check()
    assert api.process.exit_code is None


async def test_b12_a_pool_whose_connections_all_died_heals_at_the_first_error(
    house: House, record_property: Figure
) -> None:
    """Seen red when a pool does not look at a connection before it lends it: 32 requests met a dead one."""
    api, worker = await asyncio.gather(house.api(), house.worker())
    answers = await asyncio.gather(*(_mark(house, api, f"before {number}") for number in range(20)))
    assert {answer.status_code for answer in answers} == {201}  # several connections in each pool
    await house.settled()

    await house.sql(_TERMINATE)

    refused = 0
    while (answer := await _mark(house, api, "afterwards")).status_code != 201:
        assert answer.status_code == 503, answer.text
        refused += 1
    record_property("refused until healed", refused)
    # one for the kernel's pool, which keeps the keys, one for the module's
    assert refused <= 2
    answers = await asyncio.gather(*(_mark(house, api, f"after {number}") for number in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    await house.check()
    assert worker.exit_code is None


async def _mark(house: House, api: Api, text: str) -> httpx2.Response:
    return await house.mark(api.client, text, key=text.replace(" ", "-"))


async def _is_made(house: House, api: Api, text: str) -> bool:
    return (await _mark(house, api, text)).status_code == 201


async def _blocked(house: House) -> bool:
    return await house.blocked_count() == CLIENTS_COUNT


@contextlib.asynccontextmanager
async def _stopped_in_commit(house: House) -> AsyncIterator[None]:
    """Let every commit that made a mark wait: a deferred trigger runs when nothing but the commit is left to do."""
    await house.sql(
        "CREATE FUNCTION tally.wait() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(12); RETURN NULL; END $$"
    )
    await house.sql(
        "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON tally.marks DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION tally.wait()"
    )
    async with await house.connect(autocommit=False) as holder:
        await holder.execute("SELECT pg_advisory_xact_lock(12)")
        yield
        await holder.rollback()
