"""Machines that disagree about the time (B21), and schedulers that both believe it is theirs to tell (B26)."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from fault_rig.house import House, eventually

from platform_core.testing import RunningProcess

if TYPE_CHECKING:
    from conftest import NewHouse

pytestmark = pytest.mark.long

Figure = Callable[[str, object], None]

TEN_MINUTES = 600.0


async def test_b21_a_machine_whose_clock_is_wrong_steals_no_lease_and_gets_no_requests(house: House) -> None:
    """
    A worker ten minutes ahead and an API ten minutes behind, beside two that are right.

    Red when leases are told by the worker's own clock, and when readiness does not ask for the database's.
    """
    api, late, *workers = await asyncio.gather(
        house.api(),
        house.api(skew_seconds=-TEN_MINUTES),
        house.worker(),
        house.worker(skew_seconds=TEN_MINUTES),
    )
    for number in range(20):
        client = (api, late)[number % 2].client
        assert (await house.mark(client, f"mark {number}", work_ms=1000)).status_code == 201
    await house.check()
    attempts = "SELECT array_agg(DISTINCT attempts_count) FROM platform.deliveries"
    assert await house.value(attempts) == [1]
    assert await house.value("SELECT count(DISTINCT pid) FROM tally.effects") == 2
    assert [worker.exit_code for worker in workers] == [None, None]

    assert (await api.client.get("/health/ready")).status_code == 200
    ready = await late.client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert "clock differs from the database's by 600 s" in ready.json()["checks"]["database"]
    assert (await late.client.get("/health/live")).status_code == 200


async def test_b26_of_two_schedulers_each_tick_runs_once_also_while_both_believe_to_act(
    new_house: NewHouse, record_property: Figure
) -> None:
    """
    A tick each second, while the acting scheduler loses its lock, and later its life.

    Red when the lock is not asked for and ticks have no key; either alone is enough, as it should be.
    """
    async with new_house(mischief=True) as house:
        first, second, _ = await asyncio.gather(house.scheduler(), house.scheduler(), house.worker())
        await eventually(lambda: _has_ticked(house, 3))
        assert sorted([_times_acting(first), _times_acting(second)]) == [0, 1]

        await house.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'platform/scheduler'"
        )
        await eventually(lambda: _has_acted(2, first, second))
        await eventually(lambda: _has_ticked(house, 6))
        acting, other = sorted((first, second), key=_since_when, reverse=True)
        acting.kill()
        before = _times_acting(other)
        await eventually(lambda: _has_acted(before + 1, other))
        await eventually(lambda: _has_ticked(house, 9))
        other.terminate()
        await house.settled()
        keys = [row["job_key"] for row in await house.sql(_TICKS)]
        moments = [datetime.fromisoformat(key.removeprefix("mischief.tick@")) for key in keys]
        longest = max(
            (later - earlier).total_seconds() for earlier, later in itertools.pairwise(sorted(moments))
        )
        record_property("longest time without a tick, in seconds", longest)
        assert Counter(moments).most_common(1)[0][1] == 1
        assert longest <= 10
        effects = "SELECT count(*) FROM audit.domain_events WHERE aggregate_type = 'mischief.tick'"
        assert await house.value(effects) == len(keys)


_TICKS = "SELECT job_key FROM platform.deliveries WHERE handler = 'mischief.tick'"


async def _has_ticked(house: House, count: int) -> bool:
    return len(await house.sql(f"{_TICKS} AND status = 'done'")) >= count


def _times_acting(process: RunningProcess) -> int:
    return process.output.count("this scheduler acts")


async def _has_acted(count: int, *processes: RunningProcess) -> bool:
    return sum(map(_times_acting, processes)) >= count


def _since_when(process: RunningProcess) -> str:
    """Return when it began to act for the last time, as its log says; nothing when it never did."""
    lines = [line for line in process.output.splitlines() if "this scheduler acts" in line]
    return lines[-1].partition('"timestamp":"')[2][:30] if lines else ""
