"""What the use cases of project management need from the outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from project_management.contracts import Role
from project_management.domain import (
    Comment,
    Expense,
    Membership,
    Milestone,
    Project,
    Task,
    TimeEntry,
)


@dataclass(frozen=True, slots=True)
class OpenedProject:
    """A project, as somebody in it finds it."""

    project: Project
    membership: Membership


@dataclass(frozen=True, slots=True)
class OpenedTask:
    """
    A task, as somebody in its project finds it.

    Attributes:
        spent_minutes: sum of its time entries.
    """

    task: Task
    membership: Membership
    spent_minutes: int


@dataclass(frozen=True, slots=True)
class OpenedComment:
    """A comment with its task, as somebody in the project finds them."""

    comment: Comment
    task: Task
    membership: Membership


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What is derived for a project.

    Attributes:
        spent: sum of the expenses.
        progress: share of the done among the tasks that are not cancelled.
    """

    spent: Decimal = Decimal(0)
    progress: float = 0.0


class ProjectRepository(Protocol):
    """Projects that are not deleted."""

    def add(self, aggregate: Project) -> None: ...

    async def open(self, project_id: UUID, user_id: UUID) -> OpenedProject:
        """Load one that somebody is in; raises `ProjectNotFound`."""
        ...

    async def figures(self, project_id: UUID) -> Figures:
        """Return what is derived for one."""
        ...

    async def get_all(self, project_ids: Iterable[UUID]) -> Sequence[Project]:
        """Load those of the projects that exist."""
        ...

    async def find_named(self, owner_id: UUID, name: str) -> Project | None:
        """Load somebody's project of this name, the oldest where there are several."""
        ...


class MemberRepository(Protocol):
    """Who is in which project."""

    async def find(self, project_id: UUID, user_ids: Iterable[UUID]) -> Sequence[Membership]:
        """Return those of the memberships that exist."""
        ...

    async def owners(self, project_id: UUID) -> Sequence[Membership]:
        """Return the owners, the longest first."""
        ...

    async def beside(self, user_id: UUID, *, project_count: int) -> Sequence[Membership]:
        """Return everybody in the first so many projects that somebody is in, themselves included."""
        ...

    def add(self, membership: Membership) -> None:
        """Let somebody in, at the commit; `AlreadyMember` is raised there."""
        ...

    def change_role(self, membership: Membership, role: Role) -> None:
        """Give somebody another role, at the commit."""
        ...

    def remove(self, membership: Membership, now: datetime) -> None:
        """Let somebody out, at the commit; what was assigned to them is assigned to nobody."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What a task is put into.

    Attributes:
        membership: of who puts it there; None when there is no such project for them.
        assignee: the membership of who is to do it, where somebody is.
        has_parent: whether the task that it is to be a part of is there.
    """

    membership: Membership | None
    assignee: Membership | None
    has_parent: bool


class TaskRepository(Protocol):
    """Tasks that are not deleted, of projects that are not deleted."""

    def add(self, aggregate: Task) -> None: ...

    async def open(self, task_id: UUID, user_id: UUID) -> OpenedTask:
        """Load one of a project that somebody is in; raises `TaskNotFound`."""
        ...

    async def surroundings(
        self, project_id: UUID, user_id: UUID, *, assignee_id: UUID | None, parent_id: UUID | None
    ) -> Surroundings:
        """Return what matters for a task that is put into a project, in one round trip."""
        ...

    async def hold_tree(self, project_id: UUID) -> None:
        """Let nobody else change which tasks of a project are parts of which until the commit."""
        ...

    async def below(self, task_id: UUID) -> set[UUID]:
        """Return the tasks that are parts of one, however deep, and itself."""
        ...

    def delete_parts(self, task_ids: Iterable[UUID], *, except_id: UUID, now: datetime) -> None:
        """Mark these tasks, but for one, as deleted, at the commit."""
        ...

    def attach(self, task_id: UUID, file_id: UUID, *, by: UUID, now: datetime) -> None:
        """Note that a file belongs to a task, at the commit; one that does already stays as it is."""
        ...

    def detach(self, task_id: UUID, file_id: UUID) -> None:
        """Note that a file does not belong to a task any more, at the commit."""
        ...

    async def has_attachment(self, task_id: UUID, file_id: UUID) -> bool:
        """Tell whether a file belongs to a task."""
        ...

    async def is_attached_in(self, project_id: UUID, file_id: UUID) -> bool:
        """Tell whether a file belongs to some task of a project."""
        ...


class CommentRepository(Protocol):
    """Comments that are not deleted."""

    def add(self, aggregate: Comment) -> None: ...

    async def open(self, comment_id: UUID, user_id: UUID) -> OpenedComment:
        """Load one of a project that somebody is in; raises `CommentNotFound`."""
        ...

    async def is_on(self, task_id: UUID, comment_id: UUID) -> bool:
        """Tell whether a comment is one on this task."""
        ...


class TimeEntryRepository(Protocol):
    """Time that was worked."""

    def add(self, aggregate: TimeEntry) -> None: ...


class ExpenseRepository(Protocol):
    """Money that was spent; the database keeps it in the project's currency."""

    def add(self, aggregate: Expense) -> None: ...


class MilestoneRepository(Protocol):
    """Days that something is due."""

    def add(self, aggregate: Milestone) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One line of the activity feed, before it is stored."""

    id: UUID
    project_id: UUID
    kind: str
    actor_id: UUID | None
    task_id: UUID | None
    data: dict[str, Any]
    occurred_at: datetime


class ActivityLog(Protocol):
    """The activity feed: a projection of the events of this module."""

    def note(self, happening: Happening) -> None:
        """Keep a line, at the commit; one that is there already stays as it is."""
        ...
