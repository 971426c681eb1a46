"""
messages to one of several devices, and messages that wait for the end of quiet hours
"""

import sqlalchemy as sa
from alembic import op

revision = "notification_0005"
down_revision = "notification_0004"
phase = "expand"


def upgrade() -> None:
    op.add_column("email_logs", sa.Column("device_id", sa.Uuid(), nullable=True), schema="notification")
    op.add_column(
        "email_logs",
        sa.Column("quiet_until", sa.DateTime(timezone=True), nullable=True),
        schema="notification",
    )
    op.add_column("email_logs", sa.Column("digest_id", sa.Uuid(), nullable=True), schema="notification")


def downgrade() -> None:
    op.drop_column("email_logs", "digest_id", schema="notification")
    op.drop_column("email_logs", "quiet_until", schema="notification")
    op.drop_column("email_logs", "device_id", schema="notification")
