"""
Takes the steps of sagas: for a worker that claimed the delivery, or for a caller who waits.

A step's command runs as any other does, in the unit of work of the module that owns it; that it is done is stored by
the very statement that stores what it did. So a step of the database happens once, whoever dies when.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import structlog

from platform_core import _outbox
from platform_core._bus import Bus, context_of
from platform_core._outbox import Delivery, backoff_seconds
from platform_core._pools import KERNEL, Pools
from platform_core._sagas import moves, store
from platform_core._sagas.definitions import Definitions
from platform_core._sagas.store import FOLLOWED_SECONDS, Lease, Stored
from platform_core._uow import SqlUnitOfWork
from platform_core.context import bind, current
from platform_core.declarations import Saga
from platform_core.domain import Refused, Unfinished
from platform_core.errors import ConcurrentUpdate, DomainError, Kind, LeaseLost, Unparsable
from platform_core.logs import masked
from platform_core.metrics import Metrics
from platform_core.ports import Clock
from platform_core.tracing import span

logger = structlog.get_logger("platform_core.sagas")

_TRANSIENT: Final = frozenset({Kind.UNAVAILABLE, Kind.TIMED_OUT, Kind.RATE_LIMITED})
"""Kinds of refusal that say "not now"; the others are final."""

_MANY_BATCHES: Final = 1000
"""So often the log says how many a step has taken: one that gets nowhere looks like one that has much to do."""

_UNEXPECTED: Final = "It failed unexpectedly."
"""What callers see of an error that was not meant for them; operators find the rest in the log of the saga."""


@dataclass(slots=True)
class _Pace:
    """
    How long whoever takes the steps may stay.

    Attributes:
        lease_seconds: after this somebody else goes on, unless a step was stored meanwhile.
        until: `time.monotonic()` up to which a pause is waited for; a worker has better things to do.
    """

    lease_seconds: float
    until: float = 0.0

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the saga to end; workers have others to look after."""
        return self.until > 0

    def lease(self, pause: float, error: str | None = None) -> Lease:
        if pause == 0:
            return Lease(max(self.lease_seconds, self.until - time.monotonic() + 1))
        if time.monotonic() + pause < self.until:
            return Lease(pause + self.lease_seconds)
        return Lease(pause, is_kept=False, error=error)


