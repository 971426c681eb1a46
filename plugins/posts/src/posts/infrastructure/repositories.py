"""The write model, for commands."""

from __future__ import annotations

from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select

from platform_core.db import AggregateMap, Repository
from posts.application.ports import OpenedPost
from posts.contracts import AuthorView
from posts.domain import Comment, Post, PostNotFound
from posts.infrastructure.tables import COMMENTS, POSTS, authors, comments, posts

COMMENT_COUNT: Final = (
    select(func.count())
    .where(comments.c.post_id == bindparam("post", type_=Uuid), comments.c.deleted_at.is_(None))
    .scalar_subquery()
)


class SqlPostRepository(Repository[Post]):
    """Posts that are not deleted."""

    mapping: ClassVar[AggregateMap[Any]] = POSTS
    missing = PostNotFound

    _OPEN: ClassVar = (
        POSTS.select()
        .add_columns(
            authors.c.user_id.label("known_author"),
            authors.c.username,
            authors.c.full_name,
            COMMENT_COUNT.label("comment_count"),
        )
        .select_from(posts.outerjoin(authors, authors.c.user_id == posts.c.author_id))
        .where(posts.c.id == bindparam("post", type_=Uuid), posts.c.deleted_at.is_(None))
    )
    _TITLED: ClassVar = select(posts.c.id).where(
        posts.c.author_id == bindparam("author"),
        posts.c.title == bindparam("title"),
        posts.c.deleted_at.is_(None),
    )

    async def open(self, post_id: UUID) -> OpenedPost:
        row = await self.uow.fetch_one(self._OPEN, {"post": post_id})
        if row is None:
            raise PostNotFound
        author = None
        if row["known_author"] is not None:
            author = AuthorView(id=row["author_id"], username=row["username"], full_name=row["full_name"])
        return OpenedPost(self._remember(row), author, row["comment_count"])

    async def has_title(self, author_id: UUID, title: str) -> bool:
        return await self.uow.fetch_one(self._TITLED, {"author": author_id, "title": title}) is not None


class SqlCommentRepository(Repository[Comment]):
    """Comments."""

    mapping: ClassVar[AggregateMap[Any]] = COMMENTS
