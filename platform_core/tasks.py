"""
Taskiq over Redis Streams: the bell. PostgreSQL remembers what is to be done; a message only says "look now".

Messages carry row ids and nothing else, JSON and never pickle, and workers do not even read them: a forged or lost one
costs one look at the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from platform_core.settings import KernelSettings

if TYPE_CHECKING:
    from platform_core._broker import Broker

logger = structlog.get_logger("platform_core.tasks")

_MOST_IDS = 100
_PAUSE_SECONDS = 0.02
"""After a ring: the first is told at once, and a burst rings fifty times a second instead of for each command."""


class Bell:
    """
    Rings workers awake.

    Args:
        settings: where Redis is.
        on_ring: called in a worker for each message; None in processes that only ring.
    """

    def __init__(self, settings: KernelSettings, on_ring: Callable[[], None] | None = None) -> None:
        self._settings, self._on_ring = settings, on_ring
        self._waiting: set[UUID] = set()
        self._something = asyncio.Event()
        self._jobs: list[asyncio.Task[None]] = []
        self.is_reachable = False

    def ring(self, ids: Iterable[UUID]) -> None:
        """Note that these rows are due; a background task tells Redis, so nobody waits."""
        new = list(ids)
        if new:
            # one is as good as many, and while Redis is away nobody takes them out again
            self._waiting.update(new[: _MOST_IDS - len(self._waiting)])
            self._something.set()

    async def start(self) -> None:
        """Begin to ring and, in a worker, to listen; Redis may come and go."""
        self._jobs.append(asyncio.create_task(self._forever(self._send), name="bell-ring"))
        if self._on_ring is not None:
            self._jobs.append(asyncio.create_task(self._forever(self._listen), name="bell-listen"))

    async def stop(self) -> None:
        """Stop both; whatever was not rung is found by polling."""
        jobs, self._jobs = set(self._jobs), []
        while jobs:
            for job in jobs:
                job.cancel()
            # again and again: a cancellation that meets a connection being made is swallowed on the way
            _, jobs = await asyncio.wait(jobs, timeout=0.1)

    async def _forever(self, serve: Callable[[Broker], Any]) -> None:
        # beside the first requests: taskiq and what it brings along take a tenth of a start
        module = await asyncio.to_thread(importlib.import_module, "platform_core._broker")
        while True:
            broker: Broker | None = None
            try:
                broker = module.Broker.of(self._settings, self._on_ring)
                await serve(broker)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001  # Redis may fail in any way; polling goes on
                if self.is_reachable:
                    logger.warning("redis is away; workers poll", error=type(error).__name__)
                self.is_reachable = False
            finally:
                if broker is not None:
                    with contextlib.suppress(Exception):
                        await broker.shutdown()
            await asyncio.sleep(0.5)

    async def _send(self, broker: Broker) -> None:
        await broker.startup()
        while True:
            await self._something.wait()
            self._something.clear()
            ids, self._waiting = self._waiting, set()
            async with asyncio.timeout(1):
                await broker.look.kiq([str(identity) for identity in ids])
            self.is_reachable = True
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _listen(self, broker: Broker) -> None:
        def joined() -> None:
            self.is_reachable = True

        await broker.hear(joined)
