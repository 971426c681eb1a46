"""What is done about runs that ended, and about those that stand at a step of a module that was taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from platform_core._pool import Pool
from platform_core._pools import translated

_PURGE: Final = """
DELETE FROM platform.sagas WHERE id IN (
    SELECT id FROM platform.sagas WHERE status IN ('completed', 'compensated')
      AND finished_at < now() - make_interval(secs => %(keep)s)
    ORDER BY finished_at LIMIT %(batch)s)
"""

_RELEASE: Final = """
WITH stranded AS (
    SELECT d.id FROM platform.sagas s JOIN platform.deliveries d ON d.id = s.id
    CROSS JOIN LATERAL split_part(d.handler, '.', 1) AS owner
    WHERE s.status NOT IN ('completed', 'compensated') AND d.status = 'pending' AND position(':' in d.handler) > 0
      AND (d.lease_token IS NULL OR d.available_at <= now())
      AND owner <> ALL(%(here)s) AND NOT EXISTS (SELECT FROM platform.subscriptions WHERE module = owner)
      AND (NOT EXISTS (SELECT FROM platform.modules WHERE name = owner)
           OR EXISTS (SELECT FROM platform.module_switches w WHERE w.off -> owner ->> 'removed' = 'true'))
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE platform.deliveries d SET handler = split_part(d.handler, ':', 2), lease_token = NULL, attempts_count = 0,
    available_at = now(), last_error = NULL
FROM stranded WHERE d.id = stranded.id
"""


async def release(pool: Pool, here: Sequence[str]) -> int:
    """
    Let runs go on that wait for a step of a module that was taken out; their saga leaves it out.

    Taking it out has released those of before; but a process that has it loaded goes on to begin runs with its steps.

    Args:
        here: the modules that this process has and that were not taken out.

    Returns: how many there were.
    """
    with translated():
        async with pool.connect() as connection:
            return await connection.run(_RELEASE, {"here": list(here)})


async def purge(pool: Pool, *, retention_days: float, batch_count: int = 1000) -> int:
    """
    Delete runs that ended longer ago than the retention, with their timelines, in batches that block nobody.

    Returns: how many there were.
    """
    total = 0
    while True:
        with translated():
            async with pool.connect() as connection:
                gone = await connection.run(_PURGE, {"keep": retention_days * 86400, "batch": batch_count})
        total += gone
        if gone < batch_count:
            return total
