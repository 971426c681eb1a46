"""
What happened in projects, for whoever wants to know.

Each event names its project; what people wrote (descriptions, comments, notes) is in none of them, because events are
kept when the thing itself is deleted. Titles and names are, so that a notification can name what it is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Final
from uuid import UUID

from platform_core.domain import Event

# ── Projects and their members ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class ProjectCreated(Event):
    """There is a new project; whoever made it is its owner."""

    wire_name: ClassVar[str] = "project_management.project_created"

    project_id: UUID
    name: str
    owner_id: UUID


@dataclass(frozen=True, kw_only=True)
class ProjectUpdated(Event):
    """
    A project was described anew.

    Attributes:
        fields: what was changed, by name.
    """

    wire_name: ClassVar[str] = "project_management.project_updated"

    project_id: UUID
    name: str
    fields: list[str]


@dataclass(frozen=True, kw_only=True)
class ProjectStatusChanged(Event):
    """A project was put on hold, completed, archived or taken up again."""

    wire_name: ClassVar[str] = "project_management.project_status_changed"

    project_id: UUID
    name: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class ProjectDeleted(Event):
    """A project is gone, with everything in it."""

    wire_name: ClassVar[str] = "project_management.project_deleted"

    project_id: UUID
    name: str


@dataclass(frozen=True, kw_only=True)
class MemberAdded(Event):
    """Somebody is in a project now."""

    wire_name: ClassVar[str] = "project_management.member_added"

    project_id: UUID
    project_name: str
    user_id: UUID
    role: str
    added_by: UUID


@dataclass(frozen=True, kw_only=True)
class MemberRoleChanged(Event):
    """Somebody may do more, or less, in a project."""

    wire_name: ClassVar[str] = "project_management.member_role_changed"

    project_id: UUID
    user_id: UUID
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class MemberRemoved(Event):
    """Somebody left a project or was removed; what was assigned to them is assigned to nobody."""

    wire_name: ClassVar[str] = "project_management.member_removed"

    project_id: UUID
    user_id: UUID
    removed_by: UUID


# ── Tasks ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class TaskCreated(Event):
    """There is a new task."""

    wire_name: ClassVar[str] = "project_management.task_created"

    project_id: UUID
    task_id: UUID
    title: str
    created_by: UUID


@dataclass(frozen=True, kw_only=True)
class TaskUpdated(Event):
    """
    A task was described anew.

    Attributes:
        fields: what was changed, by name; status and assignee have events of their own.
    """

    wire_name: ClassVar[str] = "project_management.task_updated"

    project_id: UUID
    task_id: UUID
    title: str
    fields: list[str]


@dataclass(frozen=True, kw_only=True)
class TaskAssigned(Event):
    """
    Somebody is to do a task.

    Attributes:
        assigned_by: may be the same person.
    """

    wire_name: ClassVar[str] = "project_management.task_assigned"

    project_id: UUID
    task_id: UUID
    title: str
    assignee_id: UUID
    assigned_by: UUID
    due_date: date | None = None


@dataclass(frozen=True, kw_only=True)
class TaskStatusChanged(Event):
    """
    A task went on to another status.

    Attributes:
        assignee_id: whose task it is.
    """

    wire_name: ClassVar[str] = "project_management.task_status_changed"

    project_id: UUID
    task_id: UUID
    title: str
    before: str
    after: str
    assignee_id: UUID | None
    changed_by: UUID


@dataclass(frozen=True, kw_only=True)
class TaskDeleted(Event):
    """A task is gone, with the tasks that it consisted of."""

    wire_name: ClassVar[str] = "project_management.task_deleted"

    project_id: UUID
    task_id: UUID
    title: str


@dataclass(frozen=True, kw_only=True)
class CommentAdded(Event):
    """
    Somebody said something about a task.

    Attributes:
        assignee_id: whose task it is.
        mentioned_ids: members whom the comment names; `UserMentioned` is for them.
    """

    wire_name: ClassVar[str] = "project_management.comment_added"

    project_id: UUID
    task_id: UUID
    task_title: str
    comment_id: UUID
    author_id: UUID
    assignee_id: UUID | None
    mentioned_ids: list[UUID]


@dataclass(frozen=True, kw_only=True)
class UserMentioned(Event):
    """
    A comment names members by `@username`.

    Attributes:
        user_ids: the author is never among them, and after a change only those who were not named before.
    """

    wire_name: ClassVar[str] = "project_management.user_mentioned"

    project_id: UUID
    task_id: UUID
    task_title: str
    comment_id: UUID
    author_id: UUID
    user_ids: list[UUID]


@dataclass(frozen=True, kw_only=True)
class TimeLogged(Event):
    """Somebody worked on a task."""

    wire_name: ClassVar[str] = "project_management.time_logged"

    project_id: UUID
    task_id: UUID
    task_title: str
    entry_id: UUID
    user_id: UUID
    minutes: int


@dataclass(frozen=True, kw_only=True)
class FileAttached(Event):
    """A file belongs to a task now; members of the project may read it."""

    wire_name: ClassVar[str] = "project_management.file_attached"

    project_id: UUID
    task_id: UUID
    task_title: str
    file_id: UUID
    attached_by: UUID


@dataclass(frozen=True, kw_only=True)
class FileDetached(Event):
    """A file does not belong to a task any more."""

    wire_name: ClassVar[str] = "project_management.file_detached"

    project_id: UUID
    task_id: UUID
    task_title: str
    file_id: UUID


# ── Money and time ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class ExpenseRecorded(Event):
    """
    A project cost money.

    Attributes:
        amount: decimal, such as `49.90`.
        currency: ISO 4217.
    """

    wire_name: ClassVar[str] = "project_management.expense_recorded"

    project_id: UUID
    expense_id: UUID
    amount: str
    currency: str
    recorded_by: UUID


@dataclass(frozen=True, kw_only=True)
class MilestoneAdded(Event):
    """There is a new day by which something is to be reached."""

    wire_name: ClassVar[str] = "project_management.milestone_added"

    project_id: UUID
    milestone_id: UUID
    name: str
    due_date: date


EVENTS: Final[tuple[type[Event], ...]] = (
    ProjectCreated,
    ProjectUpdated,
    ProjectStatusChanged,
    ProjectDeleted,
    MemberAdded,
    MemberRoleChanged,
    MemberRemoved,
    TaskCreated,
    TaskUpdated,
    TaskAssigned,
    TaskStatusChanged,
    TaskDeleted,
    CommentAdded,
    UserMentioned,
    TimeLogged,
    FileAttached,
    FileDetached,
    ExpenseRecorded,
    MilestoneAdded,
)
"""Every event that this module publishes; the activity feed shows each."""
