"""
Replays: a read model is made anew of its events, in place, while people read it and live events go on.

A batch of aggregates is one transaction: forget what is shown of them, read their events, give these to the same
handlers in their order, note how far this came, commit. Readers see what was there until then, and after it what it is
now. Whoever dies in between has done nothing, and anybody goes on from there.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Text, Uuid, any_, bindparam, column, delete, select, table
from sqlalchemy.dialects.postgresql import ARRAY

from platform_core._bus import Bus
from platform_core._outbox import Delivery
from platform_core._pools import KERNEL, Pools
from platform_core._projections import store
from platform_core._uow import SqlUnitOfWork
from platform_core.context import Context
from platform_core.declarations import Projection, ProjectionTable
from platform_core.errors import OperationError
from platform_core.ports import Clock
from platform_core.security import SYSTEM

logger = structlog.get_logger("platform_core.projections")

_BATCH_COUNT: Final = 50
"""Aggregates of one transaction: live events of theirs wait for so long."""

_EVENTS: Final = table(
    "domain_events", column("id", Uuid), column("name", Text), column("aggregate_id", Uuid), schema="audit"
)


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a replay is.

    Attributes:
        done_count, total_count: aggregates; the total is what there was at the beginning, None before it is known.
        is_done: the read model is what its events make.
        is_waiting: for transactions that began before the projection was known.
    """

    done_count: int = 0
    total_count: int | None = None
    is_done: bool = False
    is_waiting: bool = False


class Replays:
    """
    Makes projections of the events there have been.

    Args:
        projections: name → declaration, of modules that are there.
        bus: has their handlers.
    """

    def __init__(self, projections: Mapping[str, Projection], bus: Bus, pools: Pools, clock: Clock) -> None:
        self.projections, self._bus, self._pools, self._clock = projections, bus, pools, clock

    async def register(self, off: Container[str] = ()) -> None:
        """
        Make the projections of this build known; once their subscriptions are.

        Args:
            off: modules that nothing is kept for at the moment.
        """
        modules = {name: module for name in self.projections if (module := _module(name)) not in off}
        starts = {name: projection.start for name, projection in self.projections.items()}
        await store.register(self._pools.commands(KERNEL), modules, starts)

    async def unfinished(self) -> list[str]:
        """Return the projections that are to be made, or are half made."""
        if not self.projections:
            return []
        return await store.replaying(self._pools.commands(KERNEL), self.projections)

    async def look(self) -> list[dict[str, Any]]:
        """Return how each projection stands; see `store.look`."""
        return await store.look(self._pools.commands(KERNEL), list(self.projections.values()))

    async def run(self, name: str) -> Progress:
        """Make one as far as it goes; what stops it is logged, and the next one who looks goes on."""
        progress = Progress()
        try:
            while not (progress.is_done or progress.is_waiting):
                progress = await self.step(name)
        except Exception as error:  # noqa: BLE001  # a handler may raise anything
            logger.error("a read model cannot be made", projection=name, reason=str(error))
        return progress

    async def step(self, name: str) -> Progress:
        """
        Take one batch; several processes that do so take turns.

        Raises:
            OperationError: a handler failed; with the event.
        """
        projection = self.projections[name]
        context = Context(principal=SYSTEM, primary_reads=True)
        uow = SqlUnitOfWork(self._pools.commands(_module(name)), self._clock, context)
        try:
            await uow.begin()
            progress = await self._batch(projection, uow)
            await uow.commit()
            await self._bus.settle(uow)
            return progress
        finally:
            await uow.close()

    async def _batch(self, projection: Projection, uow: SqlUnitOfWork) -> Progress:
        name, events = projection.name, [handler.event.wire_name for handler in projection.handlers]
        held = await uow.fetch_one(store.HOLD, {"name": name})
        if held is None:
            return Progress(is_done=True)
        if not held["is_due"]:
            return Progress(is_waiting=True)
        target, total = held["target"], held["total_count"]
        if target is None:
            [found] = await uow.fetch_all(store.PREPARE, {"name": name, "events": events})
            target, total = found["target"], found["total_count"]
        values = {"events": events, "target": target, "cursor": held["cursor"], "count": _BATCH_COUNT}
        aggregates = [row["aggregate_id"] for row in await uow.fetch_all(store.NEXT, values)]
        if not aggregates:
            for shown in projection.tables:
                await uow.fetch_all(_strays(shown), {"events": events})
            await uow.fetch_all(store.FINISH, {"name": name})
            return Progress(held["done_count"], total, is_done=True)
        await self._replay(projection, aggregates, events, uow)
        values = {"name": name, "cursor": aggregates[-1], "count": len(aggregates)}
        [now] = await uow.fetch_all(store.ADVANCE, values)
        return Progress(now["done_count"], total)

    async def _replay(
        self, projection: Projection, aggregates: Sequence[UUID], events: Sequence[str], uow: SqlUnitOfWork
    ) -> None:
        # Forget first, read afterwards: what a live delivery has shown up to now is an event that is found below; and
        # one that comes later waits for what is forgotten here, and then sees what was made.
        for shown in projection.tables:
            await uow.fetch_all(_forgotten(shown), {"aggregates": aggregates, "events": list(events)})
        handlers = {handler.event.wire_name: handler.name for handler in projection.handlers}
        async for row in store.events_of(self._pools.commands(KERNEL), aggregates, events):
            delivery = _as_delivery(row, handlers[row["name"]])
            try:
                await self._bus.replay(delivery, uow)
            except Exception as error:
                problem = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                hint = f"the event {row['id']} ({row['name']}) stops {projection.name}: {problem}"
                raise OperationError(hint) from error


def _module(projection: str) -> str:
    return projection.partition(".")[0]


def _forgotten(shown: ProjectionTable) -> Any:
    """Return the statement that forgets what a table shows of some aggregates."""
    key = shown.table.c[shown.key]
    ids = bindparam("aggregates", type_=ARRAY(Uuid))
    if shown.of == "aggregate":
        return delete(shown.table).where(key == any_(ids)).returning(key)
    named = _EVENTS.c.name == any_(bindparam("events", type_=ARRAY(Text)))
    of_them = select(_EVENTS.c.id).where(_EVENTS.c.aggregate_id == any_(ids), named)
    return delete(shown.table).where(key.in_(of_them)).returning(key)


def _strays(shown: ProjectionTable) -> Any:
    """Return the statement that forgets what no event tells of."""
    key = shown.table.c[shown.key]
    source = _EVENTS.c.aggregate_id if shown.of == "aggregate" else _EVENTS.c.id
    # not `SELECT *`: a module may look at some columns of the store of events only
    told = (
        select(source)
        .where(source == key, _EVENTS.c.name == any_(bindparam("events", type_=ARRAY(Text))))
        .exists()
    )
    return delete(shown.table).where(~told).returning(key)


def _as_delivery(row: Mapping[str, Any], handler: str) -> Delivery:
    """Return an event as its handler is given it; there is no lease, and nothing to be finished."""
    return Delivery(
        id=row["id"],
        handler=handler,
        lease_token=row["id"],
        attempt=1,
        event_id=row["id"],
        position=row["position"],
        event_name=row["name"],
        event_version=row["version"],
        payload=row["payload"],
        aggregate_type=row["aggregate_type"],
        aggregate_id=row["aggregate_id"],
        actor_id=row["actor_id"],
        actor_label="replay",
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
        occurred_at=row["occurred_at"],
    )