class SagaRunner:
    """
    Args:
        definitions: of the active modules.
        bus: executes the steps' commands.
        ring: tells workers that a saga waits for them.
    """

    def __init__(
        self,
        definitions: Definitions,
        bus: Bus,
        pools: Pools,
        clock: Clock,
        lease_seconds: float,
        ring: Callable[[Sequence[Any]], None],
        metrics: Metrics,
    ) -> None:
        self.definitions, self._bus, self._pools, self._clock = definitions, bus, pools, clock
        self._lease_seconds, self._ring, self._metrics = lease_seconds, ring, metrics

    async def deliver(self, delivery: Delivery) -> None:
        """
        Carry on with the saga that a worker has leased, until it has ended or must wait.

        Raises:
            LeaseLost: somebody else carries it on.
            Unparsable: this build cannot read it; park it.
        """
        stored = await store.read(self._pools.commands(KERNEL), delivery.id, delivery.lease_token)
        context = context_of(delivery)
        with (
            span(f"saga {delivery.handler}", context.traceparent) as traceparent,
            bind(replace(context, traceparent=traceparent)),
        ):
            stored = await self._without_gone(stored, delivery.handler)
            await self._carry_on(stored, _Pace(self._lease_seconds))

    async def _without_gone(self, stored: Stored, handler: str) -> Stored:
        """Leave out a contributed step that waits for its saga's own module: the contributor was taken out for good."""
        saga = self.definitions.pinned(stored.name, stored.definition, stored.run.names)
        move = None if saga is None else moves.next_move(saga, stored.run)
        if saga is None or move is None or self.definitions.handler(saga, stored.run) == handler:
            return stored
        run = moves.skipped(saga, stored.run)
        uow = self.unit_of_work()
        for write in store.carried_on(
            stored,
            run,
            Lease(self._lease_seconds),
            handler=handler,
            step=move.step.name,
            what="left out",
            detail="its module was taken out for good",
        ):
            uow.append(write)
        await _commit(uow)
        return await self._without_gone(replace(stored, run=run, revision=stored.revision + 1), handler)

    async def follow(self, saga_id: UUID) -> bool:
        """Do what `ports.Follow` promises."""
        pool = self._pools.commands(KERNEL)
        deadline = time.monotonic() + FOLLOWED_SECONDS
        stored = await store.take(pool, saga_id, seconds=max(self._lease_seconds, FOLLOWED_SECONDS + 1))
        if stored is None:
            return False  # a worker was faster, or the caller slower than the first seconds
        # the trail tells what a saga did under the saga's own name, whoever took the steps
        context = replace(current(), request_id=str(saga_id), causation_id=saga_id)
        try:
            async with asyncio.timeout(FOLLOWED_SECONDS):
                with bind(context):
                    run, refusal = await self._carry_on(stored, _Pace(self._lease_seconds, deadline))
        except (TimeoutError, LeaseLost):
            # the attempt was cut off: whoever goes on finds out what became of it, as after a crash
            await _outbox.give_back(pool, [(saga_id, stored.token)])
            self._ring([saga_id])
            return False
        if run.status == moves.COMPENSATED and refusal is not None:
            raise refusal
        return run.status in (moves.COMPLETED, moves.COMPENSATED)

    async def _carry_on(self, stored: Stored, pace: _Pace) -> tuple[moves.Run, DomainError | None]:
        saga = self.definitions.pinned(stored.name, stored.definition, stored.run.names)
        if saga is None:
            raise Unparsable(
                f"no installed module has the saga {stored.name}@{stored.definition} that it began as"
            )
        refusal: DomainError | None = None
        while (move := moves.next_move(saga, stored.run)) is not None:
            if self.definitions.handler(saga, stored.run) not in self.definitions.by_handler:
                raise Unparsable(f"no installed module has its step {move.step.name}")
            attempt = _Attempt(self, saga, stored, move, pace)
            run = await attempt.make()
            refusal = refusal or attempt.refusal
            stored = replace(stored, run=run, revision=stored.revision + 1)
            if not attempt.lease.is_kept:
                if attempt.is_handed_on:
                    self._ring([stored.id])
                break
            await asyncio.sleep(attempt.pause)
        if not stored.run.is_going_on:
            self._tell(stored)
        return stored.run, refusal

    def _tell(self, stored: Stored) -> None:
        self._metrics.saga(stored.name, stored.run.status)
        log = logger.error if stored.run.status == moves.NEEDS_ATTENTION else logger.info
        steps = store.summary(stored.run.steps)
        log("saga " + stored.run.status, saga=stored.name, saga_id=str(stored.id), steps=steps)

    def unit_of_work(self) -> SqlUnitOfWork:
        """Return one for what is stored without a command: that a step failed."""
        return SqlUnitOfWork(self._pools.commands(KERNEL), self._clock, current())

    @property
    def bus(self) -> Bus:
        return self._bus


