"""What the acting scheduler does about runs that ended."""

from __future__ import annotations

from typing import Final

from platform_core._pool import Pool
from platform_core._pools import translated

_PURGE: Final = """
DELETE FROM platform.sagas WHERE id IN (
    SELECT id FROM platform.sagas WHERE status IN ('completed', 'compensated')
      AND finished_at < now() - make_interval(secs => %(keep)s)
    ORDER BY finished_at LIMIT %(batch)s)
"""


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
