"""
inboxes
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "notification_0004"
down_revision = "notification_0003"
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("is_read", sa.Boolean(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("is_read = (read_at IS NOT NULL)", name=op.f("ck_notifications_read_at")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        schema="notification",
        comment="Inboxes: one row per event, kind and user, in the words of that moment.",
    )
    op.create_index(
        "uq_notifications_event_id",
        "notifications",
        ["event_id", "kind", "user_id"],
        unique=True,
        schema="notification",
    )
    op.create_index(
        "ix_notifications_user_id_position", "notifications", ["user_id", "position"], schema="notification"
    )
    op.create_index(
        "ix_notifications_user_id_is_read",
        "notifications",
        ["user_id", "is_read", "position"],
        schema="notification",
    )


def downgrade() -> None:
    op.drop_table("notifications", schema="notification")
