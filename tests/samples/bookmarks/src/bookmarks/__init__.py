"""The facade of bookmarks: what other modules may import, and nothing else."""

from bookmarks.contracts import BookmarkId, BookmarkKept, BookmarkView, SharedBookmarkView

__all__ = ["BookmarkId", "BookmarkKept", "BookmarkView", "SharedBookmarkView"]
