"""Handlers that fail, kill their process, never return or block it (B5, B6, B25), and the innocent beside them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import httpx2
import pytest
from fault_rig.house import House, eventually

from platform_core._watchdog import EXIT_STUCK
from platform_core.testing import RunningProcess

if TYPE_CHECKING:
    from conftest import NewHouse

pytestmark = pytest.mark.long

Figure = Callable[[str, object], None]

ATTEMPTS_COUNT = 3
"""Of `mischief.do`, with waits of 0.2 and 0.4 s and up to a quarter more."""


@pytest.fixture
async def house(new_house: NewHouse) -> AsyncIterator[House]:
    async with new_house(mischief=True) as opened:
        yield opened


async def test_b5_a_poisonous_event_ends_as_a_dead_letter_slows_nobody_down_and_can_be_replayed_once(
    house: House, record_property: Figure
) -> None:
    """
    The others' p95 is compared with itself, and differences below a quarter of a second are the machine's.

    Red when waits do not grow, when a failing delivery blocks its worker while it waits, and when the replay asks for
    no status.
    """
    api, _ = await asyncio.gather(house.api(), house.worker())
    baseline = await _p95_seconds(house, api.client, "before")
    for number in range(10):
        await house.mark(api.client, f"raise {number}")
    beside = await _p95_seconds(house, api.client, "beside")
    record_property("others' p95, before and beside ten poisonous events", (baseline, beside))
    assert beside < max(4 * baseline, 1.0), "a machine that is busy with something else is no poison"
    await house.check()

    dead = await house.sql("SELECT * FROM platform.deliveries WHERE status = 'dead'")
    assert {(row["attempts_count"], row["last_error"]) for row in dead} == {
        (ATTEMPTS_COUNT, "RuntimeError: boom")
    }
    assert len(dead) == 10
    took = min((row["finished_at"] - row["created_at"]).total_seconds() for row in dead)
    assert took >= 0.2 + 0.4

    operator = await _operator(house, api.url)
    retry = f"/api/v1/platform/deliveries/{dead[0]['id']}/retry"
    answers = await asyncio.gather(*(operator.post(retry) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [204, 409, 409, 409, 409]
    audited = "SELECT outcome FROM audit.audit_logs WHERE action = 'platform.retry_delivery' ORDER BY outcome"
    assert [row["outcome"] for row in await house.sql(audited)] == ["done", *["refused"] * 4]
    await house.settled()
    again = await house.sql("SELECT * FROM platform.deliveries WHERE id = %(id)s", id=dead[0]["id"])
    assert [(row["status"], row["attempts_count"]) for row in again] == [("dead", ATTEMPTS_COUNT)]


async def test_b6_what_kills_or_hangs_its_worker_dies_at_last_and_takes_no_innocent_with_it(
    new_house: NewHouse, record_property: Figure
) -> None:
    """
    One worker, started anew whenever it dies, as a supervisor does; it claims all of them at once.

    Red when attempts are counted after the handler, when nobody ends a process that is stuck, and when what workers
    died with is not run alone: the innocent use up their attempts together with the culprit.
    """
    settings = {"PLATFORM_LEASE_SECONDS": "1"}
    async with new_house(settings, mischief=True) as house:
        api = await house.api()
        for text in ("kill", "hang", *(f"innocent {number}" for number in range(12))):
            assert (await house.mark(api.client, text)).status_code == 201
        started = time.monotonic()
        async with _supervised(house) as ends:
            await house.settled(within_seconds=150)  # five starts of a process
        record_property("seconds until all were settled", round(time.monotonic() - started, 1))
        record_property("the worker ended with", ends)
        assert ends.count(-signal.SIGKILL) == ATTEMPTS_COUNT
        assert 1 <= ends.count(EXIT_STUCK) <= ATTEMPTS_COUNT
        assert len(ends) <= 2 * ATTEMPTS_COUNT
        outcomes = await house.sql(
            "SELECT e.payload ->> 'text' AS text, d.last_error FROM platform.deliveries d"
            " JOIN audit.domain_events e ON e.id = d.event_id WHERE d.status = 'dead' ORDER BY 1"
        )
        reason = "the worker died while handling this, every time"
        assert [tuple(row.values()) for row in outcomes] == [("hang", reason), ("kill", reason)]
        assert await _done_count(house) == 12
        await house.check()


async def test_b6_a_handler_that_never_returns_is_cut_off_and_its_neighbours_finish(house: House) -> None:
    """Red when attempts have no time-out."""
    api, worker = await asyncio.gather(house.api(), house.worker())
    await house.mark(api.client, "never")
    await house.mark(api.client, "innocent")
    await eventually(lambda: _has_done(house, 1), within_seconds=5)
    await eventually(lambda: _has_failed(house, "never"), within_seconds=15)
    assert worker.exit_code is None


async def test_b25_a_worker_whose_heart_stood_still_has_lost_its_lease(house: House) -> None:
    """
    The handler blocks the event loop for longer than the lease, which nobody extends meanwhile, and then goes on.

    That it runs once where the heart beats is told by `test_b25_a_handler_that_outlasts_its_lease_runs_once`.
    Red when the completion does not ask for the lease token.
    """
    api, blocked, heir = await asyncio.gather(house.api(), house.worker(), house.worker())
    heir.signal(signal.SIGSTOP)
    await house.mark(api.client, "block")
    await eventually(lambda: _is_leased(house))
    heir.signal(signal.SIGCONT)
    await house.settled()
    assert await house.value("SELECT max(attempts_count) FROM platform.deliveries") == 2
    await eventually(lambda: _one_says(house, "another worker finished this delivery", blocked, heir))
    assert await _done_count(house) == 1
    assert (blocked.exit_code, heir.exit_code) == (None, None)
    await house.check()


@contextlib.asynccontextmanager
async def _supervised(house: House) -> AsyncIterator[list[int]]:
    """Keep one worker running for the length of the block; yields the exit codes of those that ended."""
    ends: list[int] = []

    async def supervise() -> None:
        while True:
            worker = await house.worker()
            while (code := worker.exit_code) is None:  # noqa: ASYNC110  # a process is polled
                await asyncio.sleep(0.05)
            ends.append(code)

    supervisor = asyncio.create_task(supervise())
    try:
        yield ends
    finally:
        supervisor.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await supervisor


async def _p95_seconds(house: House, client: httpx2.AsyncClient, name: str) -> float:
    """Make forty marks and return how long the slower ones waited for their handler."""
    for number in range(40):
        assert (await house.mark(client, f"{name} {number}")).status_code == 201
    await eventually(lambda: _are_noted(house, name))
    return float(
        await house.value(
            "SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM d.finished_at - d.created_at))"
            f" FROM platform.deliveries d {_OF_MARKS}",
            text=f"{name}%",
        )
    )


_OF_MARKS = (
    "JOIN audit.domain_events e ON e.id = d.event_id"
    " WHERE d.handler = 'tally.note' AND e.payload ->> 'text' LIKE %(text)s"
)


async def _are_noted(house: House, name: str) -> bool:
    open_count = f"SELECT count(*) FROM platform.deliveries d {_OF_MARKS} AND d.status <> 'done'"
    return not await house.value(open_count, text=f"{name}%")


async def _operator(house: House, url: str) -> httpx2.AsyncClient:
    from user_management.testing import PASSWORD, sign_up

    await sign_up(house.p, "operator", permissions=["platform:write"])
    visitor = await house.visitor(url)
    token = (await house.log_in(visitor, "operator", PASSWORD)).json()["access_token"]
    return await house.visitor(url, token)


async def _done_count(house: House) -> int:
    return int(await house.value("SELECT count(*) FROM audit.domain_events WHERE name = 'mischief.done'"))


async def _has_done(house: House, count: int) -> bool:
    return await _done_count(house) == count


async def _has_failed(house: House, text: str) -> bool:
    rows = await house.sql(
        "SELECT d.last_error FROM platform.deliveries d JOIN audit.domain_events e ON e.id = d.event_id"
        " WHERE d.handler = 'mischief.do' AND e.payload ->> 'text' = %(text)s",
        text=text,
    )
    return [row["last_error"] for row in rows] == ["TimeoutError"]


async def _is_leased(house: House) -> bool:
    leased = (
        "SELECT count(*) FROM platform.deliveries WHERE lease_token IS NOT NULL AND handler = 'mischief.do'"
    )
    return bool(await house.value(leased))


async def _one_says(house: House, text: str, *processes: RunningProcess) -> bool:
    return any(text in process.output for process in processes)
