"""
The use cases of bookmarks: commands and their handlers, queries, handlers of other modules' events.

A handler's parameters after the first are provided by type. Nothing here commits: the platform does, once, afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Protocol
from uuid import UUID

from annotated_types import Len
from typing_extensions import TypedDict

from bookmarks.contracts import BookmarkId, BookmarkView, SharedBookmarkView
from bookmarks.domain import Bookmark, BookmarkNotFound, WebAddress
from bookmarks.settings import BookmarksSettings
from platform_core.domain import Command, Page, PageRequest, Query, body, new_id
from platform_core.errors import NotFound
from platform_core.ports import Clock
from platform_core.security import Principal
from user_management import UserDeleted, UserDirectory, UserRegistered

Url = Annotated[str, Len(1, 2000)]
Title = Annotated[str, Len(0, 200)]
Note = Annotated[str, Len(0, 2000)]


class BookmarkRepository(Protocol):
    """Bookmarks that are not deleted."""

    def add(self, aggregate: Bookmark) -> None: ...

    async def get(self, identity: BookmarkId) -> Bookmark:
        """Load one; raises `BookmarkNotFound`."""
        ...

    async def find_by_url(self, owner_id: UUID, url: WebAddress) -> Bookmark | None:
        """Load the one with this address."""
        ...

    def remove_all_of(self, owner_id: UUID) -> None:
        """Remove everything that somebody keeps or has deleted, at the commit."""
        ...

    def purge(self, deleted_before: datetime) -> None:
        """Remove for good what was deleted before, at the commit."""
        ...


# ── Commands of people ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class KeepBookmark(Command[BookmarkView]):
    """Keep a link."""

    url: Url
    title: Title | None = None


async def keep_bookmark(
    command: KeepBookmark, bookmarks: BookmarkRepository, principal: Principal, clock: Clock
) -> BookmarkView:
    """Whether the link is kept already is decided by the database at the commit."""
    bookmark = Bookmark.keep(
        bookmark_id=new_id(),
        owner_id=principal.require_user(),
        url=WebAddress.parse(command.url),
        title=command.title,
        now=clock.now(),
    )
    bookmarks.add(bookmark)
    return view(bookmark)


@body
class BookmarkChanges(TypedDict, total=False):
    """What may be changed; what is absent stays, and null empties."""

    title: Title
    note: Note | None


@dataclass(frozen=True, kw_only=True)
class UpdateBookmark(Command[BookmarkView]):
    """Call a link something else, or say more about it."""

    bookmark_id: BookmarkId
    changes: BookmarkChanges


async def update_bookmark(
    command: UpdateBookmark, bookmarks: BookmarkRepository, principal: Principal, clock: Clock
) -> BookmarkView:
    """Raises `BookmarkNotFound` for other people's, too."""
    bookmark, now = await _own(bookmarks, command.bookmark_id, principal), clock.now()
    if "title" in command.changes:
        bookmark.rename(command.changes["title"], now)
    if "note" in command.changes:
        bookmark.annotate(command.changes["note"], now)
    return view(bookmark)


@dataclass(frozen=True, kw_only=True)
class DeleteBookmark(Command[None]):
    """Keep a link no longer."""

    bookmark_id: BookmarkId


async def delete_bookmark(
    command: DeleteBookmark, bookmarks: BookmarkRepository, principal: Principal, clock: Clock
) -> None:
    """Raises `BookmarkNotFound` for other people's, too."""
    bookmark = await _own(bookmarks, command.bookmark_id, principal)
    bookmark.delete(clock.now())


# ── Commands of the platform itself ──────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class EnsureBookmark(Command[bool]):
    """See to it that somebody keeps a link; answers whether it is new. For seeds."""

    owner_id: UUID
    url: Url
    title: Title | None = None


async def ensure_bookmark(command: EnsureBookmark, bookmarks: BookmarkRepository, clock: Clock) -> bool:
    return await _ensure(bookmarks, command.owner_id, command.url, command.title, clock.now())


@dataclass(frozen=True, kw_only=True)
class PurgeBookmarks(Command[None]):
    """Remove for good what was deleted a while ago."""


async def purge_bookmarks(
    command: PurgeBookmarks, bookmarks: BookmarkRepository, settings: BookmarksSettings, clock: Clock
) -> None:
    bookmarks.purge(clock.now() - timedelta(days=settings.keep_deleted_days))


@dataclass(frozen=True, kw_only=True)
class ImportBookmarks(Command[int]):
    """Keep many links for somebody at once; answers how many are new. For the command line."""

    username: Annotated[str, Len(1, 200)]
    urls: Annotated[list[Url], Len(0, 10_000)]


async def import_bookmarks(
    command: ImportBookmarks, bookmarks: BookmarkRepository, directory: UserDirectory, clock: Clock
) -> int:
    """All or nothing: an address that is none stops it, and nothing is kept."""
    username = command.username.lower()
    owner = (await directory.find_by_usernames([username])).get(username)
    if owner is None:
        raise NotFound(f"There is nobody called {command.username}.")
    now = clock.now()
    kept = [await _ensure(bookmarks, owner.id, url, None, now) for url in dict.fromkeys(command.urls)]
    return sum(kept)


# ── Other modules' events ────────────────────────────────────────────────────────────────────────


async def give_first_bookmark(
    event: UserRegistered, bookmarks: BookmarkRepository, settings: BookmarksSettings, clock: Clock
) -> None:
    """Somebody new finds one link there already."""
    await _ensure(bookmarks, event.user_id, settings.welcome_url, "Welcome", clock.now())


async def forget_owner(event: UserDeleted, bookmarks: BookmarkRepository) -> None:
    """What somebody kept goes with their account."""
    bookmarks.remove_all_of(event.user_id)


# ── Queries ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class GetBookmark(Query[BookmarkView]):
    """One of the caller's own bookmarks."""

    bookmark_id: BookmarkId


@dataclass(frozen=True, kw_only=True)
class ListBookmarks(Query[Page[BookmarkView]]):
    """
    The caller's own bookmarks, newest first.

    Attributes:
        q: part of the title or the address, whatever its case.
    """

    page: PageRequest
    q: str | None = None


@dataclass(frozen=True, kw_only=True)
class ListEverybodysBookmarks(Query[Page[SharedBookmarkView]]):
    """All bookmarks of all people, newest first."""

    page: PageRequest


# ── What the handlers share ──────────────────────────────────────────────────────────────────────


def view(bookmark: Bookmark) -> BookmarkView:
    """Show a bookmark as its owner sees it."""
    return BookmarkView(
        id=bookmark.id,
        url=str(bookmark.url),
        title=bookmark.title,
        note=bookmark.note,
        created_at=bookmark.created_at,
        updated_at=bookmark.updated_at,
    )


async def _own(bookmarks: BookmarkRepository, bookmark_id: BookmarkId, principal: Principal) -> Bookmark:
    bookmark = await bookmarks.get(bookmark_id)
    if bookmark.owner_id != principal.require_user():
        raise BookmarkNotFound
    return bookmark


async def _ensure(
    bookmarks: BookmarkRepository, owner_id: UUID, text: str, title: str | None, now: datetime
) -> bool:
    url = WebAddress.parse(text)
    if await bookmarks.find_by_url(owner_id, url) is not None:
        return False
    bookmarks.add(Bookmark.keep(bookmark_id=new_id(), owner_id=owner_id, url=url, title=title, now=now))
    return True
