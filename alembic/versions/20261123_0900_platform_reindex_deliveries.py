"""
find what is due by handler: a claim asks each handler for as many as it has room for, and gives nothing back
"""

from platform_core.migrations import create_index_concurrently, drop_index_concurrently

revision = "platform_0003"
down_revision = "platform_0002"
phase = "expand"

_PENDING = "status = 'pending'"


def upgrade() -> None:
    create_index_concurrently(
        "ix_deliveries_ready", "deliveries", ["handler", "available_at"], where=_PENDING
    )
    drop_index_concurrently("ix_deliveries_due")


def downgrade() -> None:
    create_index_concurrently("ix_deliveries_due", "deliveries", ["available_at"], where=_PENDING)
    drop_index_concurrently("ix_deliveries_ready")
