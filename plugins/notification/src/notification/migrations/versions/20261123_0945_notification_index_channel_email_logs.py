"""
a way to the mails among all messages, newest first, which administrators look through
"""

from platform_core.migrations import create_index_concurrently, drop_index_concurrently

revision = "notification_0009"
down_revision = "notification_0008"
phase = "expand"


def upgrade() -> None:
    create_index_concurrently(
        "ix_email_logs_channel", "email_logs", ["channel", "id"], where="deleted_at IS NULL"
    )


def downgrade() -> None:
    drop_index_concurrently("ix_email_logs_channel")
