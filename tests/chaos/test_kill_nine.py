"""
`kill -9` of every process at random while clients insist: nothing that was acknowledged is lost or doubled.

With `--chaos-scale long` PostgreSQL crashes and Redis vanishes besides. What each planted bug does to these tests is
said in `planted/`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx2
from daily_life import (
    EFFECTS,
    MODULES,
    SETTINGS,
    TALLY,
    DailyLife,
    everybody_new_was_welcomed_once,
    mark,
    the_books_balance,
)

from platform_core.testing import eventually
from platform_core.testing.chaos import LEASE_SECONDS, Chaos, Rig
from user_management.testing import essentials

Figure = Callable[[str, object], None]


async def test_whoever_is_killed_nothing_that_was_acknowledged_is_lost_or_doubled(chaos: Chaos) -> None:
    async with chaos(MODULES, extra=[TALLY], settings=SETTINGS, seed=essentials) as rig:
        async with DailyLife.of(rig) as life:
            await rig.run(life.operation, effects=EFFECTS)
        await everybody_new_was_welcomed_once(rig)
        await the_books_balance(rig)


async def test_what_dead_workers_held_is_delivered_on_an_idle_system_within_a_lease(
    chaos: Chaos, record_property: Figure
) -> None:
    """Every worker dies with its hands full, and nobody sends anything that would wake their heirs."""
    async with chaos([], extra=[TALLY], processes={"api": 1, "worker": 2}) as rig:
        await _marks(rig, 20, work_ms=60_000)
        await eventually(lambda: _held(rig, 20))
        await rig.sql(  # the heirs need not take a minute
            "UPDATE audit.domain_events SET payload = jsonb_set(payload, '{work_ms}', '0')"
        )
        died_at = time.monotonic()
        for name in ("worker 1", "worker 2"):
            rig.crew.kill(name)
        await rig.crew.all_ready()
        ready_after = time.monotonic() - died_at
        await eventually(lambda: _all_done(rig))
        waited = time.monotonic() - died_at
        record_property("seconds until redelivered, and until workers were there", (waited, ready_after))
        # two leases and a poll are far from this; where nobody looks for what dead workers held, it never ends
        assert waited < max(LEASE_SECONDS, ready_after) + 10
        [count] = await rig.sql("SELECT count(*) AS n, count(DISTINCT event_id) AS d FROM tally.effects")
        assert (count["n"], count["d"]) == (20, 20)


async def _marks(rig: Rig, count: int, *, work_ms: int) -> None:
    async with httpx2.AsyncClient(base_url=rig.crew.urls[0], trust_env=False) as client:
        for number in range(count):
            body = {**mark(number).body, "work_ms": work_ms}
            answer = await client.post("/api/v1/tally/marks", json=body)
            assert answer.status_code == 201, answer.text


async def _held(rig: Rig, count: int) -> bool:
    [row] = await rig.sql("SELECT count(*) AS n FROM platform.deliveries WHERE lease_token IS NOT NULL")
    return bool(row["n"] == count)


async def _all_done(rig: Rig) -> bool:
    [row] = await rig.sql("SELECT count(*) AS n FROM platform.deliveries WHERE status = 'pending'")
    return bool(row["n"] == 0)
