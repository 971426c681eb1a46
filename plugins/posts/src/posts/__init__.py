"""
The facade of `posts`: what other modules may import.
"""

from posts.contracts import (
    AuthorView,
    CommentAdded,
    CommentId,
    CommentView,
    PostCreated,
    PostDeleted,
    PostId,
    PostPublished,
    PostState,
    PostUpdated,
    PostView,
)

__all__ = [
    "AuthorView",
    "CommentAdded",
    "CommentId",
    "CommentView",
    "PostCreated",
    "PostDeleted",
    "PostId",
    "PostPublished",
    "PostState",
    "PostUpdated",
    "PostView",
]
