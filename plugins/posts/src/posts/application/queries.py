"""What can be asked about posts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from annotated_types import Len

from platform_core.domain import Page, PageRequest, Query
from posts.contracts import CommentView, PostId, PostView


@dataclass(frozen=True, kw_only=True)
class GetPost(Query[PostView]):
    """One post; a draft only for those who may change it."""

    post_id: PostId


@dataclass(frozen=True, kw_only=True)
class ListPosts(Query[Page[PostView]]):
    """
    Posts that the caller may read, those published last first; a draft stands where it was begun.

    Attributes:
        q: words, "phrases in quotes", -without.
    """

    page: PageRequest
    tag: Annotated[str, Len(1, 50)] | None = None
    author_id: UUID | None = None
    q: Annotated[str, Len(1, 200)] | None = None


@dataclass(frozen=True, kw_only=True)
class MayRead(Query[None]):
    """Raise `PostNotFound` unless the caller may read a post."""

    post_id: PostId


@dataclass(frozen=True, kw_only=True)
class MayChange(Query[None]):
    """Raise `PostNotFound` or `NotYourPost` unless the caller may change a post."""

    post_id: PostId


@dataclass(frozen=True, kw_only=True)
class ListComments(Query[Page[CommentView]]):
    """What was said about a post, the newest first."""

    post_id: PostId
    page: PageRequest
