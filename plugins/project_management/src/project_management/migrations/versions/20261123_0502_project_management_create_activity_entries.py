"""
create the activity feed
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "project_management_0003"
down_revision = "project_management_0002"
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "activity_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project_management.projects.id"],
            name=op.f("fk_activity_entries_project_id_projects"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["project_management.tasks.id"],
            name=op.f("fk_activity_entries_task_id_tasks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity_entries")),
        schema="project_management",
        comment="What happened in projects: a projection of this module's events, called as they are.",
    )
    op.create_index(
        "ix_activity_entries_project_id",
        "activity_entries",
        ["project_id", "id"],
        unique=False,
        schema="project_management",
    )
    op.create_index(
        "ix_activity_entries_task_id",
        "activity_entries",
        ["task_id"],
        unique=False,
        schema="project_management",
    )


def downgrade() -> None:
    op.drop_table("activity_entries", schema="project_management")
