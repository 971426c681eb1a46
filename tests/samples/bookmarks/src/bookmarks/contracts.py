"""What bookmarks promises to other modules: an identifier, a view, an event. Imported through the facade."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeAlias
from uuid import UUID

from platform_core.domain import Event

BookmarkId: TypeAlias = UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class BookmarkView:
    """A bookmark as its owner sees it."""

    id: BookmarkId
    url: str
    title: str
    note: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBookmarkView:
    """
    A bookmark as somebody sees it who may see everybody's.

    Attributes:
        owner: the username; None while user management does not know them.
    """

    id: BookmarkId
    url: str
    title: str
    owner: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class BookmarkKept(Event):
    """Somebody keeps a link from now on."""

    wire_name: ClassVar[str] = "bookmarks.bookmark_kept"

    bookmark_id: BookmarkId
    owner_id: UUID
    url: str
