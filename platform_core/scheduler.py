"""
The scheduler: puts due ticks into the job table and keeps house; any number may run, one acts.

Who acts is whoever holds an advisory lock. Each tick is a job with a unique key besides, so that even two
that believe to act cannot run one twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import structlog

from platform_core import _audit, _outbox
from platform_core._pools import KERNEL, Pools, libpq_url
from platform_core._uow import SqlUnitOfWork
from platform_core.context import Context
from platform_core.declarations import Schedule
from platform_core.ports import Clock
from platform_core.security import SYSTEM
from platform_core.settings import KernelSettings

logger = structlog.get_logger("platform_core.scheduler")

LEADER_LOCK = 7_236_402

_PATIENCE_SECONDS = 3.0
"""The database may take so long to say that the lock is still held; then somebody else may have it."""

_NOTICED_SOON = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
"""PostgreSQL keeps the lock of a machine that vanished until it notices, by default for two hours."""


@dataclass(frozen=True, slots=True)
class Chore:
    """A piece of the kernel's own housekeeping: what, and how often, in seconds."""

    name: str
    every_seconds: float
    run: Callable[[], Awaitable[Any]]


class Scheduler:
    """
    Ticks and keeps house while no other scheduler does.

    Args:
        schedules: of every active module, with the module that each belongs to.
        ring: wakes workers for the jobs that a tick made.
        chores: further housekeeping of the kernel, done by the acting scheduler.
        off: modules that are switched off at the moment: their schedules rest.
    """

    def __init__(
        self,
        settings: KernelSettings,
        pools: Pools,
        clock: Clock,
        schedules: Sequence[Schedule],
        ring: Callable[[Sequence[Any]], None],
        chores: Sequence[Chore] = (),
        off: Container[str] = frozenset(),
    ) -> None:
        self._off = off
        self._settings, self._pools, self._clock = settings, pools, clock
        self._schedules, self._ring = schedules, ring
        self._stopping = asyncio.Event()
        self.is_acting = False
        pool = pools.commands(KERNEL)
        self._chores = [
            Chore("audit chain", 1, self._extend_chain),
            Chore("orphans", 15, lambda: _outbox.bury_orphans(pool, orphan_seconds=settings.orphan_seconds)),
            Chore("purge", 600, self._purge),
            *chores,
        ]

    def stop(self) -> None:
        """Hand over and return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Act whenever this process holds the leader's lock, until stopped."""
        while not self._stopping.is_set():
            try:
                await self._lead()
            except (psycopg.Error, OSError) as error:
                logger.warning("scheduler lost its connection", error=str(error))
            self.is_acting = False
            await self._pause(1)

    async def _lead(self) -> None:
        url = libpq_url(self._settings.database_url.get_secret_value())
        connect_timeout = self._settings.database_connect_timeout_seconds
        async with await psycopg.AsyncConnection.connect(
            url,
            autocommit=True,
            application_name="platform/scheduler",
            connect_timeout=connect_timeout,
            options=_NOTICED_SOON,
        ) as connection:
            while not self._stopping.is_set():
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,))
                    row = await cursor.fetchone()
                if row is not None and row[0]:
                    break
                await self._pause(1)
            else:
                return
            self.is_acting = True
            logger.info("this scheduler acts")
            await self._act(connection)

    async def _act(self, leader: psycopg.AsyncConnection[Any]) -> None:
        loop = asyncio.get_running_loop()
        due = dict.fromkeys((chore.name for chore in self._chores), 0.0)
        while not self._stopping.is_set():
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await leader.execute("SELECT 1")  # as long as this works, the lock is held
            await self._tick()
            for chore in self._chores:
                if loop.time() >= due[chore.name]:
                    due[chore.name] = loop.time() + chore.every_seconds
                    await self._do(chore)
            await self._pause(0.5)

    async def _do(self, chore: Chore) -> None:
        try:
            await chore.run()
        except Exception as error:  # noqa: BLE001  # repeated; one chore must not stop the others
            logger.warning("housekeeping failed; it is repeated", chore=chore.name, error=str(error))

    async def _tick(self) -> None:
        context = replace(Context(), principal=SYSTEM)
        uow = SqlUnitOfWork(self._pools.commands(KERNEL), self._clock, context)
        try:
            for key, schedule in self._ticks().items():
                if schedule.name.partition(".")[0] in self._off:
                    continue
                uow.later(schedule.command, key=key)
            if uow.has_work:
                self._ring(await uow.commit())
        except Exception as error:  # noqa: BLE001  # repeated; one chore must not stop the others
            logger.warning("could not schedule; it is repeated", error=str(error))
        finally:
            await uow.close()

    def _ticks(self) -> dict[str, Schedule]:
        now = self._clock.now()
        return {f"{s.name}@{last_tick(now, s.every).isoformat()}": s for s in self._schedules}

    async def _purge(self) -> None:
        # a tick does not come again while its job is there, and the next may be further away than the retention
        await _outbox.purge(
            self._pools.commands(KERNEL),
            retention_days=self._settings.delivery_retention_days,
            keep=list(self._ticks()),
        )

    async def _extend_chain(self) -> None:
        async with self._pools.commands(KERNEL).connect() as connection:
            while await _audit.extend_chain(connection.raw):
                pass

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def last_tick(now: datetime, every: timedelta) -> datetime:
    """Return the latest multiple of `every` since 1970 that is not after `now`."""
    seconds = every.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // seconds * seconds, tz=UTC)
