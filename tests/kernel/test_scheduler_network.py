"""A scheduler behind a network that swallows everything: it has to find out by itself that it no longer acts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from platform_core.scheduler import Scheduler
from platform_core.testing import RunningPlatform, eventually

pytestmark = pytest.mark.long


async def test_a_scheduler_whose_network_swallows_everything_no_longer_believes_to_act(
    p: RunningPlatform,
) -> None:
    async with black_hole(p.kernel.settings.database_url.get_secret_value()) as (url, swallow):
        settings = p.kernel.settings.model_copy(update={"database_url": SecretStr(url)})
        scheduler = Scheduler(settings, p.kernel.pools, p.clock, (), p.kernel._ring)
        running = asyncio.create_task(scheduler.run())

        async def acts() -> bool:
            return scheduler.is_acting

        async def acts_no_more() -> bool:
            return not scheduler.is_acting

        await eventually(acts)
        swallow.set()
        await eventually(acts_no_more, within_seconds=25)
        scheduler.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@contextlib.asynccontextmanager
async def black_hole(database_url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Yield an address of the same database, and what makes everything sent to it and from it disappear."""
    info = conninfo_to_dict(database_url)
    host, port = str(info["host"]), int(info.get("port") or 5432)
    swallow, pumps = asyncio.Event(), set[asyncio.Task[None]]()

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if not swallow.is_set():
                    target.write(data)
        finally:
            target.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if host.startswith("/"):
            inner = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            inner = await asyncio.open_connection(host, port)
        for ends in ((reader, inner[1]), (inner[0], writer)):
            pumps.add(asyncio.create_task(pump(*ends)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    credentials = f"{info['user']}:{info.get('password') or ''}"
    try:
        yield (
            f"postgresql://{credentials}@127.0.0.1:{server.sockets[0].getsockname()[1]}/{info['dbname']}",
            swallow,
        )
    finally:
        server.close()
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
