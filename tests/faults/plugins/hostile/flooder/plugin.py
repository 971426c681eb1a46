"""Emits thousands of events at once, and listens to all of them five times, slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar
from uuid import UUID

from annotated_types import Interval

from platform_core import hookimpl
from platform_core.declarations import Services, Subscription, on
from platform_core.domain import Command, Event, new_id
from platform_core.http import Execute, Router
from platform_core.ports import Outbox

router = Router()


@dataclass(frozen=True, kw_only=True)
class Drop(Event):
    wire_name: ClassVar[str] = "flooder.drop"

    drop_id: UUID


@dataclass(frozen=True, kw_only=True)
class Flood(Command[None]):
    count: Annotated[int, Interval(ge=1, le=10_000)]


async def flood(command: Flood, outbox: Outbox) -> None:
    for _ in range(command.count):
        drop_id = new_id()
        outbox.emit(Drop(drop_id=drop_id), aggregate_type="flooder.drop", aggregate_id=drop_id)


@router.post("/flooder", public=True, summary="Flood")
async def post(command: Flood, execute: Execute) -> None:
    await execute(command)


async def hear(event: Drop) -> None:
    await asyncio.sleep(0.5)


@hookimpl
def register_services() -> Services:
    return Services(commands={Flood: flood})


@hookimpl
def register_routes() -> Sequence[Router]:
    return [router]


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    return [on(Drop, hear, name=f"flooder.hear_{number}") for number in range(5)]
