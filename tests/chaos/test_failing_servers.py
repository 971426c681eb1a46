"""
PostgreSQL crashes, Redis vanishes, and the network between everybody does what networks do.

Each takes a minute, so the default run leaves them to the session `chaos` (`--chaos-scale gate`).
"""

from __future__ import annotations

import pytest
from daily_life import (
    EFFECTS,
    MODULES,
    SETTINGS,
    TALLY,
    DailyLife,
    everybody_new_was_welcomed_once,
    the_books_balance,
)

from platform_core.testing.chaos import Chaos, crash_postgres, every, kill, lose_redis, network
from user_management.testing import essentials


@pytest.fixture(autouse=True)
def _not_in_a_hurry(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--chaos-scale") == "short":
        pytest.skip("a minute each: --chaos-scale gate")


async def test_b11_crashes_of_postgres_and_losses_of_redis_amid_kills_lose_nothing(chaos: Chaos) -> None:
    plan = [
        every(0.5, 1.5, kill("api", "worker", "scheduler")),
        every(12, 15, crash_postgres),
        every(4, 8, lose_redis),
    ]
    async with chaos(MODULES, extra=[TALLY], settings=SETTINGS, seed=essentials, own_postgres=True) as rig:
        async with DailyLife.of(rig) as life:
            await rig.run(life.operation, plan, acknowledged_count=400, faults_count=40, effects=EFFECTS)
        await everybody_new_was_welcomed_once(rig)
        await the_books_balance(rig)


async def test_delays_black_holes_resets_and_cut_answers_lose_nothing(chaos: Chaos) -> None:
    """An answer that is cut in the middle of a commit's yes leaves everybody in doubt: the key settles it."""
    plan = [every(1, 2, network("postgres", "redis", seconds=1))]
    async with chaos(MODULES, extra=[TALLY], settings=SETTINGS, seed=essentials) as rig:
        async with DailyLife.of(rig) as life:
            report = await rig.run(
                life.operation, plan, acknowledged_count=400, faults_count=30, effects=EFFECTS
            )
        await everybody_new_was_welcomed_once(rig)
        await the_books_balance(rig)
    assert report.kills_count == 0
