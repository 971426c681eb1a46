"""
ways to posts in the order of their publication, drafts in that of their beginning
"""

from platform_core.migrations import create_index_concurrently, drop_index_concurrently

revision = "posts_0003"
down_revision = "posts_0002"
phase = "expand"

_THERE = "deleted_at IS NULL"
_PUBLISHED = "published_at IS NOT NULL"
_LISTED_AT = "(COALESCE(published_at, created_at))"


def upgrade() -> None:
    create_index_concurrently("ix_posts_listed", "posts", [_LISTED_AT, "id"], where=_THERE)
    create_index_concurrently(
        "ix_posts_author_listed", "posts", ["author_id", _LISTED_AT, "id"], where=_THERE
    )
    create_index_concurrently("ix_pages_published_at", "pages", ["published_at", "id"], where=_PUBLISHED)
    create_index_concurrently(
        "ix_pages_author_published_at", "pages", ["author_id", "published_at", "id"], where=_PUBLISHED
    )


def downgrade() -> None:
    for name in (
        "ix_pages_author_published_at",
        "ix_pages_published_at",
        "ix_posts_author_listed",
        "ix_posts_listed",
    ):
        drop_index_concurrently(name)
