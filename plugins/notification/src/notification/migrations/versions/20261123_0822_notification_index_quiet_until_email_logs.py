"""
one message per event, kind, user, channel and device; and a way to those that wait
"""

from platform_core.migrations import create_index_concurrently, drop_index_concurrently

revision = "notification_0006"
down_revision = "notification_0005"
phase = "expand"


def upgrade() -> None:
    create_index_concurrently(
        "uq_email_logs_event_id_device_id",
        "email_logs",
        [
            "event_id",
            "kind",
            "user_id",
            "channel",
            "(COALESCE(device_id, '00000000-0000-0000-0000-000000000000'::uuid))",
        ],
        unique=True,
    )
    create_index_concurrently(
        "ix_email_logs_quiet_until", "email_logs", ["quiet_until"], where="quiet_until IS NOT NULL"
    )


def downgrade() -> None:
    drop_index_concurrently("ix_email_logs_quiet_until")
    drop_index_concurrently("uq_email_logs_event_id_device_id")