class _Attempt:
    """
    One attempt at one step, or at taking it back.

    Attributes:
        refusal: with which the action of a critical step said no.
        lease: what became of it.
        pause: seconds until the next attempt at the same.
        is_handed_on: whoever comes first goes on, at once. The next step is one of a module that this process does not
            have, or that is switched off; or it is one batch of many, and whatever waits for this worker has its turn.
    """

    def __init__(self, runner: SagaRunner, saga: Saga, stored: Stored, move: moves.Move, pace: _Pace) -> None:
        self._runner, self._saga, self._stored, self._move, self._pace = runner, saga, stored, move, pace
        self._run = stored.run
        self._told: DomainError | None = None
        self.refusal: DomainError | None = None
        self.lease = Lease(0)
        self.pause = 0.0
        self.is_handed_on = False

    async def make(self) -> moves.Run:
        """
        Make it, and store what came of it.

        Returns: the run as it is then.

        Raises:
            LeaseLost: somebody else carries it on; nothing of it was stored.
        """
        step = self._move.step
        make = step.compensation if self._move.is_undo else step.action
        assert make is not None  # noqa: S101  # a move backward has a compensation
        try:
            async with asyncio.timeout(step.timeout_seconds):
                command = make(self._stored.for_step(is_undo=self._move.is_undo))
                await self._runner.bus.execute(command, (self._completed,))
        except LeaseLost:
            raise
        except DomainError as error:
            if error is not self._told:  # otherwise it was stored with the traces that the command left
                await self._store_refusal(error)
        except TimeoutError:
            await self._store_failure(f"It took longer than {step.timeout_seconds:g} s.", "timed out")
        except Exception as error:  # noqa: BLE001  # a module's command may raise anything; the saga copes
            said = masked(str(error).partition("\n")[0])
            await self._store_failure(_UNEXPECTED, f"{type(error).__name__}: {said}")
        self._warn_of_many()
        return self._run

    def _warn_of_many(self) -> None:
        """Say of a step that goes on and on how many batches it has taken."""
        batches = self._batches(self._run)
        if batches > self._batches(self._stored.run) and batches % _MANY_BATCHES == 0:
            logger.warning(
                "saga step goes on in batches",
                saga=self._stored.name,
                saga_id=str(self._stored.id),
                step=self._move.step.name,
                is_compensation=self._move.is_undo,
                batches=batches,
            )

    async def _completed(self, result: Any, uow: SqlUnitOfWork) -> None:
        """Store with the command's own effects that it is done, or that it said no and left traces."""
        if isinstance(result, Refused):
            if not isinstance(result.error, DomainError) or _is_transient(result.error):
                raise result.error
            self._told = result.error
            self._refused(result.error, uow)
        elif isinstance(result, Unfinished):
            run = moves.unfinished(self._stored.run, self._move, store.plain_progress(result.progress))
            is_first = (
                self._batches(run) == 1
            )  # the last one says how many there were; no timeline needs every one
            self._queue(uow, run, self._what("going on") if is_first else None, "in batches")
        else:
            run = moves.completed(self._saga, self._stored.run, self._move, store.plain(result))
            batches = self._batches(run)
            what = "compensated" if self._move.is_undo else "completed"
            self._queue(uow, run, what, f"in {batches + 1} batches" if batches else None)

    async def _store_refusal(self, error: DomainError) -> None:
        if _is_transient(error):
            await self._store_failure(error.message, error.slug)
            return
        uow = self._runner.unit_of_work()
        self._refused(error, uow)
        await _commit(uow)

    def _refused(self, error: DomainError, uow: SqlUnitOfWork) -> None:
        if self._move.step.critical and not self._move.is_undo:
            self.refusal = error
        run = moves.refused(self._saga, self._stored.run, self._move, error.message)
        self._queue(uow, run, self._what("refused"), f"{error.slug}: {error.message}")

    async def _store_failure(self, why: str, detail: str) -> None:
        run = moves.failed(self._saga, self._stored.run, self._move, why)
        if moves.next_move(self._saga, run) == self._move:
            self.pause = backoff_seconds(self._move.retry, self._attempts(run))
        uow = self._runner.unit_of_work()
        self._queue(uow, run, self._what("failed"), detail, why)
        await _commit(uow)

    def _queue(
        self,
        uow: SqlUnitOfWork,
        run: moves.Run,
        what: str | None,
        detail: str | None = None,
        error: str | None = None,
    ) -> None:
        definitions = self._runner.definitions
        handler = definitions.handler(self._saga, run)
        is_batch = self._batches(run) > self._batches(self._stored.run)
        self.is_handed_on = not definitions.can_take(handler) or (is_batch and not self._pace.is_awaited)
        self._run = run
        self.lease = Lease(0, is_kept=False) if self.is_handed_on else self._pace.lease(self.pause, error)
        step = self._move.step.name
        for write in store.carried_on(
            self._stored, run, self.lease, handler=handler, step=step, what=what, detail=detail
        ):
            uow.append(write)

    def _what(self, happened: str) -> str:
        return f"compensation {happened}" if self._move.is_undo else happened

    def _attempts(self, run: moves.Run) -> int:
        stands = self._stands(run)
        return stands.undo_attempts if self._move.is_undo else stands.attempts

    def _batches(self, run: moves.Run) -> int:
        stands = self._stands(run)
        return stands.undo_batches if self._move.is_undo else stands.batches

    def _stands(self, run: moves.Run) -> moves.Step:
        return next(step for step in run.steps if step.name == self._move.step.name)


def _is_transient(error: DomainError) -> bool:
    return error.kind in _TRANSIENT or isinstance(error, ConcurrentUpdate)


async def _commit(uow: SqlUnitOfWork) -> None:
    try:
        await uow.commit()
    finally:
        await uow.close()
