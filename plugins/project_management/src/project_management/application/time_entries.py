"""Noting the time that somebody worked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from annotated_types import Interval, Len

from platform_core.domain import Command, body, new_id
from platform_core.ports import Clock
from project_management.application.access import Access
from project_management.application.ports import TimeEntryRepository
from project_management.contracts import TaskId, TimeEntryView
from project_management.domain import Right, TimeEntry


@body
@dataclass(frozen=True, kw_only=True)
class WorkedTime:
    """How long somebody worked, and when."""

    minutes: Annotated[int, Interval(ge=1, le=1440)]
    worked_on: date
    note: Annotated[str, Len(0, 2000)] | None = None


@dataclass(frozen=True, kw_only=True)
class LogTime(Command[TimeEntryView]):
    """Note that one worked on a task."""

    task_id: TaskId
    worked: WorkedTime


async def log_time(
    command: LogTime, access: Access, entries: TimeEntryRepository, clock: Clock
) -> TimeEntryView:
    opened = await access.task(command.task_id, Right.LOG_TIME)
    entry = TimeEntry.log(
        opened.task,
        entry_id=new_id(),
        user_id=access.user_id,
        minutes=command.worked.minutes,
        note=command.worked.note,
        worked_on=command.worked.worked_on,
        now=clock.now(),
    )
    entries.add(entry)
    return TimeEntryView(
        id=entry.id,
        task_id=entry.task_id,
        user_id=entry.user_id,
        minutes=entry.minutes,
        note=entry.note,
        worked_on=entry.worked_on,
        created_at=entry.created_at,
    )
