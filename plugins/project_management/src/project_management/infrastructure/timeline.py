"""
The timeline: tasks and milestones as one list.

Each of both is read in its own order and cut before they are merged, so that the thousandth task costs what the first
does; a list of everything that is sorted afterwards read all of it. That is why the page is made here and not by
`Reads.page`, which knows one list only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    Column,
    Date,
    Integer,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    select,
    tuple_,
    union_all,
)

from platform_core.db import Cursors, Reads
from platform_core.domain import Page
from platform_core.security import Principal
from project_management.application.queries import GetTimeline
from project_management.contracts import TimelineEntryView
from project_management.infrastructure.reads import IN_PROJECT, of_project
from project_management.infrastructure.tables import milestones, tasks

_PROJECT_ID: Final = bindparam("project", type_=Uuid)
_AFTER: Final = tuple_(bindparam("day", type_=Date), bindparam("id", type_=Uuid))
_LIMIT: Final = bindparam("limit", type_=Integer)
_BEFORE_EVERYTHING: Final = (date.min, UUID(int=0))
_LABEL: Final = "timeline"


def _part(statement: Select[Any], project_id: Column[Any], day: Column[Any], identity: Column[Any]) -> Any:
    return (
        statement.where(project_id == _PROJECT_ID, tuple_(day, identity) > _AFTER)
        .order_by(day, identity)
        .limit(_LIMIT)
    )


_TASKS: Final = _part(
    select(
        tasks.c.timeline_on.label("on"),
        tasks.c.id,
        literal_column("'task'", Text).label("kind"),
        tasks.c.title,
        cast(func.timezone("UTC", tasks.c.created_at), Date).label("starts_on"),
        tasks.c.status,
        tasks.c.assignee_id,
    ).where(tasks.c.deleted_at.is_(None)),
    tasks.c.project_id,
    tasks.c.timeline_on,
    tasks.c.id,
)
_MILESTONES: Final = _part(
    select(
        milestones.c.due_date,
        milestones.c.id,
        literal_column("'milestone'", Text),
        milestones.c.name,
        cast(null(), Date),
        cast(null(), Text),
        cast(null(), Uuid),
    ).where(milestones.c.deleted_at.is_(None)),
    milestones.c.project_id,
    milestones.c.due_date,
    milestones.c.id,
)
_ENTRIES: Final = union_all(_TASKS, _MILESTONES).subquery("entries")
_ORDER: Final = (_ENTRIES.c.on, _ENTRIES.c.id)
_TIMELINE: Final = select(_ENTRIES).where(IN_PROJECT.exists()).order_by(*_ORDER).limit(_LIMIT)


async def get_timeline(
    query: GetTimeline, reads: Reads, principal: Principal, cursors: Cursors
) -> Page[TimelineEntryView]:
    request, after = query.page, list[Any](_BEFORE_EVERYTHING)
    if request.cursor is not None:
        after = cursors.decode(_LABEL, request.cursor, _ORDER)
    rows = await reads.all(
        _TIMELINE,
        {
            "project": query.project_id,
            "user": principal.require_user(),
            "day": after[0],
            "id": after[1],
            "limit": request.limit + 1,
        },
    )
    page = Page(
        [TimelineEntryView(**row) for row in rows[: request.limit]], _next(rows, request.limit, cursors)
    )
    return await of_project(page, request, query.project_id, reads, principal)


def _next(rows: Sequence[Mapping[str, Any]], limit: int, cursors: Cursors) -> str | None:
    if len(rows) <= limit:
        return None
    last = rows[limit - 1]
    return cursors.encode(_LABEL, [last["on"], last["id"]])
