"""
What posts promise to other modules: views and published events.

Imported through the facade, `from posts import PostPublished`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeAlias
from uuid import UUID

from platform_core.domain import Event

PostId: TypeAlias = UUID
CommentId: TypeAlias = UUID


# ── Views ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorView:
    """
    Who wrote something.

    Attributes:
        username: as it is now; None for an account that is gone.
    """

    id: UUID
    username: str | None
    full_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PostView:
    """
    A post as it is read.

    Attributes:
        slug: for addresses; it follows the title until the post is published, and then stays.
        body_html: made of the Markdown; safe to be shown as it is.
        excerpt: how it begins, plain text.
        published_at: None for a draft.
    """

    id: PostId
    slug: str
    title: str
    body_html: str
    excerpt: str
    tags: list[str]
    author: AuthorView
    comment_count: int
    published_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentView:
    """
    What somebody said about a post.

    Attributes:
        body: plain text.
    """

    id: CommentId
    post_id: PostId
    author: AuthorView
    body: str
    created_at: datetime


# ── Published events ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class PostState:
    """
    All of a post, so that whoever shows posts needs neither the events before nor to ask back.

    Attributes:
        body: Markdown, as it was written.
        published_at: None for a draft.
    """

    author_id: UUID
    slug: str
    title: str
    body: str
    tags: list[str]
    published_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class PostCreated(Event):
    """
    There is a new draft.

    Attributes:
        version: rises with each change of a post; what is shown is never replaced by less.
    """

    wire_name: ClassVar[str] = "posts.post_created"

    post_id: PostId
    version: int
    state: PostState


@dataclass(frozen=True, kw_only=True)
class PostUpdated(Event):
    """A draft or a published post reads differently now."""

    wire_name: ClassVar[str] = "posts.post_updated"

    post_id: PostId
    version: int
    state: PostState


@dataclass(frozen=True, kw_only=True)
class PostPublished(Event):
    """Everybody may read a post from now on."""

    wire_name: ClassVar[str] = "posts.post_published"

    post_id: PostId
    version: int
    state: PostState


@dataclass(frozen=True, kw_only=True)
class PostDeleted(Event):
    """A post is gone."""

    wire_name: ClassVar[str] = "posts.post_deleted"

    post_id: PostId
    version: int


@dataclass(frozen=True, kw_only=True)
class CommentAdded(Event):
    """Somebody said something about a post; what, is not told."""

    wire_name: ClassVar[str] = "posts.comment_added"

    comment_id: CommentId
    post_id: PostId
    author_id: UUID
