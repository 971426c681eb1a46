"""The hash chain over the trail: no fork under load, and no change that it does not show."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from ledger.application import OpenAccount

from platform_core import _audit
from platform_core._audit import Verdict, extend_chain, verify
from platform_core.testing import RunningPlatform

Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def connection(p: RunningPlatform) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(p.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def chained(p: RunningPlatform, connection: Connection) -> Verdict:
    for number in range(6):
        await p.execute(OpenAccount(owner=f"owner {number}"))
    assert await extend_chain(connection) == 6
    verdict = await verify(connection)
    assert (verdict.lines_count, verdict.broken_at, verdict.waiting_count) == (6, None, 0)
    return verdict


async def test_lines_that_are_chained_during_the_walk_are_counted_once(
    p: RunningPlatform, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await p.execute(OpenAccount(owner=f"owner {number}"))
    counted = _audit._unchained

    async def chained_meanwhile(reader: Connection) -> tuple[UUID | None, int]:
        async with await psycopg.AsyncConnection.connect(p.database_url, autocommit=True) as sequencer:
            assert await extend_chain(sequencer) == 3
        return await counted(reader)

    monkeypatch.setattr(_audit, "_unchained", chained_meanwhile)
    verdict = await verify(connection)
    assert (verdict.lines_count, verdict.waiting_count) == (0, 3)


async def test_fifty_parallel_writers_and_five_sequencers_make_no_fork(p: RunningPlatform) -> None:
    stop = asyncio.Event()

    async def sequence() -> None:
        async with await psycopg.AsyncConnection.connect(p.database_url, autocommit=True) as connection:
            while not stop.is_set():
                await extend_chain(connection, batch_count=7)

    sequencers = [asyncio.create_task(sequence()) for _ in range(5)]
    await asyncio.gather(*(p.execute(OpenAccount(owner=f"owner {number}")) for number in range(50)))
    stop.set()
    await asyncio.gather(*sequencers)

    async with await psycopg.AsyncConnection.connect(p.database_url, autocommit=True) as connection:
        while await extend_chain(connection):
            pass
        verdict = await verify(connection)
    assert (verdict.lines_count, verdict.broken_at, verdict.waiting_count) == (50, None, 0), verdict.problem
    positions = await p.sql("SELECT position FROM audit.audit_chain ORDER BY position")
    assert [row["position"] for row in positions] == list(range(1, 51))


async def test_lines_that_wait_for_the_sequencer_are_counted_not_suspected(
    p: RunningPlatform, chained: Verdict, connection: Connection
) -> None:
    await p.execute(OpenAccount(owner="one more"))
    verdict = await verify(connection, expected_head=chained.head)
    assert (verdict.lines_count, verdict.broken_at, verdict.waiting_count) == (6, None, 1)


async def test_a_head_noted_earlier_stays_part_of_a_growing_chain(
    p: RunningPlatform, chained: Verdict, connection: Connection
) -> None:
    await p.execute(OpenAccount(owner="one more"))
    await extend_chain(connection)
    verdict = await verify(connection, expected_head=chained.head)
    assert (verdict.lines_count, verdict.broken_at) == (7, None)
    assert verdict.head != chained.head


FIELDS = {
    "actor_label": "'somebody else'",
    "action": "'ledger.withdraw'",
    "resource_id": "gen_random_uuid()",
    "changes": "'{}'",
    "outcome": "'refused'",
    "detail": "'x'",
    "ip": "'10.0.0.1'",
    "request_id": "'x'",
    "occurred_at": "occurred_at + interval '1 microsecond'",
}


@pytest.mark.parametrize("field", FIELDS)
async def test_a_changed_field_is_found(
    p: RunningPlatform, chained: Verdict, connection: Connection, field: str
) -> None:
    third = (await p.audit())[2]
    await p.sql(f"UPDATE audit.audit_logs SET {field} = {FIELDS[field]} WHERE id = %(id)s", id=third.id)
    verdict = await verify(connection)
    assert (verdict.broken_at, verdict.problem) == (3, f"the line {third.id} was changed")


async def test_a_deleted_line_is_found(p: RunningPlatform, chained: Verdict, connection: Connection) -> None:
    await p.sql("DELETE FROM audit.audit_logs WHERE id = %(id)s", id=(await p.audit())[2].id)
    verdict = await verify(connection)
    assert (verdict.broken_at, verdict.problem) == (3, "its line was deleted")


async def test_a_line_deleted_together_with_its_link_is_found(
    p: RunningPlatform, chained: Verdict, connection: Connection
) -> None:
    third = (await p.audit())[2]
    await p.sql("DELETE FROM audit.audit_logs WHERE id = %(id)s", id=third.id)
    await p.sql("DELETE FROM audit.audit_chain WHERE audit_id = %(id)s", id=third.id)
    verdict = await verify(connection)
    assert (verdict.broken_at, verdict.problem) == (3, "link 3 is missing")


async def test_two_swapped_lines_are_found(
    p: RunningPlatform, chained: Verdict, connection: Connection
) -> None:
    lines = await p.audit()
    for column in ("action", "changes", "resource_id", "request_id"):
        await p.sql(
            f"UPDATE audit.audit_logs l SET {column} = o.{column} FROM audit.audit_logs o"
            " WHERE (l.id, o.id) IN ((%(a)s, %(b)s), (%(b)s, %(a)s))",
            a=lines[1].id,
            b=lines[3].id,
        )
    assert (await verify(connection)).broken_at == 2


async def test_two_swapped_links_are_found(
    p: RunningPlatform, chained: Verdict, connection: Connection
) -> None:
    await p.sql("UPDATE audit.audit_chain SET position = -position WHERE position IN (2, 4)")
    await p.sql("UPDATE audit.audit_chain SET position = 6 + position WHERE position < 0")
    assert (await verify(connection)).broken_at == 2


async def test_a_line_slipped_in_without_a_link_is_found(
    p: RunningPlatform, chained: Verdict, connection: Connection
) -> None:
    await p.sql(
        "INSERT INTO audit.audit_logs SELECT (platform.uuid7()), actor_id, actor_label, action, resource_type,"
        " resource_id, changes, outcome, detail, ip, request_id, traceparent, occurred_at FROM audit.audit_logs LIMIT 1"
    )
    verdict = await verify(connection)
    assert verdict.broken_at == 7
    assert "was slipped in behind the chain's back" in str(verdict.problem)


async def test_a_forged_line_whose_links_were_all_recomputed_is_found_by_the_noted_head(
    p: RunningPlatform, chained: Verdict, connection: Connection
) -> None:
    await p.sql(
        "UPDATE audit.audit_logs SET actor_label = 'nobody' WHERE id = %(id)s", id=(await p.audit())[2].id
    )
    await p.sql("UPDATE audit.audit_chain SET position = NULL, digest = NULL, hash = NULL, chained_at = NULL")
    await extend_chain(connection)
    assert (await verify(connection)).broken_at is None, "without the head nobody can tell"
    verdict = await verify(connection, expected_head=chained.head)
    assert "no longer part of the chain" in str(verdict.problem)


async def test_a_cut_tail_is_found_by_the_noted_head(
    p: RunningPlatform, chained: Verdict, connection: Connection
) -> None:
    await p.sql("DELETE FROM audit.audit_chain WHERE position > 4")
    await p.sql("DELETE FROM audit.audit_logs WHERE id NOT IN (SELECT audit_id FROM audit.audit_chain)")
    assert (await verify(connection)).broken_at is None
    verdict = await verify(connection, expected_head=chained.head)
    assert (verdict.lines_count, verdict.broken_at) == (4, 5)
    assert "its tail was cut" in str(verdict.problem)


async def test_an_empty_chain_is_whole(p: RunningPlatform, connection: Connection) -> None:
    assert await verify(connection) == Verdict(0, _audit.GENESIS.hex())
