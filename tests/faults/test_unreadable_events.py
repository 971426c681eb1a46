"""Events that no build can read or that are too new for one (B7, B31), and some that show up out of order (B24)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from fault_rig.house import House, eventually

from platform_core.testing import PluginSource, RunningProcess

if TYPE_CHECKING:
    from conftest import NewHouse

IMPATIENT = {"PLATFORM_ORPHAN_SECONDS": "2"}
"""What only workers of a newer build can read is parked after so long without one."""

ALMANAC = '''
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from platform_core import hookimpl
from platform_core.declarations import on
from platform_core.domain import Event
from platform_core.ports import EventMetadata, Outbox


@dataclass(frozen=True, kw_only=True)
class Observed(Event):
    wire_name: ClassVar[str] = "almanac.observed"
    wire_version: ClassVar[int] = {version}
    upcasters: ClassVar = {{1: lambda payload: {{"sky": payload["weather"]}}}}

    {field}: str


@dataclass(frozen=True, kw_only=True)
class Written(Event):
    """The handler's effect: one for each time that it ran."""

    wire_name: ClassVar[str] = "almanac.written"

    of: UUID


async def write(event: Observed, outbox: Outbox, metadata: EventMetadata) -> None:
    written = Written(of=metadata.event_id)
    outbox.emit(written, aggregate_type="almanac.page", aggregate_id=metadata.aggregate_id)


@hookimpl
def register_event_handlers():
    return [on(Observed, write, name="almanac.write")]
