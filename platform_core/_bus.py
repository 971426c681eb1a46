"""
The bus: the one place that commits; private to the kernel.

`execute(command)` → handler → compare rows → one statement → ring Redis → answer. `ask(query)` → one read → view.
`deliver(delivery)` does for an event or a job what `execute` does for a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from platform_core import _audit
from platform_core._messages import Handler, Messages
from platform_core._outbox import Delivery
from platform_core._pools import Pools
from platform_core._uow import SqlUnitOfWork, Write
from platform_core._wiring import Unit
from platform_core.context import Context, bind, current
from platform_core.domain import Command, Query, Refused, Unfinished
from platform_core.errors import ConcurrentUpdate, DomainError, Kind, PlatformError
from platform_core.ports import Clock
from platform_core.security import Principal
from platform_core.tracing import span

R = TypeVar("R")

BeforeCommit = Callable[[Any, SqlUnitOfWork], Awaitable[None]]
"""Called with the handler's answer before the one statement; may queue writes or refuse."""

_ATTEMPTS_COUNT = 3
"""How often a command whose rows were changed under it is run again before the caller hears of it."""


class Bus:
    """
    Runs commands, queries and deliveries, each with what its handler asks for.

    Args:
        pools: of connections, by module.
        clock: stamps events and the trail.
        messages: who handles what.
        ring: tells workers that there is something to do; never waits and never fails.

    Attributes:
        newest: event name → the newest version that this build can be given.
    """

    def __init__(
        self,
        pools: Pools,
        clock: Clock,
        messages: Messages,
        *,
        ring: Callable[[Sequence[Any]], None],
        forget: Callable[[SqlUnitOfWork], Awaitable[None]],
    ) -> None:
        self._pools, self._clock = pools, clock
        self._commands, self._queries = messages.commands, messages.queries
        self.subscribers, self.tasks, self.codec = messages.subscribers, messages.tasks, messages.codec()
        self.newest = self.codec.newest
        self._ring, self._forget = ring, forget

    async def execute(
        self, command: Command[R], before_commit: Sequence[BeforeCommit] = (), *, audited: bool = True
    ) -> R:
        """
        Run a command in a unit of work of its own and commit it; only then return its answer.

        Args:
            before_commit: what must be stored together with it, or hold for it.
            audited: whether the trail gets a line.

        Raises:
            DomainError: the rule that said no; nothing was stored but a line in the trail.
        """
        handler = self._commands.get(type(command))
        if handler is None:
            raise PlatformError(f"no installed module handles {command.wire_name}")
        context = current()
        with (
            span(f"command {command.wire_name}", context.traceparent) as traceparent,
            bind(replace(context, primary_reads=True, traceparent=traceparent)) as context,
        ):
            try:
                result = await self._attempt(handler, command, context, before_commit, audited)
            except DomainError as error:
                if error.kind is not Kind.UNAVAILABLE and audited:
                    await _audit.record_denied(
                        self._pools, context, action=command.wire_name, outcome="refused", detail=error.slug
                    )
                raise
            if isinstance(result, Refused):
                raise result.error
            return result  # type: ignore[no-any-return]  # the handler of Command[R] answers R

    async def ask(self, query: Query[R]) -> R:
        """
        Answer a query from the read side.

        Raises:
            DomainError: mostly `NotFound`.
        """
        handler = self._queries.get(type(query))
        if handler is None:
            raise PlatformError(f"no installed module answers {query.wire_name}")
        with span(f"query {query.wire_name}", current().traceparent):
            result: R = await handler.plan.function(query, **handler.plan.arguments(Unit(current())))
            return result

    async def deliver(self, delivery: Delivery) -> None:
        """
        Run one leased delivery; its effects and its completion are stored by the same statement.

        Raises:
            Unparsable: this build cannot read it; park it.
            LeaseLost: another worker has it; nothing was stored.
            Exception: whatever the handler raised; nothing was stored, repeat it.
        """
        context = context_of(delivery)
        with (
            span(f"deliver {delivery.handler}", context.traceparent) as traceparent,
            bind(replace(context, traceparent=traceparent)) as context,
        ):
            if delivery.is_job:
                await self._run_job(delivery)
            else:
                await self._handle_event(delivery, context)

    async def replay(self, delivery: Delivery, outer: SqlUnitOfWork) -> None:
        """
        Give an event to its handler once more; what it writes becomes a part of the transaction of `outer`.

        Raises:
            Exception: whatever the handler raised.
        """
        subscriber = self.subscribers[delivery.handler]
        event = self.codec.event(delivery.event_name or "", delivery.event_version or 0, delivery.payload)
        with bind(context_of(delivery)) as context:
            uow = outer.within(context)
            await self._call(subscriber.handler, event, uow, context, {Delivery: delivery})
            await uow.flush()

    async def settle(self, uow: SqlUnitOfWork) -> None:
        """Do what follows a commit: whoever remembers what was changed forgets it."""
        await self._forget(uow)

    async def _run_job(self, delivery: Delivery) -> None:
        command = self.codec.command(delivery.handler, delivery.payload)

        async def finish(result: Any, uow: SqlUnitOfWork) -> None:
            if isinstance(result, Unfinished):
                problem = "answers Unfinished, and only a saga takes a command again"
                raise PlatformError(
                    f"{delivery.handler} {problem}: do all of it, or store a job for the rest"
                )
            if not isinstance(result, Refused):  # a refused attempt keeps its traces but is repeated
                uow.append(delivery.finished())

        task = self.tasks[delivery.handler]
        async with asyncio.timeout(task.timeout_seconds):
            await self.execute(command, (finish,), audited=task.audited)

    async def _handle_event(self, delivery: Delivery, context: Context) -> None:
        subscriber = self.subscribers[delivery.handler]
        event = self.codec.event(delivery.event_name or "", delivery.event_version or 0, delivery.payload)
        uow = self._unit_of_work(subscriber.handler.module, context)
        try:
            async with asyncio.timeout(subscriber.subscription.timeout_seconds):
                await self._call(subscriber.handler, event, uow, context, {Delivery: delivery})
            uow.append(delivery.finished())
            uow.repeatable()
            uow.collect()
            self._ring(await uow.commit())
            await self._forget(uow)
        finally:
            await uow.close()

    async def _attempt(
        self,
        handler: Handler,
        command: Command[Any],
        context: Context,
        before_commit: Sequence[BeforeCommit],
        audited: bool,
    ) -> Any:
        for attempt in range(1, _ATTEMPTS_COUNT + 1):
            try:
                return await self._run(handler, command, context, before_commit, audited)
            except ConcurrentUpdate:
                # nothing was stored: the handler may simply look again
                if attempt == _ATTEMPTS_COUNT:
                    raise
        raise AssertionError("unreachable")

    async def _run(
        self,
        handler: Handler,
        command: Command[Any],
        context: Context,
        before_commit: Sequence[BeforeCommit],
        audited: bool,
    ) -> Any:
        uow = self._unit_of_work(handler.module, context)
        try:
            result = await self._call(handler, command, uow, context, {})
            changes = uow.collect()
            for step in before_commit:
                await step(result, uow)
            if audited:
                refusal = result.error if isinstance(result, Refused) else None
                for write in self._audit_line(command, context, changes, refusal):
                    uow.append(write)
            self._ring(await uow.commit())
            await self._forget(uow)
        finally:
            await uow.close()
        return result

    def _audit_line(
        self, command: Command[Any], context: Context, changes: Any, refusal: Exception | None
    ) -> tuple[Write, Write]:
        return _audit.line(
            context,
            action=command.wire_name,
            outcome="done" if refusal is None else "refused",
            now=self._clock.now(),
            changes=changes,
            detail=getattr(refusal, "slug", None),
        )

    async def _call(
        self,
        handler: Handler,
        message: Any,
        uow: SqlUnitOfWork,
        context: Context,
        extra: Mapping[type[Any], Any],
    ) -> Any:
        unit = Unit(context, {SqlUnitOfWork: uow, **extra})
        result = await handler.plan.function(message, **handler.plan.arguments(unit))
        for name in uow.job_names - self.tasks.keys():  # stored, it would wait for a worker for ever
            raise PlatformError(f"{name} is no task, so no worker would execute it later: register_tasks")
        return result

    def _unit_of_work(self, module: str, context: Context) -> SqlUnitOfWork:
        return SqlUnitOfWork(self._pools.commands(module), self._clock, context)


def context_of(delivery: Delivery) -> Context:
    """Return what is known of whoever caused a delivery; what it does, it does in their name."""
    return Context(
        request_id=str(delivery.id),
        correlation_id=delivery.correlation_id,
        causation_id=delivery.event_id or delivery.id,
        principal=Principal(user_id=delivery.actor_id, label=delivery.actor_label),
        traceparent=delivery.traceparent,
        primary_reads=True,
    )
