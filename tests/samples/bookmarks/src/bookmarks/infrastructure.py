"""Bookmarks in PostgreSQL: the table, how the aggregate lies in it, and the read side."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import Column, Index, Table, Text, Uuid, bindparam, delete, or_, select, text

from bookmarks.application import GetBookmark, ListBookmarks, ListEverybodysBookmarks
from bookmarks.contracts import BookmarkView, SharedBookmarkView
from bookmarks.domain import AlreadyKept, Bookmark, BookmarkNotFound, WebAddress
from platform_core.db import AggregateMap, Reads, Repository, aggregate_columns, module_metadata
from platform_core.domain import Page
from platform_core.security import Principal
from user_management import UserDirectory

METADATA: Final = module_metadata("bookmarks")

bookmarks = Table(
    "bookmarks",
    METADATA,
    *aggregate_columns(),
    Column("owner_id", Uuid, nullable=False),
    Column("url", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("note", Text),
    comment="Links that people keep; a deleted one may be kept again.",
)
Index(
    "uq_bookmarks_owner_id_url",
    bookmarks.c.owner_id,
    bookmarks.c.url,
    unique=True,
    postgresql_where=text("deleted_at IS NULL"),
)
# the list of one owner, newest first; and what the link to users looks up when somebody goes
Index("ix_bookmarks_owner_id", bookmarks.c.owner_id, bookmarks.c.id)
Index("ix_bookmarks_deleted_at", bookmarks.c.deleted_at, postgresql_where=text("deleted_at IS NOT NULL"))

BOOKMARKS: Final = AggregateMap(
    Bookmark,
    bookmarks,
    name="bookmarks.bookmark",
    convert={"url": (str, WebAddress)},
    constraints={"uq_bookmarks_owner_id_url": AlreadyKept},
)


class SqlBookmarkRepository(Repository[Bookmark]):
    """Bookmarks that are not deleted."""

    mapping: ClassVar[AggregateMap[Bookmark]] = BOOKMARKS
    missing = BookmarkNotFound

    async def find_by_url(self, owner_id: UUID, url: WebAddress) -> Bookmark | None:
        return await self.find(bookmarks.c.owner_id == owner_id, bookmarks.c.url == str(url))

    def remove_all_of(self, owner_id: UUID) -> None:
        self.uow.write(delete(bookmarks).where(bookmarks.c.owner_id == owner_id))

    def purge(self, deleted_before: datetime) -> None:
        self.uow.write(delete(bookmarks).where(bookmarks.c.deleted_at < deleted_before))


# ── The read side: one statement, rows straight to views ─────────────────────────────────────────

_OWN: Final = (
    bookmarks.c.id,
    bookmarks.c.url,
    bookmarks.c.title,
    bookmarks.c.note,
    bookmarks.c.created_at,
    bookmarks.c.updated_at,
)


# made once, at import: putting a statement together takes longer than PostgreSQL needs to answer it
_KEPT: Final = bookmarks.c.deleted_at.is_(None)
_MINE: Final = select(*_OWN).where(bookmarks.c.owner_id == bindparam("owner"), _KEPT)
_ONE_OF_MINE: Final = _MINE.where(bookmarks.c.id == bindparam("id"))
_EVERYBODYS: Final = select(*_OWN, bookmarks.c.owner_id).where(_KEPT)
_ANY: Final = select(bookmarks.c.id).limit(1)


async def get_bookmark(query: GetBookmark, reads: Reads, principal: Principal) -> BookmarkView:
    row = await reads.one(_ONE_OF_MINE, {"owner": principal.user_id, "id": query.bookmark_id})
    if row is None:
        raise BookmarkNotFound
    return _view(row)


async def list_bookmarks(query: ListBookmarks, reads: Reads, principal: Principal) -> Page[BookmarkView]:
    statement = _MINE
    if query.q:  # what is searched for is part of the statement, so this one is made for each search
        columns = (bookmarks.c.title, bookmarks.c.url)
        statement = statement.where(or_(*(column.icontains(query.q, autoescape=True) for column in columns)))
    owner = {"owner": principal.user_id}
    return await reads.page(statement, query.page, _view, order=(bookmarks.c.id,), values=owner)


async def list_everybodys_bookmarks(
    query: ListEverybodysBookmarks, reads: Reads, directory: UserDirectory
) -> Page[SharedBookmarkView]:
    """Owners are another module's business, so it is asked: once for the whole page."""
    found = await reads.page(_EVERYBODYS, query.page, lambda row: row, order=(bookmarks.c.id,))
    owners = await directory.get_many({row["owner_id"] for row in found.items})

    def view(row: Mapping[str, Any]) -> SharedBookmarkView:
        owner = owners.get(row["owner_id"])
        return SharedBookmarkView(
            id=row["id"],
            url=row["url"],
            title=row["title"],
            owner=owner.username if owner else None,
            created_at=row["created_at"],
        )

    return Page([view(row) for row in found.items], found.next_cursor)


async def check_table(reads: Reads) -> None:
    """Answer the line `bookmarks` of /health/ready: raises when the table cannot be read."""
    await reads.one(_ANY)


def _view(row: Mapping[str, Any]) -> BookmarkView:
    return BookmarkView(**row)
