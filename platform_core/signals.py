"""
Signals: "look again", from any process to every other one, after a commit.

    command ── commit ──► PUBLISH topic, keys ──► every process in which somebody watches one of the keys

PostgreSQL remembers, Redis rings: a signal says that there is something to read, never what. One that is lost costs
time only, because whoever watches looks every now and then anyway, and often while Redis is away. What comes out of
Redis is not trusted: whoever forges a signal makes somebody look once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from pydantic import SecretStr
from redis.asyncio import Redis as RedisClient

from platform_core._uow import SqlUnitOfWork
from platform_core.cache import Redis
from platform_core.context import bound

__all__ = ["SignalHub", "UowSignals", "Watcher"]

logger = structlog.get_logger("platform_core.signals")

Signal = tuple[str, tuple[UUID, ...]]
"""A topic, and the keys under which there is something new."""

_KEYS_AT_ONCE_COUNT: Final = 500
_LONGEST_BYTES: Final = 64 * 1024
_QUIET_SECONDS: Final = 5.0
"""After so much silence Redis is asked whether it is still there."""

_RETRY_SECONDS: Final = 0.5
_LOOK_ANYWAY_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 2.0
"""How often whoever watches looks by itself, while signals are heard and while they are not."""

_LOOKS_PER_SECOND: Final = 100
"""Of all who watch in this process, more seldom rather than more: the database has others to serve, too."""


class UowSignals:
    """The port `Signals` of one unit of work: what it sends is told once its changes can be seen."""

    def __init__(self, uow: SqlUnitOfWork) -> None:
        self._uow = uow

    def send(self, topic: str, keys: Iterable[UUID]) -> None:
        self._uow.signals.append((topic, tuple(keys)))


class Watcher:
    """Waits for the signals of one key."""

    def __init__(self, hub: SignalHub) -> None:
        self._hub = hub
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake whoever waits, or does so next."""
        self._rung.set()

    async def wait(self) -> None:
        """Return after a signal, or when it is time to look anyway."""
        seconds = self._hub.patience_seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds * random.uniform(0.75, 1.25)):  # noqa: S311  # spreads them, no secret
                await self._rung.wait()
        self._rung.clear()
        context = bound()
        if context is not None and context.last_write is not None:
            context.last_write.is_now()  # what rang is committed, and a replica may not show it yet


class SignalHub:
    """
    One connection to Redis for everybody in this process who watches.

    Args:
        url: read anew for each connection, so that it may rotate.
        redis: the process's connection for commands, on which signals leave.
        connect_timeout_seconds: for each attempt.
        namespace: first part of the channel's name, so that several platforms can share one Redis.

    Attributes:
        is_heard: whether signals of other processes arrive at the moment.
    """

    def __init__(
        self,
        url: SecretStr,
        redis: Redis,
        *,
        connect_timeout_seconds: float = 0.2,
        namespace: str = "platform",
    ) -> None:
        self._url, self._redis = url, redis
        self._connect_timeout_seconds = connect_timeout_seconds
        self._channel = f"{namespace}:signals"
        self._watchers: dict[tuple[str, str], set[Watcher]] = {}
        self._watching_count = 0
        self._listener: asyncio.Task[None] | None = None
        self.is_heard = False

    @property
    def patience_seconds(self) -> float:
        """How long whoever watches waits for a signal before it looks by itself."""
        usual = _LOOK_ANYWAY_SECONDS if self.is_heard else _POLL_SECONDS
        return max(usual, self._watching_count / _LOOKS_PER_SECOND)

    @contextlib.contextmanager
    def watch(self, topic: str, key: UUID) -> Iterator[Watcher]:
        """Hear of one key of a topic for the length of a block."""
        if self._listener is None:  # a process in which nobody watches needs no connection
            self._listener = asyncio.create_task(self._listen_always(), name="signals")
        watcher, place = Watcher(self), (topic, str(key))
        self._watchers.setdefault(place, set()).add(watcher)
        self._watching_count += 1
        try:
            yield watcher
        finally:
            self._watching_count -= 1
            self._watchers[place].discard(watcher)
            if not self._watchers[place]:
                del self._watchers[place]

    def count(self, topic: str, key: UUID) -> int:
        """Return how many watch a key in this process."""
        return len(self._watchers.get((topic, str(key)), ()))

    def publish(self, signals: Sequence[Signal]) -> None:
        """Tell everybody who watches, here and elsewhere; nobody waits for it."""
        for topic, keys in signals:
            self._ring(topic, map(str, keys))
            for start in range(0, len(keys), _KEYS_AT_ONCE_COUNT):
                note = orjson.dumps([topic, keys[start : start + _KEYS_AT_ONCE_COUNT]])
                self._redis.send("PUBLISH", self._channel, note)

    async def stop(self) -> None:
        """Stop listening."""
        listener, self._listener = self._listener, None
        while listener is not None and not listener.done():
            listener.cancel()
            # again and again: a cancellation that meets a connection being made is swallowed on the way
            await asyncio.wait([listener], timeout=0.1)

    def _ring(self, topic: str, keys: Iterable[str]) -> None:
        for key in keys:
            for watcher in self._watchers.get((topic, key), ()):
                watcher.ring()

    def _ring_everybody(self) -> None:
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.ring()

    async def _listen_always(self) -> None:
        while True:
            try:
                await self._listen()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001  # Redis may fail in any way; polling goes on
                if self.is_heard:
                    logger.warning(
                        "signals cannot be heard; looking by ourselves", error=type(error).__name__
                    )
            finally:
                self.is_heard = False
            await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self) -> None:
        client: Any = RedisClient.from_url(
            self._url.get_secret_value(), socket_connect_timeout=self._connect_timeout_seconds
        )
        async with client, client.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            is_asked = False
            while True:
                message = await subscription.get_message(timeout=_QUIET_SECONDS)
                if message is not None:
                    is_asked = False
                    self._hear(message)
                elif is_asked:
                    raise TimeoutError("Redis did not answer")
                else:
                    is_asked = True
                    await subscription.ping()

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self.is_heard = True
            self._ring_everybody()  # something may have been said before
        elif message["type"] == "message" and len(message["data"]) <= _LONGEST_BYTES:
            with contextlib.suppress(ValueError, TypeError):
                topic, keys = orjson.loads(message["data"])
                self._ring(topic, keys)
