"""Posts and what is said about them: who may see and change what, and how a post is called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from platform_core.domain import Aggregate, Specification, Where
from platform_core.errors import DomainError, Kind, NotFound
from platform_core.texts import human_name, human_text
from posts.contracts import CommentAdded, PostCreated, PostDeleted, PostPublished, PostState, PostUpdated

WRITE: Final = "posts:write"
"""The permission to look after everybody's posts."""

_SLUG_LENGTH: Final = 80


class PostNotFound(NotFound):
    """There is no such post, or you may not know of it."""


class NotYourPost(DomainError, kind=Kind.FORBIDDEN):
    """Somebody else wrote this post."""


def readable_by(user_id: Any) -> Specification[Post]:
    """Return the rule: everybody reads what is published, and authors their drafts, too."""
    return Where("published_at", "!=", None) | Where("author_id", "==", user_id)


def slug_of(title: str, post_id: UUID) -> str:
    """Make the part of an address that names a post: its title, as far as ASCII goes, and the end of its identity."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain)[:_SLUG_LENGTH].strip("-")
    return f"{words or 'post'}-{post_id.hex[-8:]}"


def tidy_tags(tags: Sequence[str]) -> list[str]:
    """Return tags in lower case, without space around them, each once, in the order given."""
    tidy = (" ".join(tag.lower().split()) for tag in tags)
    return list(dict.fromkeys(tag for tag in tidy if tag))


def _markdown(body: str) -> str:
    """Return what a post says, as it was sent: in Markdown, space at the beginning makes a line code."""
    human_text(body, "body")
    return body


@dataclass(eq=False, kw_only=True)
class Post(Aggregate):
    """
    Something written, first a draft and then, perhaps, published.

    Attributes:
        body: Markdown.
        published_at: None for a draft.
    """

    author_id: UUID
    slug: str
    title: str
    body: str
    tags: list[str] = field(default_factory=list)
    published_at: datetime | None = None

    @classmethod
    def draft(
        cls, post_id: UUID, *, author_id: UUID, title: str, body: str, tags: Sequence[str], now: datetime
    ) -> Post:
        """
        Begin a post that nobody but its author sees.

        Raises:
            InvalidInput: there is nothing to be read in its title or body, or control characters are.
        """
        title = human_name(title, "title")
        post = cls(
            id=post_id,
            author_id=author_id,
            slug=slug_of(title, post_id),
            title=title,
            body=_markdown(body),
            tags=tidy_tags(tags),
            created_at=now,
            updated_at=now,
        )
        post.record(PostCreated(post_id=post_id, version=post.version, state=post._state()))
        return post

    def require_writer(self, user_id: UUID, *, looks_after_all: bool) -> None:
        """
        Insist on somebody who may change it.

        Raises:
            PostNotFound: a draft of somebody else's.
            NotYourPost: everybody may read it, and that is all.
        """
        if looks_after_all or user_id == self.author_id:
            return
        raise NotYourPost if readable_by(user_id).is_satisfied_by(self) else PostNotFound

    def rewrite(self, *, title: str, body: str, tags: Sequence[str], now: datetime) -> None:
        """Say it differently; nothing happens where nothing changes. An address that others may know stays."""
        if title != self.title:  # one from before there was a rule stays as it is, and so does a body
            title = human_name(title, "title")
        tags = tidy_tags(tags)
        if (title, body, tags) == (self.title, self.body, self.tags):
            return
        if body != self.body:
            self.body = _markdown(body)
        self.title, self.tags = title, tags
        if self.published_at is None:
            self.slug = slug_of(title, self.id)
        self.touch(now)
        self.record(PostUpdated(post_id=self.id, version=self.version, state=self._state()))

    def publish(self, now: datetime) -> None:
        """Show it to everybody; what is published already stays as it is."""
        if self.published_at is not None:
            return
        self.published_at = now
        self.touch(now)
        self.record(PostPublished(post_id=self.id, version=self.version, state=self._state()))

    def remove(self, now: datetime) -> None:
        """Delete it."""
        self.delete(now)
        self.record(PostDeleted(post_id=self.id, version=self.version))

    def _state(self) -> PostState:
        return PostState(
            author_id=self.author_id,
            slug=self.slug,
            title=self.title,
            body=self.body,
            tags=list(self.tags),
            published_at=self.published_at,
        )


@dataclass(eq=False, kw_only=True)
class Comment(Aggregate):
    """What somebody said about a post; plain text."""

    post_id: UUID
    author_id: UUID
    body: str

    @classmethod
    def write(cls, comment_id: UUID, *, post_id: UUID, author_id: UUID, body: str, now: datetime) -> Comment:
        """
        Say something.

        Raises:
            InvalidInput: there is nothing to be read, or control characters are.
        """
        comment = cls(
            id=comment_id,
            post_id=post_id,
            author_id=author_id,
            body=human_text(body, "body"),
            created_at=now,
            updated_at=now,
        )
        comment.record(CommentAdded(comment_id=comment_id, post_id=post_id, author_id=author_id))
        return comment
