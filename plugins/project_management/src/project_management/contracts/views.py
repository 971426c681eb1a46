"""What the routes of project management answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from platform_core.domain import Money

ProjectId: TypeAlias = UUID
TaskId: TypeAlias = UUID
CommentId: TypeAlias = UUID

Role: TypeAlias = Literal["owner", "manager", "member", "viewer"]
ProjectStatus: TypeAlias = Literal["active", "on_hold", "completed", "archived"]
TaskStatus: TypeAlias = Literal["todo", "in_progress", "review", "done", "cancelled"]
Priority: TypeAlias = Literal["low", "medium", "high", "urgent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectView:
    """
    A project as its members see it.

    Attributes:
        owner_id: one of the owners; the first one, for as long as they are.
        budget_spent: sum of the expenses; None while there is neither a budget nor an expense.
        progress: share of the done among the tasks that are not cancelled, 0 to 1; 0 without tasks.
    """

    id: ProjectId
    name: str
    description: str | None
    status: ProjectStatus
    owner_id: UUID
    budget: Money | None
    budget_spent: Money | None
    progress: float
    start_date: date | None
    end_date: date | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """Somebody in a project, what they may do there, and since when they are in it."""

    user_id: UUID
    role: Role
    joined_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """
    A task.

    Attributes:
        spent_minutes: sum of its time entries.
        parent_id: the task that it is a part of.
        version: raised by one with each change.
        completed_at: since when it is done; None while it is not.
    """

    id: TaskId
    project_id: ProjectId
    title: str
    description: str | None
    status: TaskStatus
    priority: Priority
    assignee_id: UUID | None
    due_date: date | None
    estimated_minutes: int | None
    spent_minutes: int
    parent_id: TaskId | None
    version: int
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEntryView:
    """Work that somebody did on a task."""

    id: UUID
    task_id: TaskId
    user_id: UUID
    minutes: int
    note: str | None
    worked_on: date
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentView:
    """
    What somebody said about a task.

    Attributes:
        parent_id: the comment that it answers; one that was deleted is in no list.
    """

    id: CommentId
    task_id: TaskId
    author_id: UUID
    parent_id: CommentId | None
    body: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentView:
    """
    A file that belongs to a task; `GET /files/{file_id}/content` downloads it.

    Attributes:
        name, size, content_type: of its present content.
    """

    file_id: UUID
    name: str
    size: int
    content_type: str
    attached_by: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpenseView:
    """Money that a project cost."""

    id: UUID
    project_id: ProjectId
    amount: Money
    note: str
    spent_on: date
    recorded_by: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MilestoneView:
    """A day by which something is to be reached."""

    id: UUID
    project_id: ProjectId
    name: str
    due_date: date
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntryView:
    """
    A task or a milestone, where it lies in time.

    Attributes:
        title: or the milestone's name.
        starts_on: the day it was made; None for a milestone.
        on: the day it is due; where it has none, the day it was done; else the day it was made.
        status: None for a milestone.
    """

    kind: Literal["task", "milestone"]
    id: UUID
    title: str
    starts_on: date | None
    on: date
    status: TaskStatus | None
    assignee_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityView:
    """
    One thing that happened in a project.

    Attributes:
        kind: such as `task_created`, or `member_added`.
        actor_id: who did it; None is the platform itself.
        data: what else is known of it, by kind.
    """

    id: UUID
    kind: str
    actor_id: UUID | None
    task_id: TaskId | None
    data: dict[str, Any]
    occurred_at: datetime
