"""
administrators' own wording of notifications
"""

import sqlalchemy as sa
from alembic import op

revision = "notification_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "templates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_templates")),
        schema="notification",
        comment="Administrators' own wording; the built-in one is code.",
    )
    op.create_index(
        "uq_templates_kind",
        "templates",
        ["kind", "channel", "locale"],
        unique=True,
        schema="notification",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("templates", schema="notification")
