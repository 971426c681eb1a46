"""
ways to the devices of whoever is forgotten, and to those that were given up
"""

from platform_core.migrations import create_index_concurrently, drop_index_concurrently

revision = "notification_0010"
down_revision = "notification_0009"
phase = "expand"


def upgrade() -> None:
    create_index_concurrently("ix_devices_user_id", "devices", ["user_id"])
    create_index_concurrently(
        "ix_devices_deleted_at", "devices", ["deleted_at"], where="deleted_at IS NOT NULL"
    )


def downgrade() -> None:
    drop_index_concurrently("ix_devices_deleted_at")
    drop_index_concurrently("ix_devices_user_id")
