"""
devices that messages are pushed to
"""

import sqlalchemy as sa
from alembic import op

revision = "notification_0008"
down_revision = "notification_0007"
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("p256dh", sa.Text(), nullable=False),
        sa.Column("auth", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.CheckConstraint("place >= 0 AND place < 20", name=op.f("ck_devices_place")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        schema="notification",
        comment="Push subscriptions; what is sent to one only the device itself can read.",
    )
    op.create_index(
        "uq_devices_endpoint",
        "devices",
        ["endpoint"],
        unique=True,
        schema="notification",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "uq_devices_user_id",
        "devices",
        ["user_id", "place"],
        unique=True,
        schema="notification",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("devices", schema="notification")
