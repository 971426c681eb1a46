"""What the use cases of posts need, as Protocols."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from posts.contracts import AuthorView
from posts.domain import Comment, Post


@dataclass(frozen=True, slots=True)
class Rendered:
    """
    What Markdown is made into.

    Attributes:
        html: sanitised.
        excerpt: how it begins, plain text.
        text: all of it, plain, for the search.
    """

    html: str
    excerpt: str
    text: str


class Renderer(Protocol):
    """Makes safe HTML of what anybody may write."""

    async def render(self, body: str) -> Rendered:
        """Render Markdown; whatever could run in a reader's browser is left out."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedPost:
    """
    A post for a command, with what its view shows beside it.

    Attributes:
        author: None where no event told what they are called.
    """

    post: Post
    author: AuthorView | None
    comment_count: int


class PostRepository(Protocol):
    """Posts, for commands: the write model."""

    def add(self, aggregate: Post) -> None: ...

    async def open(self, post_id: UUID) -> OpenedPost:
        """
        Load a post.

        Raises:
            PostNotFound: there is none.
        """
        ...

    async def has_title(self, author_id: UUID, title: str) -> bool:
        """Tell whether somebody has written a post of this title."""
        ...


class CommentRepository(Protocol):
    """Comments, for commands."""

    def add(self, aggregate: Comment) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """
    A post as the read model keeps it: everything about it that has to be made beforehand.

    Attributes:
        position: of the event that tells of it; a page never gives way to one of a lower position.
        version: of the post.
    """

    id: UUID
    position: int
    version: int
    author_id: UUID
    slug: str
    title: str
    body_html: str
    excerpt: str
    text: str
    tags: list[str]
    published_at: datetime | None


class Pages(Protocol):
    """The read model, for the handlers that maintain it; whatever is older than what it has is passed over."""

    def show(self, page: Page) -> None:
        """Show a post as it is now."""
        ...

    def remove(self, post_id: UUID, position: int, version: int) -> None:
        """Show a post no longer, whatever is yet to come of what was before."""
        ...


class Copies(Protocol):
    """Copies of pages, which readers are shown for as long as nothing has changed."""

    def outdate(self, post_ids: Iterable[UUID]) -> None:
        """Show what is true from the commit on."""
        ...


class Authors(Protocol):
    """What authors are called, for the handlers that follow it."""

    async def call(self, user_id: UUID, position: int, username: str | None, full_name: str | None) -> None:
        """
        Note what somebody is called as of an event's position.

        Args:
            username: None for somebody who is gone: what they wrote stays, without a name.
        """
        ...
