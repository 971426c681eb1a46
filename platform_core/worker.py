"""
The worker: claims due deliveries in batches, runs them, and sees to it that none is stuck.

It wakes when Redis rings and looks by itself every `poll_seconds`, so with Redis gone it is only a little slower.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections import Counter, deque
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import structlog

from platform_core import _outbox
from platform_core._bus import Bus
from platform_core._outbox import Delivery
from platform_core._pools import KERNEL, Pools
from platform_core._projections import Replays
from platform_core._sagas import SagaRunner
from platform_core.declarations import Retry
from platform_core.domain import new_id
from platform_core.errors import LeaseLost, Unparsable
from platform_core.logs import masked
from platform_core.metrics import Metrics
from platform_core.settings import KernelSettings

logger = structlog.get_logger("platform_core.worker")

_REPLAYS_SECONDS: Final = 5.0
"""How often a worker looks whether a read model is to be made."""

_DEATHS = Retry()
"""How often a saga may take its worker along, or find no database, before it is a dead letter."""


_ALONE_ATTEMPT: Final = 3
"""
The first that a delivery runs alone, two workers having died with it (`_outbox.has_suspects`).

Nothing is given up for deaths before that one, however few attempts its handler allows: it may have been its neighbour.
"""

_LINGER_SECONDS: Final = 0.02
"""How long a free place waits for more of its handler to become free, so that one claim fills them all."""


class Worker:
    """
    Works off deliveries and jobs of every active module.

    Args:
        bus: runs one delivery.
        pools: the kernel's own pool is used for claims, so that a busy module cannot starve them.
        sagas: carries on one saga.
        replays: makes read models of the events there have been.
        off: modules that are switched off at the moment: what is theirs is not claimed, and waits.
    """

    def __init__(
        self,
        settings: KernelSettings,
        pools: Pools,
        bus: Bus,
        metrics: Metrics,
        sagas: SagaRunner,
        replays: Replays,
        off: Container[str] = frozenset(),
    ) -> None:
        self._off, self._replays = off, replays
        self._settings, self._bus, self._metrics, self._sagas = settings, bus, metrics, sagas
        self._pool, self._claims = pools.commands(KERNEL), pools.claims()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        # by lease too: a run that lost its lease may still be going on beside the one that has it now
        self._running: dict[tuple[UUID, UUID], tuple[Delivery, asyncio.Task[None]]] = {}
        self._per_handler: Counter[str] = Counter()
        self._limits = self._concurrency()
        self._per_module: Counter[str] = Counter()
        self._share = self._module_share()
        self._turns = deque(self.handlers)
        self._has_suspects = False
        self._soon: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._wake.set()

    def stop(self) -> None:
        """Take nothing new; `run` returns when what is in flight has ended or the grace period is over."""
        self._stopping.set()
        self._wake.set()

    @property
    def handlers(self) -> list[str]:
        """Names of every event handler, task and saga that this process can run."""
        return [*self._bus.subscribers, *self._bus.tasks, *self._sagas.definitions.by_handler]

    async def run(self) -> None:
        """Work until `stop` is called."""
        keepers = [
            asyncio.create_task(self._keep_leases(), name="worker-leases"),
            asyncio.create_task(self._keep_subscriptions(), name="worker-subscriptions"),
            asyncio.create_task(self._keep_replays(), name="worker-replays"),
        ]
        try:
            while not self._stopping.is_set():
                await self._wait()
                await self._round()
            await self._drain()
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def run_until_idle(self) -> int:
        """
        Work off everything that is due now, and what follows from it; for tests and `platform events retry`.

        Returns: how many deliveries were attempted.
        """
        total = 0
        await self._make_projections()
        while True:
            claimed = await self._claim()
            total += claimed
            if not claimed and not self._running:
                await self._look_for_suspects()
                if not self._has_suspects:
                    return total
            await asyncio.gather(*(task for _, task in self._running.values()), return_exceptions=True)

    async def _wait(self) -> None:
        if len(self._running) < self._settings.worker_concurrency:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_seconds):
                    await self._wake.wait()
            self._wake.clear()
        else:
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait(
                [stopping, *(task for _, task in self._running.values())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            stopping.cancel()

    async def _round(self) -> None:
        try:
            while not self._stopping.is_set() and await self._claim():
                if len(self._running) >= self._settings.worker_concurrency:
                    return
        except Exception as error:  # noqa: BLE001  # a handler may raise anything; the worker goes on
            # the database is away: keep asking, it comes back
            logger.warning("cannot claim deliveries", error=str(error))
            await asyncio.sleep(min(self._settings.poll_seconds, 1))

    async def _claim(self) -> int:
        if self._has_suspects:
            if self._running:
                return 0
            if alone := await self._lease(dict.fromkeys(self._served, 1), count=1, suspects=True):
                self._start(alone[0])
                return 1
            self._has_suspects = False
        return await self._claim_many()

    async def _claim_many(self) -> int:
        free = self._settings.worker_concurrency - len(self._running)
        rooms = self._rooms(free)
        if not rooms:
            return 0
        claimed = await self._lease(rooms, count=free, suspects=False)
        surplus: list[tuple[UUID, UUID]] = []
        for delivery in claimed:
            if self._room(delivery.handler) > 0:
                self._start(delivery)
            else:  # several handlers of one module wanted its last places
                surplus.append((delivery.id, delivery.lease_token))
        if surplus:
            await _outbox.give_back(self._pool, surplus)
        return len(claimed) - len(surplus)

    def _rooms(self, free: int) -> dict[str, int]:
        """Return handler → how many could start now; each time another one is asked first."""
        self._turns.rotate(-1)
        rooms = ((handler, min(free, self._room(handler))) for handler in self._turns)
        return {handler: room for handler, room in rooms if room > 0}

    @property
    def _served(self) -> list[str]:
        """Names of those whose modules are not switched off."""
        return [handler for handler in self.handlers if module_of(handler) not in self._off]

    def _room(self, handler: str) -> int:
        if module_of(handler) in self._off:
            return 0
        return min(
            self._limits[handler] - self._per_handler[handler],
            self._share - self._per_module[module_of(handler)],
        )

    def _module_share(self) -> int:
        """Return how many deliveries of one module may run at once: a flood of one leaves room for the others."""
        everything = self._settings.worker_concurrency
        is_alone = len({module_of(name) for name in self.handlers}) == 1
        return everything if is_alone else max(1, everything * 3 // 4)

    async def _lease(self, rooms: Mapping[str, int], *, count: int, suspects: bool) -> list[Delivery]:
        return await _outbox.claim(
            self._claims,
            rooms,
            newest=self._bus.newest,
            token=new_id(),
            count=count,
            lease_seconds=self._settings.lease_seconds,
            suspects=suspects,
        )

    async def _look_for_suspects(self) -> None:
        """What workers died with runs here with nothing beside it, so that it takes nobody along."""
        self._has_suspects = await _outbox.has_suspects(self._claims, self._served, self._bus.newest)
        if self._has_suspects:
            self.wake()

    def _start(self, delivery: Delivery) -> None:
        self._per_handler[delivery.handler] += 1
        self._per_module[module_of(delivery.handler)] += 1
        task = asyncio.create_task(self._work(delivery), name=f"delivery {delivery.handler}")
        self._running[delivery.id, delivery.lease_token] = (delivery, task)

    async def _work(self, delivery: Delivery) -> None:
        outcome, began = "failed", time.monotonic()
        try:
            outcome = await self._attempt(delivery)
        except Exception as error:  # noqa: BLE001  # a handler may raise anything; the worker goes on
            # not even the failure could be noted; the lease runs out and somebody tries again
            logger.warning("delivery left to its lease", handler=delivery.handler, error=str(error))
        finally:
            self._running.pop((delivery.id, delivery.lease_token), None)
            self._per_handler[delivery.handler] -= 1
            self._per_module[module_of(delivery.handler)] -= 1
            lag = (datetime.now(UTC) - delivery.occurred_at).total_seconds()
            took = time.monotonic() - began
            self._metrics.delivery(delivery.handler, delivery.event_name or "", outcome, lag, took)
            if self._has_room_for_batch(delivery.handler):
                self._wake.set()
            elif self._soon is None:  # the others may take long
                self._soon = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._look_soon)

    def _look_soon(self) -> None:
        self._soon = None
        self._wake.set()

    def _has_room_for_batch(self, handler: str) -> bool:
        """Tell whether half of the places are free: a claim per finished delivery would cost more than it brings."""
        running = self._per_handler[handler]
        return running == 0 or (
            running * 2 <= self._limits[handler]
            and len(self._running) * 2 <= self._settings.worker_concurrency
        )

    async def _attempt(self, delivery: Delivery) -> str:
        retry = self._retry(delivery.handler)
        if delivery.attempt > max(retry.attempts_count, _ALONE_ATTEMPT):
            # counted before each run: the attempts before this one never came back
            return await _outbox.fail(
                self._pool, delivery, retry, "the worker died while handling this, every time"
            )
        try:
            is_saga = delivery.handler in self._sagas.definitions.by_handler
            await (self._sagas if is_saga else self._bus).deliver(delivery)
            return "done"
        except LeaseLost:
            _log(delivery).info("another worker finished this delivery")
            return "lost"
        except Unparsable as error:
            _log(delivery).error("delivery parked", reason=str(error))
            await _outbox.park(self._pool, delivery, str(error))
            return "parked"
        except Exception as error:  # noqa: BLE001  # a handler may raise anything; the worker goes on
            # the first line only: what follows in messages of libraries is SQL, rows and input
            said = masked(str(error).partition("\n")[0])
            reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
            status = await _outbox.fail(self._pool, delivery, retry, reason)
            level = logging.ERROR if status == "dead" else logging.WARNING
            _log(delivery).log(level, "delivery failed", status=status, reason=reason)
            return "dead" if status == "dead" else "failed"

    def _retry(self, handler: str) -> Retry:
        if handler in self._bus.subscribers:
            return self._bus.subscribers[handler].subscription.retry
        if handler in self._bus.tasks:
            return self._bus.tasks[handler].retry
        return _DEATHS  # a saga's steps have their own

    def _concurrency(self) -> Mapping[str, int]:
        return (
            {name: s.subscription.concurrency_count for name, s in self._bus.subscribers.items()}
            | {name: task.concurrency_count for name, task in self._bus.tasks.items()}
            | dict.fromkeys(self._sagas.definitions.by_handler, self._settings.worker_concurrency)
        )

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 3)
            held = [(delivery.id, delivery.lease_token) for delivery, _ in self._running.values()]
            if held:
                await _tolerant(_outbox.extend(self._pool, held, lease_seconds=self._settings.lease_seconds))
            if not self._has_suspects:
                await _tolerant(self._look_for_suspects())

    async def _keep_subscriptions(self) -> None:
        while True:
            await _tolerant(self._tend_subscriptions())
            await asyncio.sleep(min(30, self._settings.orphan_seconds / 4))

    async def _keep_replays(self) -> None:
        while True:
            await _tolerant(self._make_projections())
            await asyncio.sleep(_REPLAYS_SECONDS)

    async def _make_projections(self) -> None:
        """Go on with every read model that is not made yet: a new module's, or one that an operator asked for."""
        for name in await self._replays.unfinished():
            if module_of(name) not in self._off:
                await self._replays.run(name)

    async def _tend_subscriptions(self) -> None:
        pool, handlers, newest = self._pool, self.handlers, self._bus.newest
        await _outbox.touch_subscriptions(pool, handlers)
        if await _outbox.revive_beyond(pool, handlers, newest):
            self.wake()
        await _outbox.park_beyond(pool, handlers, newest, waited_seconds=self._settings.orphan_seconds)

    async def _drain(self) -> None:
        tasks = [task for _, task in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._settings.shutdown_grace_seconds)
        held = [(delivery.id, delivery.lease_token) for delivery, _ in self._running.values()]
        for _, task in list(self._running.values()):
            task.cancel()
        if held:
            await asyncio.gather(*tasks, return_exceptions=True)
            await _tolerant(_outbox.give_back(self._pool, held))


def _log(delivery: Delivery) -> Any:
    return logger.bind(handler=delivery.handler, delivery_id=str(delivery.id), attempt=delivery.attempt)


@functools.cache
def module_of(handler: str) -> str:
    """Return the module that a stored name belongs to: it begins with it."""
    return handler.partition(".")[0]


async def _tolerant(work: Any) -> None:
    """Await housekeeping that will come round again; a failure is logged."""
    try:
        await work
    except Exception as error:  # noqa: BLE001  # a handler may raise anything; the worker goes on
        logger.warning("housekeeping failed; it is repeated", error=str(error))
