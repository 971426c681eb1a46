"""
`kill -9` at the worst moments (B1 to B4, B16), and processes that come back from the dead.

Each test failed once with the code broken on purpose; what was broken is said beside it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from fault_rig.house import LEASE_SECONDS, POLL_SECONDS, House, eventually

from platform_core.testing import RunningProcess

KILLED = -signal.SIGKILL

Figure = Callable[[str, object], None]


async def test_b1_an_api_killed_between_commit_and_answer_has_done_it_once(
    house: House, record_property: Figure
) -> None:
    """Red when the idempotent answer is stored after the commit instead of with it, and when mails need a ring."""
    doomed, other, _ = await asyncio.gather(house.api(chaos="after_commit:1"), house.api(), house.worker())
    with pytest.raises(httpx2.TransportError):
        await house.register(doomed.client, "ada", key="ada-1")
    assert await asyncio.to_thread(doomed.process.wait) == KILLED
    killed_at = time.monotonic()
    user_id = await house.value("SELECT id FROM user_management.users")

    again = await house.register(other.client, "ada", key="ada-1")

    assert (again.status_code, again.json()["id"]) == (201, str(user_id))
    assert again.headers["idempotent-replayed"] == "true"
    await eventually(lambda: _mails(house, 1))
    record_property("seconds from kill -9 to the mail", round(time.monotonic() - killed_at, 2))
    await house.check()


async def test_b2_an_api_killed_before_its_commit_has_done_nothing(house: House) -> None:
    """Red when the row is written before the unit of work commits, and when a dead process keeps its key for ever."""
    doomed, other, _ = await asyncio.gather(house.api(chaos="before_commit:1"), house.api(), house.worker())
    with pytest.raises(httpx2.TransportError):
        await house.register(doomed.client, "ada", key="ada-1")
    assert await asyncio.to_thread(doomed.process.wait) == KILLED

    await house.check()
    assert house.acknowledged == {}
    assert (
        await house.sql("SELECT id FROM audit.audit_logs WHERE action = 'user_management.register_user'")
        == []
    )

    # the dead process holds the key for a while: whoever is quick is told to wait, and for how long at most
    early = await house.register(other.client, "ada", key="ada-1")
    assert (early.status_code, early.headers["retry-after"]) == (409, "1")
    assert await _marks_grow_older(house, seconds=19) == 1
    early = await house.register(other.client, "ada", key="ada-1")
    assert early.status_code == 409
    await _marks_grow_older(house, seconds=2)

    again = await house.register(other.client, "ada", key="ada-1")
    assert again.status_code == 201
    assert "idempotent-replayed" not in again.headers
    await eventually(lambda: _mails(house, 1))
    await house.check()


async def test_b1_an_api_killed_while_its_statement_runs_has_done_it_once_or_not_at_all(house: House) -> None:
    """
    PostgreSQL finishes a statement whose client is gone, so the retry must find the answer.

    Red when effect and answer are two statements.
    """
    doomed, other, _ = await asyncio.gather(house.api(), house.api(), house.worker())
    async with house.locked("user_management.users"):
        request = asyncio.create_task(house.register(doomed.client, "ada", key="ada-1"))
        await eventually(lambda: _blocked(house, 1))
        doomed.process.kill()
        early = await house.register(other.client, "ada", key="ada-1")
        assert early.status_code == 409
    with pytest.raises(httpx2.TransportError):
        await request
    await eventually(lambda: _answered(house))
    again = await house.register(other.client, "ada", key="ada-1")
    assert again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    await house.check()


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("before_handler:1", id="leased, nothing done"),
        pytest.param("before_commit:1", id="handler done, nothing stored"),
        pytest.param("after_commit:1", id="stored, nothing told"),
    ],
)
async def test_b3_what_a_killed_worker_held_is_delivered_again(
    house: House, point: str, record_property: Figure
) -> None:
    """
    Nothing else happens on the system meanwhile: no traffic that wakes anybody.

    Red when expired leases are not claimed, and when the completion is a statement of its own.
    """
    api, doomed, heir = await asyncio.gather(house.api(), house.worker(chaos=point), house.worker())
    heir.signal(signal.SIGSTOP)
    assert (await house.mark(api.client, "one")).status_code == 201
    assert await asyncio.to_thread(doomed.wait) == KILLED
    heir.signal(signal.SIGCONT)

    waited = await house.settled()

    assert waited < LEASE_SECONDS + 2
    record_property("seconds until redelivered, lease 2 s", round(waited, 2))
    await house.check()


@pytest.mark.parametrize(
    ("point", "mails_count"),
    [
        # the mail server said yes and the worker died before it could note that: a second mail, the same Message-ID
        pytest.param("after_mail:1", 2, id="mail handed over, not noted"),
        # the third commit: the handler's, that of the onboarding, and with the mail server's answer the job's
        pytest.param("after_commit:3", 1, id="mail handed over and noted"),
    ],
)
async def test_b16_a_mail_goes_out_once_for_each_worker_that_was_killed_with_it_at_most(
    house: House, point: str, mails_count: int
) -> None:
    """Red when a mail's identity is made anew for each attempt."""
    api, doomed, heir = await asyncio.gather(house.api(), house.worker(chaos=point), house.worker())
    heir.signal(signal.SIGSTOP)
    assert (await house.register(api.client, "ada")).status_code == 201
    assert await asyncio.to_thread(doomed.wait) == KILLED
    heir.signal(signal.SIGCONT)
    await house.check(mails_per_message=mails_count)
    assert len(house.p.mails) == mails_count


