"""
The floor's worker: `python -m benchmarks.floor.worker`. Fifty jobs a transaction, one row each, woken by NOTIFY.
"""

from __future__ import annotations

import contextlib

import psycopg
import uvloop

from benchmarks.ground import Handout

_CLAIM = "SELECT id, payload FROM floor.jobs ORDER BY id LIMIT 50 FOR UPDATE SKIP LOCKED"


async def main() -> None:
    """Work until killed."""
    handout = Handout.read()
    async with (
        await psycopg.AsyncConnection.connect(handout.database_url, autocommit=True) as bell,
        await psycopg.AsyncConnection.connect(handout.database_url) as connection,
    ):
        await bell.execute("LISTEN floor_jobs")
        print("ready", flush=True)
        while True:
            while await _work(connection):
                pass
            with contextlib.suppress(StopAsyncIteration):
                await anext(bell.notifies(timeout=1, stop_after=1))


async def _work(connection: psycopg.AsyncConnection[tuple[int, object]]) -> int:
    jobs = await (await connection.execute(_CLAIM)).fetchall()
    for job_id, _ in jobs:
        await connection.execute("INSERT INTO floor.effects (job_id) VALUES (%s)", (job_id,))
    if jobs:
        await connection.execute(
            "DELETE FROM floor.jobs WHERE id = ANY(%s)", ([job_id for job_id, _ in jobs],)
        )
    await connection.commit()
    return len(jobs)


if __name__ == "__main__":
    uvloop.run(main())
