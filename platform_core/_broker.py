"""
Taskiq's broker as the bell uses it; private to the kernel.

A module of its own because taskiq and what it brings along take a tenth of a start: it is imported beside the first
requests, not before them.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from redis.asyncio import Redis
from taskiq import AckableMessage, AsyncTaskiqDecoratedTask, BrokerMessage, TaskiqMessage, TaskiqState
from taskiq.receiver import Receiver
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisStreamBroker

from platform_core.settings import KernelSettings

QUEUE: Final = "platform:bell"
_LOOK: Final = "platform.look"
_MAX_LENGTH: Final = 10_000
_MOST_ENTRIES: Final = 10


class Broker(RedisStreamBroker):
    """
    Reads without acknowledging and without looking: whatever is in the stream, and whoever wrote it, rings once.

    Taskiq's own would stop at an entry without the field that it expects, log every byte of one that it cannot parse,
    and keep what a dead worker had read. Here nothing is kept, so all workers can be one and the same consumer, and
    Redis need not remember each that ever was.
    """

    look: AsyncTaskiqDecoratedTask[..., Any]

    @classmethod
    def of(cls, settings: KernelSettings, on_ring: Callable[[], None] | None) -> Broker:
        """
        Return one that is not connected yet; reads the address, whose file may be missing for a moment.

        Args:
            on_ring: called for each message; None for who only rings.
        """
        broker = cls(
            settings.redis_url.get_secret_value(),
            queue_name=QUEUE,
            consumer_group_name=QUEUE,
            consumer_name="worker",
            maxlen=_MAX_LENGTH,
            xread_block=2000,
            xread_count=_MOST_ENTRIES,  # an entry may be huge, and one is as good as ten
            socket_connect_timeout=settings.redis_timeout_seconds,
        ).with_serializer(JSONSerializer())

        async def look(ids: list[str]) -> None:  # the rows are found by claiming, whatever they are
            if on_ring is not None:
                on_ring()

        broker.look = broker.register_task(look, task_name=_LOOK)
        return broker

    async def hear(self, joined: Callable[[], None]) -> None:
        """
        Call `on_ring` for each message, until cancelled or Redis goes away.

        Args:
            joined: called once, when Redis has answered.
        """
        self.is_worker_process = True
        self.state = TaskiqState()
        await self.startup()
        joined()
        await Receiver(self, max_async_tasks=4, run_startup=False).listen(asyncio.Event())

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
