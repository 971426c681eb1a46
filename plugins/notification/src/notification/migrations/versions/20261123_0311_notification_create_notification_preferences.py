"""
what users want to hear of
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "notification_0002"
down_revision = "notification_0001"
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "notification_preferences",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("channels", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("kinds", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("quiet_hours", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_preferences")),
        schema="notification",
        comment="What users want to hear of; the defaults hold for those without a row.",
    )
    op.create_index(
        "uq_notification_preferences_user_id",
        "notification_preferences",
        ["user_id"],
        unique=True,
        schema="notification",
    )


def downgrade() -> None:
    op.drop_table("notification_preferences", schema="notification")
