"""
the ways in the order of their beginning, which nobody goes any more
"""

from platform_core.migrations import create_index_concurrently, drop_index_concurrently

revision = "posts_0004"
down_revision = "posts_0003"
# the release before goes them for each page of a list
phase = "contract"

_PUBLISHED = "published_at IS NOT NULL"


def upgrade() -> None:
    for name in ("ix_posts_author_id", "ix_pages_published", "ix_pages_author_id"):
        drop_index_concurrently(name)


def downgrade() -> None:
    create_index_concurrently("ix_posts_author_id", "posts", ["author_id", "id"], where="deleted_at IS NULL")
    create_index_concurrently("ix_pages_published", "pages", ["id"], where=_PUBLISHED)
    create_index_concurrently("ix_pages_author_id", "pages", ["author_id", "id"], where=_PUBLISHED)
