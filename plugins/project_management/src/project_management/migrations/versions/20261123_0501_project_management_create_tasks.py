"""
create tasks with comments, time entries and attachments
"""

import sqlalchemy as sa
from alembic import op

revision = "project_management_0002"
down_revision = "project_management_0001"
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("assignee_id", sa.Uuid(), nullable=True),
        sa.Column("due_date", sa.Date(), nullable=True),
        sa.Column("estimated_minutes", sa.Integer(), nullable=True),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "timeline_on",
            sa.Date(),
            sa.Computed(
                "COALESCE(due_date, (completed_at AT TIME ZONE 'UTC')::date, (created_at AT TIME ZONE 'UTC')::date)",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.CheckConstraint("priority IN ('low', 'medium', 'high', 'urgent')", name=op.f("ck_tasks_priority")),
        sa.CheckConstraint(
            "status IN ('todo', 'in_progress', 'review', 'done', 'cancelled')", name=op.f("ck_tasks_status")
        ),
        sa.CheckConstraint("estimated_minutes > 0", name=op.f("ck_tasks_estimated_minutes")),
        sa.CheckConstraint("parent_id <> id", name=op.f("ck_tasks_parent_id")),
        sa.ForeignKeyConstraint(
            ["project_id", "assignee_id"],
            ["project_management.project_members.project_id", "project_management.project_members.user_id"],
            name="fk_tasks_assignee_id_project_members",
            ondelete="SET NULL (assignee_id)",
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "parent_id"],
            ["project_management.tasks.project_id", "project_management.tasks.id"],
            name="fk_tasks_parent_id_tasks",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project_management.projects.id"],
            name=op.f("fk_tasks_project_id_projects"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("project_id", "id", name=op.f("uq_tasks_project_id_id")),
        schema="project_management",
        comment="Tasks; timeline_on is the day under which the timeline shows them.",
    )
    op.create_index(
        "ix_tasks_assignee_id",
        "tasks",
        ["project_id", "assignee_id", "id"],
        unique=False,
        schema="project_management",
    )
    op.create_index(
        "ix_tasks_parent_id",
        "tasks",
        ["parent_id"],
        unique=False,
        schema="project_management",
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_index(
        "ix_tasks_status",
        "tasks",
        ["project_id", "status", "id"],
        unique=False,
        schema="project_management",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_tasks_timeline_on",
        "tasks",
        ["project_id", "timeline_on", "id"],
        unique=False,
        schema="project_management",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "task_comments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id", "parent_id"],
            ["project_management.task_comments.task_id", "project_management.task_comments.id"],
            name="fk_task_comments_parent_id_task_comments",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["project_management.tasks.id"],
            name=op.f("fk_task_comments_task_id_tasks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_comments")),
        sa.UniqueConstraint("task_id", "id", name=op.f("uq_task_comments_task_id_id")),
        schema="project_management",
        comment="What was said about tasks, in threads.",
    )
    op.create_index(
        "ix_task_comments_parent_id",
        "task_comments",
        ["parent_id"],
        unique=False,
        schema="project_management",
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_table(
        "time_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("worked_on", sa.Date(), nullable=False),
        sa.CheckConstraint("minutes BETWEEN 1 AND 1440", name=op.f("ck_time_entries_minutes")),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["project_management.tasks.id"],
            name=op.f("fk_time_entries_task_id_tasks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_time_entries")),
        schema="project_management",
        comment="Time that was worked on tasks.",
    )
    op.create_index(
        "ix_time_entries_task_id",
        "time_entries",
        ["task_id", "id"],
        unique=False,
        schema="project_management",
        postgresql_include=["minutes"],
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "task_attachments",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("attached_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["project_management.tasks.id"],
            name=op.f("fk_task_attachments_task_id_tasks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("task_id", "file_id", name=op.f("pk_task_attachments")),
        schema="project_management",
        comment="Which files belong to which tasks; the files are file_management's.",
    )
    op.create_index(
        "ix_task_attachments_created_at",
        "task_attachments",
        ["task_id", "created_at", "file_id"],
        unique=False,
        schema="project_management",
    )
    op.create_index(
        "ix_task_attachments_file_id",
        "task_attachments",
        ["file_id", "task_id"],
        unique=False,
        schema="project_management",
    )


def downgrade() -> None:
    for table in ("task_attachments", "time_entries", "task_comments", "tasks"):
        op.drop_table(table, schema="project_management")
