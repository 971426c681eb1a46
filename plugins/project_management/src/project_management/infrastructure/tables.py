"""
The tables of project management, and how its aggregates lie in them.

What one row may not break is a constraint: an assignee is in the project, a task's parent in the same project, a
comment's parent on the same task, an expense in the project's currency.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from platform_core.db import AggregateMap, aggregate_columns, module_metadata
from project_management.domain import (
    AssigneeNotInProject,
    BudgetCurrencyFixed,
    Comment,
    CurrencyMismatch,
    Expense,
    Milestone,
    ParentCommentNotFound,
    ParentTaskNotFound,
    Project,
    Task,
    TimeEntry,
)

METADATA: Final = module_metadata("project_management")

_THERE: Final = text("deleted_at IS NULL")
_AMOUNT: Final = Numeric(19, 4)

projects = Table(
    "projects",
    METADATA,
    *aggregate_columns(),
    Column("owner_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("status", Text, nullable=False),
    Column("budget_amount", _AMOUNT),
    Column("currency", Text),
    Column("start_date", Date),
    Column("end_date", Date),
    CheckConstraint("status IN ('active', 'on_hold', 'completed', 'archived')", name="status"),
    CheckConstraint("budget_amount >= 0", name="budget_amount"),
    CheckConstraint("budget_amount IS NULL OR currency IS NOT NULL", name="currency"),
    CheckConstraint("end_date >= start_date", name="end_date"),
    UniqueConstraint("id", "currency"),
    Index("ix_projects_owner_id", "owner_id", "id", postgresql_where=_THERE),
    comment="Projects; currency is set by the first budget or expense.",
)

project_members = Table(
    "project_members",
    METADATA,
    Column("project_id", Uuid, ForeignKey(projects.c.id, ondelete="CASCADE"), primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("role", Text, nullable=False),
    Column("joined_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("role IN ('owner', 'manager', 'member', 'viewer')", name="role"),
    Index("ix_project_members_user_id", "user_id", "project_id"),
    comment="Who is in which project, and what they may do there.",
)

tasks = Table(
    "tasks",
    METADATA,
    *aggregate_columns(),
    Column("project_id", Uuid, ForeignKey(projects.c.id, ondelete="CASCADE"), nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text),
    Column("status", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("assignee_id", Uuid),
    Column("due_date", Date),
    Column("estimated_minutes", Integer),
    Column("parent_id", Uuid),
    Column("created_by", Uuid, nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    Column(
        "timeline_on",
        Date,
        Computed(
            "COALESCE(due_date, (completed_at AT TIME ZONE 'UTC')::date, (created_at AT TIME ZONE 'UTC')::date)",
            persisted=True,
        ),
        nullable=False,
    ),
    CheckConstraint("status IN ('todo', 'in_progress', 'review', 'done', 'cancelled')", name="status"),
    CheckConstraint("priority IN ('low', 'medium', 'high', 'urgent')", name="priority"),
    CheckConstraint("estimated_minutes > 0", name="estimated_minutes"),
    CheckConstraint("parent_id <> id", name="parent_id"),
    UniqueConstraint("project_id", "id"),  # what parents refer to, and what lists of tasks go by
    ForeignKeyConstraint(
        ["project_id", "assignee_id"],
        [project_members.c.project_id, project_members.c.user_id],
        name="fk_tasks_assignee_id_project_members",
        ondelete="SET NULL (assignee_id)",
    ),
    ForeignKeyConstraint(
        ["project_id", "parent_id"],
        ["project_management.tasks.project_id", "project_management.tasks.id"],
        name="fk_tasks_parent_id_tasks",
        ondelete="CASCADE",
    ),
    Index("ix_tasks_status", "project_id", "status", "id", postgresql_where=_THERE),
    Index("ix_tasks_assignee_id", "project_id", "assignee_id", "id"),
    Index("ix_tasks_parent_id", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
    Index("ix_tasks_timeline_on", "project_id", "timeline_on", "id", postgresql_where=_THERE),
    comment="Tasks; timeline_on is the day under which the timeline shows them.",
)

task_comments = Table(
    "task_comments",
    METADATA,
    *aggregate_columns(),
    Column("task_id", Uuid, ForeignKey(tasks.c.id, ondelete="CASCADE"), nullable=False),
    Column("author_id", Uuid, nullable=False),
    Column("parent_id", Uuid),
    Column("body", Text, nullable=False),
    UniqueConstraint("task_id", "id"),  # what parents refer to, and what lists of comments go by
    ForeignKeyConstraint(
        ["task_id", "parent_id"],
        ["project_management.task_comments.task_id", "project_management.task_comments.id"],
        name="fk_task_comments_parent_id_task_comments",
        ondelete="CASCADE",
    ),
    Index("ix_task_comments_parent_id", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
    comment="What was said about tasks, in threads.",
)

time_entries = Table(
    "time_entries",
    METADATA,
    *aggregate_columns(),
    Column("task_id", Uuid, ForeignKey(tasks.c.id, ondelete="CASCADE"), nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("note", Text),
    Column("worked_on", Date, nullable=False),
    CheckConstraint("minutes BETWEEN 1 AND 1440", name="minutes"),
    Index(
        "ix_time_entries_task_id", "task_id", "id", postgresql_include=["minutes"], postgresql_where=_THERE
    ),
    comment="Time that was worked on tasks.",
)

task_attachments = Table(
    "task_attachments",
    METADATA,
    Column("task_id", Uuid, ForeignKey(tasks.c.id, ondelete="CASCADE"), primary_key=True),
    Column("file_id", Uuid, primary_key=True),
    Column("attached_by", Uuid, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("ix_task_attachments_file_id", "file_id", "task_id"),
    Index("ix_task_attachments_created_at", "task_id", "created_at", "file_id"),
    comment="Which files belong to which tasks; the files are file_management's.",
)

expenses = Table(
    "expenses",
    METADATA,
    *aggregate_columns(),
    Column("project_id", Uuid, nullable=False),
    Column("amount", _AMOUNT, nullable=False),
    Column("currency", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("spent_on", Date, nullable=False),
    Column("recorded_by", Uuid, nullable=False),
    CheckConstraint("amount > 0", name="amount"),
    ForeignKeyConstraint(
        ["project_id", "currency"],
        [projects.c.id, projects.c.currency],
        name="fk_expenses_currency_projects",
        ondelete="CASCADE",
    ),
    Index(
        "ix_expenses_project_id", "project_id", "id", postgresql_include=["amount"], postgresql_where=_THERE
    ),
    comment="What projects cost, in the currency of the project.",
)

milestones = Table(
    "milestones",
    METADATA,
    *aggregate_columns(),
    Column("project_id", Uuid, ForeignKey(projects.c.id, ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("due_date", Date, nullable=False),
    Column("created_by", Uuid, nullable=False),
    Index("ix_milestones_due_date", "project_id", "due_date", "id", postgresql_where=_THERE),
    comment="Days by which something is to be reached.",
)

activity_entries = Table(
    "activity_entries",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("project_id", Uuid, ForeignKey(projects.c.id, ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor_id", Uuid),
    Column("task_id", Uuid, ForeignKey(tasks.c.id, ondelete="CASCADE")),
    Column("data", JSONB, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Index("ix_activity_entries_project_id", "project_id", "id"),
    Index("ix_activity_entries_task_id", "task_id"),
    comment="What happened in projects: a projection of this module's events, called as they are.",
)

PROJECTS: Final = AggregateMap(
    Project,
    projects,
    name="project_management.project",
    constraints={"fk_expenses_currency_projects": BudgetCurrencyFixed},
)
TASKS: Final = AggregateMap(
    Task,
    tasks,
    name="project_management.task",
    constraints={
        "fk_tasks_assignee_id_project_members": AssigneeNotInProject,
        "fk_tasks_parent_id_tasks": ParentTaskNotFound,
    },
)
COMMENTS: Final = AggregateMap(
    Comment,
    task_comments,
    name="project_management.comment",
    constraints={"fk_task_comments_parent_id_task_comments": ParentCommentNotFound},
)
TIME_ENTRIES: Final = AggregateMap(TimeEntry, time_entries, name="project_management.time_entry")
EXPENSES: Final = AggregateMap(
    Expense,
    expenses,
    name="project_management.expense",
    constraints={"fk_expenses_currency_projects": CurrencyMismatch},
)
MILESTONES: Final = AggregateMap(Milestone, milestones, name="project_management.milestone")
