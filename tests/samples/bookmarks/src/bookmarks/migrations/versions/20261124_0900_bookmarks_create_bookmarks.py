"""
create bookmarks
"""

import sqlalchemy as sa
from alembic import op

revision = "bookmarks_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "bookmarks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_bookmarks"),
        schema="bookmarks",
        comment="Links that people keep; a deleted one may be kept again.",
    )
    op.create_index(
        "uq_bookmarks_owner_id_url",
        "bookmarks",
        ["owner_id", "url"],
        unique=True,
        schema="bookmarks",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("ix_bookmarks_owner_id", "bookmarks", ["owner_id", "id"], schema="bookmarks")
    op.create_index(
        "ix_bookmarks_deleted_at",
        "bookmarks",
        ["deleted_at"],
        schema="bookmarks",
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("bookmarks", schema="bookmarks")
