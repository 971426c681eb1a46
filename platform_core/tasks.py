"""
Taskiq over Redis Streams: the bell. PostgreSQL remembers what is to be done; a message only says "look now".

Messages carry row ids and nothing else, JSON and never pickle, and workers do not even read them: a forged or lost one
costs one look at the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis
from taskiq import AckableMessage, BrokerMessage, TaskiqMessage, TaskiqState
from taskiq.receiver import Receiver
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisStreamBroker

from platform_core.settings import KernelSettings

logger = structlog.get_logger("platform_core.tasks")

QUEUE = "platform:bell"
_LOOK = "platform.look"
_MAX_LENGTH = 10_000
_MOST_IDS = 100
_MOST_ENTRIES = 10
_PAUSE_SECONDS = 0.01
"""After a ring: the first is told at once, and a burst rings a hundred times a second instead of for each command."""


class _Broker(RedisStreamBroker):
    """
    Reads without acknowledging and without looking: whatever is in the stream, and whoever wrote it, rings once.

    Taskiq's own would stop at an entry without the field that it expects, log every byte of one that it cannot parse,
    and keep what a dead worker had read. Here nothing is kept, so all workers can be one and the same consumer, and
    Redis need not remember each that ever was.
    """

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        message = TaskiqMessage(task_id=_LOOK, task_name=_LOOK, labels={}, args=[[]], kwargs={})
        ring = AckableMessage(data=self.formatter.dumps(message).message, ack=lambda: None)
        async with Redis(connection_pool=self.connection_pool) as client:
            while True:
                entries = await client.xreadgroup(
                    self.consumer_group_name,
                    self.consumer_name,
                    {self.queue_name: ">"},
                    count=self.count,
                    block=self.block,
                    noack=True,
                )
                if entries:
                    yield ring

    async def kick(self, message: BrokerMessage) -> None:
        # taskiq-redis makes a client for each message, which costs more than everything else about it
        await self._client.xadd(
            self.queue_name, {"data": message.message}, maxlen=_MAX_LENGTH, approximate=True
        )

    @functools.cached_property
    def _client(self) -> Redis:
        return Redis(connection_pool=self.connection_pool)


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

    def _broker(self) -> _Broker:
        broker = _Broker(
            self._settings.redis_url.get_secret_value(),
            queue_name=QUEUE,
            consumer_group_name=QUEUE,
            consumer_name="worker",
            maxlen=_MAX_LENGTH,
            xread_block=2000,
            xread_count=_MOST_ENTRIES,  # an entry may be huge, and one is as good as ten
            socket_connect_timeout=self._settings.redis_timeout_seconds,
        ).with_serializer(JSONSerializer())

        @broker.task(_LOOK)
        async def look(ids: list[str]) -> None:  # the rows are found by claiming, whatever they are
            if self._on_ring is not None:
                self._on_ring()

        return broker

    async def _forever(self, serve: Callable[[_Broker], Any]) -> None:
        while True:
            broker: _Broker | None = None
            try:
                broker = self._broker()  # reads the address, whose file may be missing for a moment
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

    async def _send(self, broker: _Broker) -> None:
        await broker.startup()
        task = broker.find_task(_LOOK)
        assert task is not None  # noqa: S101  # declared by `_broker`
        while True:
            await self._something.wait()
            self._something.clear()
            ids, self._waiting = self._waiting, set()
            async with asyncio.timeout(1):
                await task.kiq([str(identity) for identity in ids])
            self.is_reachable = True
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _listen(self, broker: _Broker) -> None:
        broker.is_worker_process = True
        broker.state = TaskiqState()
        receiver = Receiver(broker, max_async_tasks=4, run_startup=True)
        self.is_reachable = True
        await receiver.listen(asyncio.Event())