async def test_b3_a_worker_killed_while_its_statement_runs_competes_with_its_heir(house: House) -> None:
    """
    The dead worker's statement and its heir's end up in the same moment; one of them counts.

    Red when the completion does not ask for the lease token.
    """
    api, doomed, heir = await asyncio.gather(house.api(), house.worker(), house.worker())
    heir.signal(signal.SIGSTOP)
    async with house.locked("tally.effects"):
        await house.mark(api.client, "one")
        await eventually(lambda: _blocked(house, 1))
        doomed.kill()
        heir.signal(signal.SIGCONT)
        await eventually(lambda: _blocked(house, 2))
    await house.check()
    assert heir.exit_code is None


@pytest.mark.parametrize("point", ["before_commit:1:stop", "after_commit:1:stop"])
async def test_b3_a_worker_that_hung_and_comes_back_has_lost_its_lease(house: House, point: str) -> None:
    """
    A suspended process does not know that its time is over; its token does.

    Red when the completion does not ask for the lease token.
    """
    api, sleeper, heir = await asyncio.gather(house.api(), house.worker(chaos=point), house.worker())
    heir.signal(signal.SIGSTOP)
    await house.mark(api.client, "one")
    await eventually(lambda: _says(sleeper, "chaos: "))
    heir.signal(signal.SIGCONT)
    await house.settled(within_seconds=LEASE_SECONDS + 2)
    sleeper.signal(signal.SIGCONT)
    if point.startswith("before"):
        await eventually(lambda: _says(sleeper, "another worker finished this delivery"))

    await house.mark(api.client, "two")  # and it goes on to work
    await house.check()
    assert (sleeper.exit_code, heir.exit_code) == (None, None)


async def test_b4_a_worker_killed_with_its_whole_group_leaves_nobody_behind_who_goes_on(house: House) -> None:
    """
    A worker is one process; those of `serve --workers` end with their parent (`tests/cli/test_processes.py`).

    Red when a worker leaves its work to a process that outlives it.
    """
    api, doomed = await asyncio.gather(house.api(), house.worker(chaos="before_commit:1:stop"))
    await house.mark(api.client, "one")
    await eventually(lambda: _says(doomed, "chaos: "))
    assert _children(doomed) == []
    doomed.kill(group=True)
    await house.mark(api.client, "two")
    await asyncio.sleep(LEASE_SECONDS + POLL_SECONDS)
    untouched = (
        "SELECT array_agg(attempts_count ORDER BY position) FROM platform.deliveries WHERE status = 'pending'"
    )
    assert await house.value(untouched) == [1, 0]

    await house.worker()
    assert await house.settled() < LEASE_SECONDS + 2
    await house.check()


async def test_b25_a_handler_that_outlasts_its_lease_runs_once(house: House) -> None:
    """Red when leases are not extended."""
    api, *_ = await asyncio.gather(house.api(), house.worker(), house.worker())
    await house.mark(api.client, "long", work_ms=int(LEASE_SECONDS * 2500))
    await house.check()
    assert await house.value("SELECT attempts_count FROM platform.deliveries") == 1


async def test_b3_an_idle_worker_needs_no_bell(house: House, record_property: Figure) -> None:
    """A row that nobody rang for is found within one poll; red when workers only wait for Redis."""
    await house.worker()
    await house.sql(
        "WITH e AS (INSERT INTO audit.domain_events (id, name, version, aggregate_type, aggregate_id, payload,"
        " correlation_id, occurred_at) VALUES (platform.uuid7(), 'tally.marked', 1, 'tally.mark', platform.uuid7(),"
        " jsonb_build_object('mark_id', platform.uuid7(), 'work_ms', 0), 'x', now()) RETURNING *)"
        " INSERT INTO platform.deliveries (id, handler, event_id, position, aggregate_id)"
        " SELECT platform.uuid7(), 'tally.note', id, position, aggregate_id FROM e"
    )
    waited = await house.settled()
    assert waited < POLL_SECONDS + 2
    record_property("seconds until found", round(waited, 2))
    assert await house.value("SELECT count(*) FROM tally.effects") == 1


async def _mails(house: House, count: int) -> bool:
    return len(house.p.mails) == count


async def _blocked(house: House, count: int) -> bool:
    return await house.blocked_count() == count


async def _answered(house: House) -> bool:
    return bool(await house.value("SELECT count(*) FROM platform.idempotency_keys WHERE status IS NOT NULL"))


def _children(process: RunningProcess) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


async def _says(process: RunningProcess, text: str) -> bool:
    return text in process.output


async def _marks_grow_older(house: House, *, seconds: float) -> int:
    """Let time pass for what Redis remembers of Idempotency-Keys; returns how many there are."""
    redis = house.p.kernel.redis
    marks = await redis.call("KEYS", "platform:once:*")
    for mark in marks:
        begun = float(await redis.call("GET", mark)) - seconds
        await redis.call("SET", mark, f"{begun:.3f}", "KEEPTTL")
    return len(marks)
