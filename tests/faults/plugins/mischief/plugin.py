"""
What a handler should never do, asked for by a mark's text: `raise`, `kill`, `hang`, `never`, `block` (the first time).

Its effect is an event, one for each time that a run of it counted.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from tally.contracts import Marked

from platform_core import hookimpl
from platform_core.declarations import Retry, Schedule, Services, Subscription, Task, on
from platform_core.domain import Command, Event, new_id
from platform_core.ports import EventMetadata, Outbox

BLOCKED_SECONDS = 4.5
"""Longer than the lease of two seconds, and shorter than what ends a process that is stuck."""


@dataclass(frozen=True, kw_only=True)
class Done(Event):
    wire_name: ClassVar[str] = "mischief.done"

    of: UUID
    pid: int


@dataclass(frozen=True, kw_only=True)
class Tick(Command[None]):
    """Something that is to happen every second."""


async def do(event: Marked, outbox: Outbox, metadata: EventMetadata) -> None:
    await _MISCHIEF.get(event.text.partition(" ")[0], _nothing)(metadata)
    done = Done(of=metadata.event_id, pid=os.getpid())
    outbox.emit(done, aggregate_type="mischief.deed", aggregate_id=metadata.event_id)


async def tick(command: Tick, outbox: Outbox) -> None:
    outbox.emit(Done(of=new_id(), pid=os.getpid()), aggregate_type="mischief.tick", aggregate_id=new_id())


async def _raise(metadata: EventMetadata) -> None:
    raise RuntimeError("boom")


async def _kill(metadata: EventMetadata) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _hang(metadata: EventMetadata) -> None:
    while True:
        pass


async def _never(metadata: EventMetadata) -> None:
    await asyncio.Event().wait()


async def _block(metadata: EventMetadata) -> None:
    if metadata.attempt == 1:
        time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251  # the mischief


async def _nothing(metadata: EventMetadata) -> None:
    pass


_MISCHIEF: Mapping[str, Callable[[EventMetadata], Awaitable[None]]] = {
    "raise": _raise,
    "kill": _kill,
    "hang": _hang,
    "never": _never,
    "block": _block,
}


@hookimpl
def register_services() -> Services:
    return Services(commands={Tick: tick})


@hookimpl
def register_tasks() -> Sequence[Task | Schedule]:
    return [Task(command=Tick), Schedule(name="mischief.tick", every=timedelta(seconds=1), command=Tick())]


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    retry = Retry(attempts_count=3, first_seconds=0.2, longest_seconds=1.0)
    return [on(Marked, do, name="mischief.do", retry=retry, timeout_seconds=10.0)]
