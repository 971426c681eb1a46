"""Making marks, and counting how often each was heard of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Protocol
from uuid import UUID

from annotated_types import Interval, Len

from platform_core.domain import Command, Query, new_id
from platform_core.ports import Clock, EventMetadata
from tally.contracts import Marked, MarkView
from tally.domain import Mark


class MarkRepository(Protocol):
    def add(self, aggregate: Mark) -> None: ...


class Effects(Protocol):
    """Where handlers write down that they ran; it keeps duplicates, so that tests can find them."""

    def write(self, event_id: UUID, handler: str, attempt: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class MakeMark(Command[MarkView]):
    """
    Attributes:
        work_ms: how long the handler of its event takes.
    """

    text: Annotated[str, Len(1, 200)]
    work_ms: Annotated[int, Interval(ge=0, le=60_000)] = 0


@dataclass(frozen=True, kw_only=True)
class CountMarks(Query[int]):
    pass


async def make_mark(command: MakeMark, marks: MarkRepository, clock: Clock) -> MarkView:
    mark = Mark.make(new_id(), command.text, command.work_ms, clock.now())
    marks.add(mark)
    return MarkView(id=mark.id, text=mark.text)


async def note(event: Marked, effects: Effects, metadata: EventMetadata) -> None:
    await asyncio.sleep(event.work_ms / 1000)
    effects.write(metadata.event_id, "tally.note", metadata.attempt)
