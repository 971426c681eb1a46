"""
ways to posts by their tags and words as they are written, for who looks after all of them
"""

from platform_core.migrations import create_index_concurrently, drop_index_concurrently

revision = "posts_0002"
down_revision = "posts_0001"
phase = "expand"


def upgrade() -> None:
    create_index_concurrently("ix_posts_tags", "posts", ["tags"], using="gin", where="deleted_at IS NULL")
    create_index_concurrently(
        "ix_posts_words",
        "posts",
        ["to_tsvector('simple'::regconfig, title || ' ' || body)"],
        using="gin",
        where="deleted_at IS NULL",
    )


def downgrade() -> None:
    for name in ("ix_posts_words", "ix_posts_tags"):
        drop_index_concurrently(name)
