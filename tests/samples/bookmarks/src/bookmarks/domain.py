"""Bookmarks and their rules; standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from bookmarks.contracts import BookmarkKept
from platform_core.domain import Aggregate
from platform_core.errors import DomainError, InvalidInput, Kind, NotFound


class BookmarkNotFound(NotFound):
    """There is no such bookmark, or it is not yours."""


class AlreadyKept(DomainError, kind=Kind.CONFLICT):
    """You keep this link already."""


@dataclass(frozen=True)
class WebAddress:
    """An address that a browser can open: http or https, with a host."""

    text: str

    @classmethod
    def parse(cls, text: str) -> WebAddress:
        """
        Check an address as somebody typed it.

        Raises:
            InvalidInput: it is none.
        """
        stripped = text.strip()
        try:
            parts = urlsplit(stripped)
            is_usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:  # such as an IPv6 address without its second bracket
            is_usable = False
        if not is_usable or " " in stripped:
            raise InvalidInput.of("url", "is no address such as https://example.org/page", "invalid_url")
        return cls(stripped)

    @property
    def host(self) -> str:
        return urlsplit(self.text).hostname or ""

    def __str__(self) -> str:
        return self.text


@dataclass(eq=False, kw_only=True)
class Bookmark(Aggregate):
    """
    A link that one person keeps.

    Attributes:
        url: one person keeps each address once.
    """

    owner_id: UUID
    url: WebAddress
    title: str
    note: str | None = None

    @classmethod
    def keep(
        cls, *, bookmark_id: UUID, owner_id: UUID, url: WebAddress, title: str | None, now: datetime
    ) -> Bookmark:
        """
        Keep a link.

        Args:
            title: the address's host when not given, or blank.
        """
        bookmark = cls(
            id=bookmark_id,
            created_at=now,
            updated_at=now,
            owner_id=owner_id,
            url=url,
            title=(title or "").strip() or url.host,
        )
        bookmark.record(BookmarkKept(bookmark_id=bookmark_id, owner_id=owner_id, url=str(url)))
        return bookmark

    def rename(self, title: str, now: datetime) -> None:
        self.title = title.strip() or self.url.host
        self.touch(now)

    def annotate(self, note: str | None, now: datetime) -> None:
        self.note = (note or "").strip() or None
        self.touch(now)
