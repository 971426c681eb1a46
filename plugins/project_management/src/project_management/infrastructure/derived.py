"""What is worked out of other rows whenever it is asked for, so that it can never be wrong: subqueries for a row."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Float, cast, func, select

from project_management.domain import CANCELLED, DONE
from project_management.infrastructure.tables import expenses, projects, tasks, time_entries

SPENT_MINUTES: Final = (
    select(func.coalesce(func.sum(time_entries.c.minutes), 0))
    .where(time_entries.c.task_id == tasks.c.id, time_entries.c.deleted_at.is_(None))
    .scalar_subquery()
)
"""Of the task of the row."""

SPENT: Final = (
    select(func.coalesce(func.sum(expenses.c.amount), 0))
    .where(expenses.c.project_id == projects.c.id, expenses.c.deleted_at.is_(None))
    .scalar_subquery()
)
"""Of the project of the row."""

_COUNTED: Final = func.nullif(func.count().filter(tasks.c.status != CANCELLED), 0)

PROGRESS: Final = (
    select(func.coalesce(cast(func.count().filter(tasks.c.status == DONE), Float) / _COUNTED, 0))
    .select_from(tasks)
    .where(tasks.c.project_id == projects.c.id, tasks.c.deleted_at.is_(None))
    .scalar_subquery()
)
"""Of the project of the row; an index of its tasks' statuses answers it without looking at the tasks."""
