"""
the narrower uniqueness, under which a user has one device
"""

from alembic import op

from platform_core.migrations import create_index_concurrently, drop_index_concurrently

revision = "notification_0007"
down_revision = "notification_0006"
# code of the release before only relies on there being one mail, which the wider index says for those without a device
phase = "expand"


def upgrade() -> None:
    drop_index_concurrently("uq_email_logs_event_id")


def downgrade() -> None:
    # of a message to several devices one line stays in the log
    op.execute(
        "DELETE FROM notification.email_logs gone USING notification.email_logs kept WHERE gone.device_id IS NOT NULL"
        " AND kept.event_id = gone.event_id AND kept.kind = gone.kind AND kept.user_id = gone.user_id"
        " AND kept.channel = gone.channel AND kept.id < gone.id"
    )
    create_index_concurrently(
        "uq_email_logs_event_id", "email_logs", ["event_id", "kind", "user_id", "channel"], unique=True
    )
