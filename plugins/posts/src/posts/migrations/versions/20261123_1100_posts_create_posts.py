"""
create posts, comments, and the read model made of their events
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "posts_0001"
down_revision = None
phase = "expand"

_THERE = sa.text("deleted_at IS NULL")
_PUBLISHED = sa.text("published_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "posts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_posts")),
        schema="posts",
        comment="Posts as they are written, in Markdown; commands look here.",
    )
    op.create_index("uq_posts_slug", "posts", ["slug"], unique=True, schema="posts")
    op.create_index(
        "ix_posts_author_id",
        "posts",
        ["author_id", "id"],
        unique=False,
        schema="posts",
        postgresql_where=_THERE,
    )
    op.create_table(
        "comments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("post_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["post_id"], ["posts.posts.id"], name=op.f("fk_comments_post_id_posts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comments")),
        schema="posts",
        comment="What was said about posts.",
    )
    op.create_index(
        "ix_comments_post_id",
        "comments",
        ["post_id", "id"],
        unique=False,
        schema="posts",
        postgresql_where=_THERE,
    )
    op.create_table(
        "pages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=True),
        sa.Column("slug", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("body_html", sa.Text(), nullable=True),
        sa.Column("excerpt", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("search", postgresql.TSVECTOR(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pages")),
        schema="posts",
        comment="The read model: posts as of the event at `position`; of a deleted one nothing but that is left.",
    )
    op.create_index(
        "ix_pages_published", "pages", ["id"], unique=False, schema="posts", postgresql_where=_PUBLISHED
    )
    op.create_index(
        "ix_pages_author_id",
        "pages",
        ["author_id", "id"],
        unique=False,
        schema="posts",
        postgresql_where=_PUBLISHED,
    )
    op.create_index("ix_pages_tags", "pages", ["tags"], unique=False, schema="posts", postgresql_using="gin")
    op.create_index(
        "ix_pages_search", "pages", ["search"], unique=False, schema="posts", postgresql_using="gin"
    )
    op.create_table(
        "authors",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("full_name", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_authors")),
        schema="posts",
        comment="The read model: what people are called as of the event at `position`; no username: they are gone.",
    )


def downgrade() -> None:
    for table in ("authors", "pages", "comments", "posts"):
        op.drop_table(table, schema="posts")