'''


def _build(into: Path, *, version: int) -> str:
    """Write a build of the plugin almanac and return what belongs on `PYTHONPATH` for it."""
    field = {1: "weather", 2: "sky"}[version]
    source = PluginSource(
        name="almanac",
        files={"plugin.py": ALMANAC.format(version=version, field=field)},
        manifest='title = "Almanac"\nconsumes = ["almanac"]\n',
    )
    into.mkdir()
    return str(source.write(into))


@asynccontextmanager
async def _worker(house: House, path: str | None) -> AsyncIterator[RunningProcess]:
    """Run a worker for the length of the block, with or without a build of the almanac."""
    environment = dict(house.p.environment)
    if path is not None:
        environment["PLATFORM_MODULES"] += ",almanac"
        environment["PYTHONPATH"] += f":{path}"
        assert await house.upgrade(environment) == 0
    worker = await house.worker(environment=environment)
    yield worker
    assert await asyncio.to_thread(worker.terminate) == 0


async def test_b7_what_no_build_can_read_is_parked_with_its_reason_and_worked_off_by_one_that_can(
    new_house: NewHouse, tmp_path: Path
) -> None:
    """Red when what cannot be read is a failure (it dies of it) or is done with, and when nobody revives it."""
    async with new_house(IMPATIENT) as house:
        await _parked_and_worked_off(house, tmp_path)


async def _parked_and_worked_off(house: House, tmp_path: Path) -> None:
    old, new = _build(tmp_path / "old", version=1), _build(tmp_path / "new", version=2)
    readable = await _insert(house, version=1, payload='{"weather": "rain"}')
    newer = await _insert(house, version=2, payload='{"sky": "grey"}')
    unknown = await _insert(house, name="almanac.forgotten", payload="{}")
    broken = [
        await _insert(house, payload=text)
        for text in ('{"wether": "rain"}', '{"weather": {"deep": [1]}}', "[]", "null", '"text"', "7")
    ]

    async with _worker(house, old):
        await house.settled()
    state = await _deliveries(house)
    assert state.pop(readable) == ("done", None)
    by_itself = "a worker of a build that knows it delivers it by itself"
    beyond = f"beyond this build: almanac.observed of version 2; {by_itself}"
    assert state.pop(newer) == ("parked", beyond)
    assert state.pop(unknown) == ("parked", beyond.replace("observed of version 2", "forgotten of version 1"))
    assert {status for status, _ in state.values()} == {"parked"}
    assert all("does not fit" in str(reason) for _, reason in state.values()), state
    assert len(state) == len(broken)
    assert await _effects(house) == [readable]

    async with _worker(house, new):
        await eventually(lambda: _is(house, newer, "done"))
        await house.settled()
    assert await _effects(house) == [readable, newer]
    state = await _deliveries(house)
    assert len(state) == 3 + len(broken)
    assert {status for event_id, (status, _) in state.items() if event_id not in (readable, newer)} == {
        "parked"
    }


async def test_b31_events_of_a_newer_build_wait_for_its_workers_beside_those_of_the_build_before(
    new_house: NewHouse, tmp_path: Path
) -> None:
    """
    A rolling upgrade: both builds run, and nobody is started again.

    Red when workers claim what is newer than they are (it is parked at once), and when only the start of a process
    revives what was parked.
    """
    old, new = _build(tmp_path / "old", version=1), _build(tmp_path / "new", version=2)
    async with new_house(IMPATIENT) as house, _worker(house, old), _worker(house, new) as newer:
        events = [
            await _insert(house, version=version, payload=payload)
            for version, payload in [(1, '{"weather": "rain"}'), (2, '{"sky": "grey"}')] * 20
        ]
        await house.settled()
        assert sorted(await _effects(house)) == sorted(events)
        attempts = "SELECT array_agg(DISTINCT attempts_count) FROM platform.deliveries"
        assert await house.value(attempts) == [1]

        newer.signal(signal.SIGSTOP)  # the new build's only worker is away for longer than anybody waits
        waiting = await _insert(house, version=2, payload='{"sky": "blue"}')
        other = await _insert(house, payload='{"weather": "sun"}')
        await eventually(lambda: _is(house, other, "done"))
        assert await _is(house, waiting, "pending")
        await eventually(lambda: _is(house, waiting, "parked"))
        newer.signal(signal.SIGCONT)
        await eventually(lambda: _is(house, waiting, "done"))
        assert len(await _effects(house)) == len(events) + 2


async def test_b7_events_of_a_module_that_is_away_wait_and_are_buried_with_a_reason_until_it_is_back(
    house: House, tmp_path: Path
) -> None:
    """Red when a worker takes what it has no handler for, and when the dead are not raised."""
    path = _build(tmp_path / "almanac", version=1)
    event_id = await _insert(house, payload='{"weather": "rain"}')
    await house.sql(
        "INSERT INTO platform.subscriptions (handler, event_name, module, seen_at)"
        " VALUES ('almanac.write', 'almanac.observed', 'almanac', now() - interval '1 day')"
    )
    async with _worker(house, None):
        await asyncio.sleep(1)
        assert await _is(house, event_id, "pending")
        await house.scheduler()
        await eventually(lambda: _is(house, event_id, "dead"))
    [(status, reason)] = (await _deliveries(house)).values()
    assert status == "dead"
    assert "the module almanac is not installed" in str(reason)

    async with _worker(house, path):
        await eventually(lambda: _is(house, event_id, "done"))
    assert await _effects(house) == [event_id]


@pytest.mark.parametrize("same_aggregate", [False, True], ids=["two aggregates", "one aggregate"])
async def test_b24_an_event_that_is_committed_late_is_delivered(house: House, same_aggregate: bool) -> None:
    """
    Positions are given before the commit: the later one is seen first.

    Red when workers remember how far they have read ("position > last").
    """
    first, second = await _mark_id(house), await _mark_id(house)
    second = first if same_aggregate else second
    await house.worker()
    async with await house.connect(autocommit=False) as late:
        late_event = await _insert_mark(late, first)
        async with await house.connect() as early:
            early_event = await _insert_mark(early, second)
        await eventually(lambda: _has_effect(house, early_event))
        # and everything that came later, for a while
        async with await house.connect() as early:
            for _ in range(3):
                await _insert_mark(early, await _mark_id(house))
        await house.settled()
        assert not await _has_effect(house, late_event)
    await eventually(lambda: _has_effect(house, late_event))
    await house.settled()
    assert (
        await house.value("SELECT max(c) FROM (SELECT count(*) c FROM tally.effects GROUP BY event_id) x")
        == 1
    )
    assert await house.value("SELECT count(*) FROM tally.effects") == 5


# ── raw rows, as a newer or a broken producer writes them ────────────────────────────────────────

_INSERT = (
    "WITH e AS (INSERT INTO audit.domain_events (id, name, version, aggregate_type, aggregate_id, payload,"
    " correlation_id, occurred_at) VALUES (platform.uuid7(), %(name)s, %(version)s, %(type)s,"
    " COALESCE(%(aggregate)s::uuid, platform.uuid7()), %(payload)s::jsonb, 'raw', now()) RETURNING *),"
    " d AS (INSERT INTO platform.deliveries (id, handler, event_id, position, aggregate_id)"
    " SELECT platform.uuid7(), %(handler)s, id, position, aggregate_id FROM e)"
    " SELECT id FROM e"
)


async def _insert(house: House, *, payload: str, name: str = "almanac.observed", version: int = 1) -> UUID:
    values = {"name": name, "version": version, "payload": payload, "handler": "almanac.write"}
    [row] = await house.sql(_INSERT, **values, type="almanac.sky", aggregate=None)
    return UUID(str(row["id"]))


async def _insert_mark(connection: psycopg.AsyncConnection[dict[str, Any]], mark_id: UUID) -> UUID:
    payload = f'{{"mark_id": "{mark_id}", "work_ms": 0}}'
    values = {"name": "tally.marked", "version": 1, "payload": payload, "handler": "tally.note"}
    cursor = await connection.execute(
        _INSERT.encode(), {**values, "type": "tally.mark", "aggregate": mark_id}
    )
    row = await cursor.fetchone()
    assert row is not None
    return UUID(str(row["id"]))


async def _mark_id(house: House) -> UUID:
    return UUID(str(await house.value("SELECT platform.uuid7()")))


async def _deliveries(house: House) -> dict[UUID, tuple[str, str | None]]:
    rows = await house.sql(
        "SELECT event_id, status, last_error FROM platform.deliveries WHERE event_id IS NOT NULL ORDER BY position"
    )
    return {row["event_id"]: (row["status"], row["last_error"]) for row in rows}


async def _is(house: House, event_id: UUID, status: str) -> bool:
    return (await _deliveries(house))[event_id][0] == status


async def _effects(house: House) -> list[UUID]:
    """Return which events the almanac's handler has had an effect for, once for each."""
    rows = await house.sql(
        "SELECT payload ->> 'of' AS of FROM audit.domain_events WHERE name = 'almanac.written' ORDER BY position"
    )
    return [UUID(row["of"]) for row in rows]


async def _has_effect(house: House, event_id: UUID) -> bool:
    return bool(await house.value("SELECT count(*) FROM tally.effects WHERE event_id = %(id)s", id=event_id))
