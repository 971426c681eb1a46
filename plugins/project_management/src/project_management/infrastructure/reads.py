"""
The read side: one statement per question, rows straight to views, and whoever is not in the project finds nothing.

Every statement is made once, at import. A page without items is the one case with a second statement: is there nothing,
or may the caller not know?
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Text,
    Uuid,
    bindparam,
    select,
)

from platform_core.db import Reads, where
from platform_core.domain import Page, PageRequest
from platform_core.money import exact
from platform_core.security import Principal
from project_management.application import queries
from project_management.contracts import (
    ActivityView,
    CommentView,
    ExpenseView,
    MemberView,
    MilestoneView,
    ProjectView,
    TaskView,
    TimeEntryView,
)
from project_management.domain import (
    CommentNotFound,
    MemberNotFound,
    Membership,
    NotYourComment,
    ProjectNotFound,
    Right,
    TaskNotFound,
    assignable_in,
    visible_to,
)
from project_management.infrastructure.derived import PROGRESS, SPENT, SPENT_MINUTES
from project_management.infrastructure.tables import (
    activity_entries,
    expenses,
    milestones,
    project_members,
    projects,
    task_comments,
    tasks,
    time_entries,
)

Row = Mapping[str, Any]
V = TypeVar("V")

_PROJECT_ID: Final = bindparam("project", type_=Uuid)
_TASK_ID: Final = bindparam("task", type_=Uuid)
_USER_ID: Final = bindparam("user", type_=Uuid)
_ME: Final = project_members.alias("me")


def _seen_in(statement: Select[Any], project_id: ColumnElement[Any]) -> Select[Any]:
    """Leave what lies in projects that are there, and that the caller is in."""
    return (
        statement.join(projects, projects.c.id == project_id)
        .join(_ME, _ME.c.project_id == projects.c.id)
        .where(projects.c.deleted_at.is_(None), where(visible_to(_USER_ID), _ME))
    )


def _in_project(statement: Select[Any], table: FromClause) -> Select[Any]:
    return _seen_in(statement, table.c.project_id).where(table.c.project_id == _PROJECT_ID)


def on_task(statement: Select[Any], table: FromClause) -> Select[Any]:
    """Leave what belongs to the task `task`, which the caller `user` may see."""
    joined = statement.join(tasks, tasks.c.id == table.c.task_id)
    return _seen_in(joined, tasks.c.project_id).where(
        table.c.task_id == _TASK_ID, tasks.c.deleted_at.is_(None)
    )


# ── Rights ───────────────────────────────────────────────────────────────────────────────────────

_MEMBERSHIP: Final = select(_ME.c.project_id, _ME.c.user_id, _ME.c.role, _ME.c.joined_at)
IN_PROJECT: Final = (
    _MEMBERSHIP.join(projects, projects.c.id == _ME.c.project_id)
    .where(_ME.c.project_id == _PROJECT_ID, where(visible_to(_USER_ID), _ME))
    .where(projects.c.deleted_at.is_(None))
)
_WITH_TASK: Final = (
    _MEMBERSHIP.select_from(tasks)
    .join(projects, projects.c.id == tasks.c.project_id)
    .join(_ME, _ME.c.project_id == tasks.c.project_id)
    .where(tasks.c.id == _TASK_ID, tasks.c.deleted_at.is_(None))
    .where(projects.c.deleted_at.is_(None), where(visible_to(_USER_ID), _ME))
)


async def may_in_project(query: queries.MayInProject, reads: Reads, principal: Principal) -> None:
    row = await reads.one(IN_PROJECT, {"project": query.project_id, "user": principal.require_user()})
    if row is None:
        raise ProjectNotFound
    Membership(**row).require(query.right)


async def may_with_task(query: queries.MayWithTask, reads: Reads, principal: Principal) -> None:
    row = await reads.one(_WITH_TASK, {"task": query.task_id, "user": principal.require_user()})
    if row is None:
        raise TaskNotFound
    Membership(**row).require(query.right)


async def of_project(
    page: Page[V], request: PageRequest, project_id: UUID, reads: Reads, principal: Principal
) -> Page[V]:
    """Return a page of what is in a project; an empty one only to those who may know of the project."""
    if not page.items:
        question = queries.MayInProject(project_id=project_id, right=Right.READ)
        await may_in_project(question, reads, principal)
    return page


async def of_task(
    page: Page[V], request: PageRequest, task_id: UUID, reads: Reads, principal: Principal
) -> Page[V]:
    """Return a page of what belongs to a task; an empty one only to those who may know of the task."""
    if not page.items:
        await may_with_task(queries.MayWithTask(task_id=task_id, right=Right.READ), reads, principal)
    return page


# ── Projects and members ─────────────────────────────────────────────────────────────────────────

_PROJECTS: Final = (
    select(
        projects.c.id,
        projects.c.name,
        projects.c.description,
        projects.c.status,
        projects.c.owner_id,
        projects.c.budget_amount,
        projects.c.currency,
        SPENT.label("spent"),
        PROGRESS.label("progress"),
        projects.c.start_date,
        projects.c.end_date,
        projects.c.created_at,
        projects.c.updated_at,
    )
    .join(_ME, _ME.c.project_id == projects.c.id)
    .where(projects.c.deleted_at.is_(None), where(visible_to(_USER_ID), _ME))
)
_PROJECT: Final = _PROJECTS.where(projects.c.id == _PROJECT_ID)


async def get_project(query: queries.GetProject, reads: Reads, principal: Principal) -> ProjectView:
    row = await reads.one(_PROJECT, {"project": query.project_id, "user": principal.require_user()})
    if row is None:
        raise ProjectNotFound
    return _project(row)


async def list_projects(query: queries.ListProjects, reads: Reads, principal: Principal) -> Page[ProjectView]:
    return await reads.page(
        _PROJECTS, query.page, _project, order=_BY_PROJECT, values={"user": principal.require_user()}
    )


_BY_PROJECT: Final = (projects.c.id,)

_MEMBERS: Final = _seen_in(
    select(project_members.c.user_id, project_members.c.role, project_members.c.joined_at),
    project_members.c.project_id,
).where(where(assignable_in(_PROJECT_ID), project_members))
_MEMBER: Final = _MEMBERS.where(project_members.c.user_id == bindparam("member", type_=Uuid))
_BY_JOINING: Final = (project_members.c.joined_at, project_members.c.user_id)


async def list_members(query: queries.ListMembers, reads: Reads, principal: Principal) -> Page[MemberView]:
    """Whoever is in a project sees themselves there, so no page of it is empty."""
    values = {"project": query.project_id, "user": principal.require_user()}
    page = await reads.page(
        _MEMBERS, query.page, lambda row: MemberView(**row), order=_BY_JOINING, values=values
    )
    return await of_project(page, query.page, query.project_id, reads, principal)


async def get_member(query: queries.GetMember, reads: Reads, principal: Principal) -> MemberView:
    values = {"project": query.project_id, "user": principal.require_user(), "member": query.user_id}
    row = await reads.one(_MEMBER, values)
    if row is None:
        raise MemberNotFound
    return MemberView(**row)


# ── Tasks ────────────────────────────────────────────────────────────────────────────────────────

_TASK_COLUMNS: Final = select(
    tasks.c.id,
    tasks.c.project_id,
    tasks.c.title,
    tasks.c.description,
    tasks.c.status,
    tasks.c.priority,
    tasks.c.assignee_id,
    tasks.c.due_date,
    tasks.c.estimated_minutes,
    SPENT_MINUTES.label("spent_minutes"),
    tasks.c.parent_id,
    tasks.c.version,
    tasks.c.created_by,
    tasks.c.created_at,
    tasks.c.updated_at,
    tasks.c.completed_at,
)
_TASK: Final = _seen_in(_TASK_COLUMNS, tasks.c.project_id).where(
    tasks.c.id == _TASK_ID, tasks.c.deleted_at.is_(None)
)
_BY_TASK: Final = (tasks.c.id,)


@functools.cache
def _tasks(has_status: bool, has_assignee: bool, has_q: bool) -> Select[Any]:
    """Return the list with these filters; there are eight such statements."""
    statement = _in_project(_TASK_COLUMNS, tasks).where(tasks.c.deleted_at.is_(None))
    if has_status:
        statement = statement.where(tasks.c.status == bindparam("status", type_=Text))
    if has_assignee:
        statement = statement.where(tasks.c.assignee_id == bindparam("assignee", type_=Uuid))
    if has_q:
        statement = statement.where(tasks.c.title.icontains(bindparam("q", type_=Text), autoescape=False))
    return statement


async def get_task(query: queries.GetTask, reads: Reads, principal: Principal) -> TaskView:
    row = await reads.one(_TASK, {"task": query.task_id, "user": principal.require_user()})
    if row is None:
        raise TaskNotFound
    return TaskView(**row)


async def list_tasks(query: queries.ListTasks, reads: Reads, principal: Principal) -> Page[TaskView]:
    filters = {"status": query.status, "assignee": query.assignee_id, "q": _literally(query.q)}
    statement = _tasks(*(value is not None for value in filters.values()))
    values: dict[str, Any] = {"project": query.project_id, "user": principal.require_user()}
    values |= {name: value for name, value in filters.items() if value is not None}
    page = await reads.page(statement, query.page, _task, order=_BY_TASK, values=values)
    return await of_project(page, query.page, query.project_id, reads, principal)


def _literally(text: str | None) -> str | None:
    """Return a search text in which `%` and `_` mean themselves; an empty one looks for nothing."""
    if not text:
        return None
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


# ── What belongs to tasks ────────────────────────────────────────────────────────────────────────

_TIME_ENTRIES: Final = on_task(
    select(
        time_entries.c.id,
        time_entries.c.task_id,
        time_entries.c.user_id,
        time_entries.c.minutes,
        time_entries.c.note,
        time_entries.c.worked_on,
        time_entries.c.created_at,
    ),
    time_entries,
).where(time_entries.c.deleted_at.is_(None))
_BY_ENTRY: Final = (time_entries.c.id,)


async def list_time_entries(
    query: queries.ListTimeEntries, reads: Reads, principal: Principal
) -> Page[TimeEntryView]:
    values = {"task": query.task_id, "user": principal.require_user()}
    page = await reads.page(
        _TIME_ENTRIES, query.page, lambda row: TimeEntryView(**row), order=_BY_ENTRY, values=values
    )
    return await of_task(page, query.page, query.task_id, reads, principal)


_COMMENT_COLUMNS: Final = select(
    task_comments.c.id,
    task_comments.c.task_id,
    task_comments.c.author_id,
    task_comments.c.parent_id,
    task_comments.c.body,
    task_comments.c.created_at,
    task_comments.c.updated_at,
)
_COMMENTS: Final = on_task(_COMMENT_COLUMNS, task_comments).where(task_comments.c.deleted_at.is_(None))
_COMMENT: Final = _seen_in(
    _COMMENT_COLUMNS.join(tasks, tasks.c.id == task_comments.c.task_id), tasks.c.project_id
).where(
    task_comments.c.id == bindparam("comment", type_=Uuid),
    task_comments.c.deleted_at.is_(None),
    tasks.c.deleted_at.is_(None),
)
_REWRITER: Final = _COMMENT.with_only_columns(
    task_comments.c.author_id, _ME.c.project_id, _ME.c.role, _ME.c.joined_at, maintain_column_froms=True
)
_BY_COMMENT: Final = (task_comments.c.id,)


async def get_comment(query: queries.GetComment, reads: Reads, principal: Principal) -> CommentView:
    row = await reads.one(_COMMENT, {"comment": query.comment_id, "user": principal.require_user()})
    if row is None:
        raise CommentNotFound
    return CommentView(**row)


async def may_rewrite(query: queries.MayRewrite, reads: Reads, principal: Principal) -> None:
    user_id = principal.require_user()
    row = await reads.one(_REWRITER, {"comment": query.comment_id, "user": user_id})
    if row is None:
        raise CommentNotFound
    Membership(
        project_id=row["project_id"], user_id=user_id, role=row["role"], joined_at=row["joined_at"]
    ).require(Right.WORK_ON_TASKS)
    if row["author_id"] != user_id:
        raise NotYourComment


async def list_comments(query: queries.ListComments, reads: Reads, principal: Principal) -> Page[CommentView]:
    values = {"task": query.task_id, "user": principal.require_user()}
    page = await reads.page(
        _COMMENTS, query.page, lambda row: CommentView(**row), order=_BY_COMMENT, values=values
    )
    return await of_task(page, query.page, query.task_id, reads, principal)


# ── Money and time ───────────────────────────────────────────────────────────────────────────────

_EXPENSES: Final = _in_project(
    select(
        expenses.c.id,
        expenses.c.project_id,
        expenses.c.amount,
        expenses.c.currency,
        expenses.c.note,
        expenses.c.spent_on,
        expenses.c.recorded_by,
        expenses.c.created_at,
    ),
    expenses,
).where(expenses.c.deleted_at.is_(None))
_BY_EXPENSE: Final = (expenses.c.id,)


async def list_expenses(query: queries.ListExpenses, reads: Reads, principal: Principal) -> Page[ExpenseView]:
    values = {"project": query.project_id, "user": principal.require_user()}
    page = await reads.page(_EXPENSES, query.page, _expense, order=_BY_EXPENSE, values=values)
    return await of_project(page, query.page, query.project_id, reads, principal)


_MILESTONES: Final = _in_project(
    select(
        milestones.c.id,
        milestones.c.project_id,
        milestones.c.name,
        milestones.c.due_date,
        milestones.c.created_at,
        milestones.c.updated_at,
    ),
    milestones,
).where(milestones.c.deleted_at.is_(None))
_BY_DUE_DATE: Final = (milestones.c.due_date, milestones.c.id)


async def list_milestones(
    query: queries.ListMilestones, reads: Reads, principal: Principal
) -> Page[MilestoneView]:
    values = {"project": query.project_id, "user": principal.require_user()}
    page = await reads.page(
        _MILESTONES,
        query.page,
        lambda row: MilestoneView(**row),
        order=_BY_DUE_DATE,
        ascending=True,
        values=values,
    )
    return await of_project(page, query.page, query.project_id, reads, principal)


_ACTIVITY: Final = _in_project(
    select(
        activity_entries.c.id,
        activity_entries.c.kind,
        activity_entries.c.actor_id,
        activity_entries.c.task_id,
        activity_entries.c.data,
        activity_entries.c.occurred_at,
    ),
    activity_entries,
)
_BY_EVENT: Final = (activity_entries.c.id,)


async def list_activity(
    query: queries.ListActivity, reads: Reads, principal: Principal
) -> Page[ActivityView]:
    values = {"project": query.project_id, "user": principal.require_user()}
    page = await reads.page(
        _ACTIVITY, query.page, lambda row: ActivityView(**row), order=_BY_EVENT, values=values
    )
    return await of_project(page, query.page, query.project_id, reads, principal)


# ── Views ────────────────────────────────────────────────────────────────────────────────────────


def _project(row: Row) -> ProjectView:
    values, currency = dict(row), row["currency"]
    budget, spent = values.pop("budget_amount"), values.pop("spent")
    del values["currency"]
    return ProjectView(
        **values,
        budget=None if budget is None else exact(budget, currency),
        budget_spent=None if currency is None else exact(spent, currency),
    )


def _task(row: Row) -> TaskView:
    return TaskView(**row)


def _expense(row: Row) -> ExpenseView:
    values = dict(row)
    return ExpenseView(**values | {"amount": exact(values["amount"], values.pop("currency"))})
