"""
find sagas that ended long ago
"""

from platform_core.migrations import create_index_concurrently, drop_index_concurrently

revision = "platform_0006"
down_revision = "platform_0005"
phase = "expand"


def upgrade() -> None:
    create_index_concurrently(
        "ix_sagas_finished_at", "sagas", ["finished_at"], where="status IN ('completed', 'compensated')"
    )


def downgrade() -> None:
    drop_index_concurrently("ix_sagas_finished_at")
