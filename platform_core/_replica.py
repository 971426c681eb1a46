"""
The streaming replica: how much it shows, and to whom that is enough; private to the kernel.

    four times a second    primary: where does your log end?    replica: how far have you come?
                           → whatever was committed before `_shown_at` is there
    a command commits      SET wrote:<user>, which Redis forgets by itself
    a request              the gate's one script tells how long ago that was: the replica, if it shows that much

Only lengths of time are compared, each measured by one clock, so it does not matter whose clocks differ.
See docs/decisions/0020-a-replica-is-asked-when-it-shows-enough.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from pydantic import SecretStr
from redis.exceptions import RedisError

from platform_core._pools import libpq_url
from platform_core.cache import Redis, RedisAway
from platform_core.context import Context
from platform_core.errors import OperationError
from platform_core.metrics import Metrics
from platform_core.settings import KernelSettings

__all__ = ["Replica"]

logger = structlog.get_logger("platform_core.replica")

_LOOK_SECONDS: Final = 0.25
_LOOK_TIMEOUT_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 1.0
_NEVER: Final = float("-inf")

_END_OF_LOG: Final = "SELECT pg_current_wal_insert_lsn()::text"
# where it is no standby (any more), it is the one that everything is written to
_REPLAYED: Final = (
    "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
    " ELSE pg_current_wal_insert_lsn() END)::text"
)


class Replica:
    """
    Decides whether a query may go to the replica.

    Args:
        settings: both addresses, and how far the replica may be behind.
        redis: keeps who wrote lately, for every process.
        namespace: first part of every key.

    Attributes:
        window_ms: for how long Redis remembers that somebody wrote; the replica is never asked when it is further
            behind than that.
    """

    def __init__(
        self, settings: KernelSettings, redis: Redis, metrics: Metrics, *, namespace: str = "platform"
    ) -> None:
        self._settings, self._redis, self._metrics = settings, redis, metrics
        self._prefix = f"{namespace}:wrote:"
        self.window_ms = int(settings.read_lag_seconds * 1000)
        self._shown_at = _NEVER
        self._unmarked_at = _NEVER
        self._watching: asyncio.Task[None] | None = None

    @property
    def is_configured(self) -> bool:
        """Whether there is one."""
        return self._settings.read_database_url is not None

    @property
    def lag_seconds(self) -> float:
        """How old what it shows can be; infinite while it is away."""
        return time.monotonic() - self._shown_at

    # ── who may ask it ───────────────────────────────────────────────────────────────────────────

    def serves(self, context: Context) -> bool:
        """Tell whether it shows everything that whoever is served has written."""
        wrote_at = self._unmarked_at
        if context.last_write is not None:
            wrote_at = max(wrote_at, context.last_write.at)
        shown_at = self._shown_at
        return shown_at > wrote_at and (time.monotonic() - shown_at) * 1000 < self.window_ms

    def mark_of(self, user_id: UUID) -> str:
        """Return the key under which Redis remembers that somebody wrote."""
        return f"{self._prefix}{user_id.hex}"

    async def wrote(self, context: Context) -> None:
        """Note that something was committed, before whoever asked for it hears so."""
        if not self.is_configured:
            return
        now, user_id = time.monotonic(), context.principal.user_id
        if context.last_write is None or user_id is None:
            self._unmarked_at = now  # nobody in particular, so everybody who asks here
            return
        context.last_write.at = now
        try:
            await self._redis.call("SET", self.mark_of(user_id), "", "PX", self.window_ms)
        except (RedisAway, RedisError):
            self._unmarked_at = now

    def lost(self, error: Exception) -> None:
        """Ask it nothing more until it has been seen again."""
        if self._shown_at != _NEVER:
            logger.warning("the replica is away; asking the primary", cause=type(error).__name__)
        self._shown_at = _NEVER
        self._metrics.replica_lag.set(float("inf"))

    async def check(self) -> str:
        """
        Say how far it is behind, for readiness.

        Raises:
            OperationError: nobody is served by it at the moment.
        """
        lag = self.lag_seconds
        if lag * 1000 >= self.window_ms:
            state = "is away" if lag == float("inf") else f"is {lag:.0f} s behind"
            raise OperationError(f"the replica {state}; the primary answers queries, too")
        return f"shows everything older than {lag:.1f} s"

    # ── watching it ──────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Begin to watch it, if there is one."""
        if self.is_configured:
            self._watching = asyncio.create_task(self._watch_always(), name="replica")

    async def stop(self) -> None:
        """Stop watching."""
        task, self._watching = self._watching, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._shown_at = _NEVER

    async def _watch_always(self) -> None:
        while True:
            try:
                await self._watch()
            except (psycopg.Error, OSError, TimeoutError) as error:
                self.lost(error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _watch(self) -> None:
        replica_url = self._settings.read_database_url
        assert replica_url is not None  # noqa: S101  # only watched where configured
        async with (
            await self._connect(self._settings.database_url) as primary,
            await self._connect(replica_url) as replica,
        ):
            # moments, and where the log ended then; what is older than the window helps nobody
            waiting: deque[tuple[float, int]] = deque(maxlen=int(self.window_ms / 1000 / _LOOK_SECONDS) + 2)
            while True:
                async with asyncio.timeout(_LOOK_TIMEOUT_SECONDS):
                    now = time.monotonic()
                    waiting.append((now, await _position(primary, _END_OF_LOG)))
                    self._compare(waiting, await _position(replica, _REPLAYED))
                await asyncio.sleep(_LOOK_SECONDS)

    def _compare(self, waiting: deque[tuple[float, int]], replayed: int) -> None:
        was_away = self._shown_at == _NEVER
        while waiting and waiting[0][1] <= replayed:
            self._shown_at = waiting.popleft()[0]
        if was_away and self._shown_at != _NEVER:
            logger.info("the replica is asked")
        self._metrics.replica_lag.set(self.lag_seconds)

    async def _connect(self, url: SecretStr) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            libpq_url(url.get_secret_value()),
            autocommit=True,
            application_name="platform/replica",
            connect_timeout=self._settings.database_connect_timeout_seconds,
        )


async def _position(connection: psycopg.AsyncConnection[Any], statement: str) -> int:
    """Return a position in the log as a number: `16/B374D848` → 0x16B374D848."""
    cursor = await connection.execute(statement.encode())
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  # a SELECT without FROM has one row
    high, _, low = str(row[0]).partition("/")
    return int(high, 16) << 32 | int(low, 16)
