"""
Chaos: real processes, real servers, a proxy before each, faults from a seed, and an oracle.

A module author's test, on routes and handlers of their own:

    async def test_no_bookmark_is_lost(chaos: Chaos) -> None:
        async with chaos(["user_management", "bookmarks"], seed=essentials) as rig:
            eve = await sign_up(rig.p, "eve")

            def keep(number: int) -> Operation:
                return Operation(
                    path="/api/v1/bookmarks",
                    body={"url": f"https://example.org/{number}"},
                    headers={"Authorization": f"Bearer {eve.access_token}"},
                    command="bookmarks.keep_bookmark",
                    events=["bookmarks.bookmark_kept"],
                    table="bookmarks.bookmarks",
                )

            await rig.run(keep)

A run that fails prints its seed and its faults; `pytest --chaos-seed N` lets the same faults strike again, and
`--chaos-scale gate` or `long` does the same for longer. `docs/chaos.md` tells more.
"""

from __future__ import annotations

from platform_core.testing.chaos._crew import Crew
from platform_core.testing.chaos._proxy import Address, Proxy, proxy, through
from platform_core.testing.chaos._rig import LEASE_SECONDS, Chaos, ChaosFailed, Report, Rig, percentile
from platform_core.testing.chaos._schedule import (
    Every,
    Fault,
    crash_postgres,
    every,
    hang,
    kill,
    lose_redis,
    network,
    strikes,
    terminate,
)
from platform_core.testing.chaos._servers import PostgresServer, RedisServer, black_hole, postgres_server
from platform_core.testing.chaos._standby import Standby, standby_of
from platform_core.testing.chaos._workload import Operation

__all__ = [
    "LEASE_SECONDS",
    "Address",
    "Chaos",
    "ChaosFailed",
    "Crew",
    "Every",
    "Fault",
    "Operation",
    "PostgresServer",
    "Proxy",
    "RedisServer",
    "Report",
    "Rig",
    "Standby",
    "black_hole",
    "crash_postgres",
    "every",
    "hang",
    "kill",
    "lose_redis",
    "network",
    "percentile",
    "postgres_server",
    "proxy",
    "standby_of",
    "strikes",
    "terminate",
    "through",
]
