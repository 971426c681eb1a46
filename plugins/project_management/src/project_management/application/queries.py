"""Questions about projects; how they are answered is in the infrastructure."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from platform_core.domain import Page, PageRequest, Query
from project_management.contracts import (
    ActivityView,
    CommentId,
    CommentView,
    ExpenseView,
    MemberView,
    MilestoneView,
    ProjectId,
    ProjectView,
    TaskId,
    TaskStatus,
    TaskView,
    TimeEntryView,
    TimelineEntryView,
)
from project_management.domain import Right


@dataclass(frozen=True, kw_only=True)
class GetProject(Query[ProjectView]):
    """A project that the caller is in."""

    project_id: ProjectId


@dataclass(frozen=True, kw_only=True)
class ListProjects(Query[Page[ProjectView]]):
    """The projects that the caller is in, newest first."""

    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class MayInProject(Query[None]):
    """Insist that the caller has a right in a project, before anything is said about their request's body."""

    project_id: ProjectId
    right: Right


@dataclass(frozen=True, kw_only=True)
class MayWithTask(Query[None]):
    """Insist that the caller has a right in the project of a task."""

    task_id: TaskId
    right: Right


@dataclass(frozen=True, kw_only=True)
class ListMembers(Query[Page[MemberView]]):
    """Who is in a project."""

    project_id: ProjectId
    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class GetMember(Query[MemberView]):
    """Somebody in a project that the caller is in, too."""

    project_id: ProjectId
    user_id: UUID


@dataclass(frozen=True, kw_only=True)
class GetTask(Query[TaskView]):
    """A task of a project that the caller is in."""

    task_id: TaskId


@dataclass(frozen=True, kw_only=True)
class ListTasks(Query[Page[TaskView]]):
    """
    The tasks of a project, newest first.

    Attributes:
        status, assignee_id: only those.
        q: part of the title, whatever its case.
    """

    project_id: ProjectId
    page: PageRequest
    status: TaskStatus | None = None
    assignee_id: UUID | None = None
    q: str | None = None


@dataclass(frozen=True, kw_only=True)
class ListTimeEntries(Query[Page[TimeEntryView]]):
    """The time that was worked on a task, newest first."""

    task_id: TaskId
    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class GetComment(Query[CommentView]):
    """A comment on a task of a project that the caller is in."""

    comment_id: CommentId


@dataclass(frozen=True, kw_only=True)
class MayRewrite(Query[None]):
    """Insist that the caller may change a comment, before anything is said about their request's body."""

    comment_id: CommentId


@dataclass(frozen=True, kw_only=True)
class ListComments(Query[Page[CommentView]]):
    """What was said about a task, newest first; `parent_id` makes threads of it."""

    task_id: TaskId
    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class ListExpenses(Query[Page[ExpenseView]]):
    """What a project cost, newest first."""

    project_id: ProjectId
    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class ListMilestones(Query[Page[MilestoneView]]):
    """What is to be reached, and by when; the earliest day first."""

    project_id: ProjectId
    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class GetTimeline(Query[Page[TimelineEntryView]]):
    """Tasks and milestones over time, the earliest first."""

    project_id: ProjectId
    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class ListActivity(Query[Page[ActivityView]]):
    """What happened in a project, newest first."""

    project_id: ProjectId
    page: PageRequest
