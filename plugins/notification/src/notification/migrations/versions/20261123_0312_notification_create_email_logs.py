"""
mails and what became of them
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "notification_0003"
down_revision = "notification_0002"
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "email_logs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'sent', 'failed', 'bounced')", name=op.f("ck_email_logs_status")
        ),
        sa.CheckConstraint("status <> 'sent' OR sent_at IS NOT NULL", name=op.f("ck_email_logs_sent_at")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_logs")),
        schema="notification",
        comment="One row per mail, from the decision to send it; neither its text nor any secret.",
    )
    op.create_index(
        "ix_email_logs_held_at",
        "email_logs",
        ["held_at"],
        unique=False,
        schema="notification",
        postgresql_where=sa.text("held_at IS NOT NULL"),
    )
    op.create_index(
        "uq_email_logs_event_id",
        "email_logs",
        ["event_id", "kind", "user_id", "channel"],
        unique=True,
        schema="notification",
    )


def downgrade() -> None:
    op.drop_table("email_logs", schema="notification")
