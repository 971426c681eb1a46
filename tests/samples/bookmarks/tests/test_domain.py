"""Rules that hold without a computer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bookmarks import BookmarkKept
from bookmarks.domain import Bookmark, WebAddress

from platform_core.domain import new_id
from platform_core.errors import InvalidInput

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def kept(title: str | None = None) -> Bookmark:
    return Bookmark.keep(
        bookmark_id=new_id(),
        owner_id=new_id(),
        url=WebAddress.parse("https://example.org/page"),
        title=title,
        now=NOON,
    )


@pytest.mark.parametrize(
    "text",
    ["", "example.org", "ftp://example.org", "https://", "https://[::1", "https://a b.org", "javascript:1"],
)
def test_what_no_browser_can_open_is_no_address(text: str) -> None:
    with pytest.raises(InvalidInput):
        WebAddress.parse(text)


def test_spaces_around_an_address_do_not_matter() -> None:
    assert WebAddress.parse(" https://example.org/ ") == WebAddress.parse("https://example.org/")


@pytest.mark.parametrize("title", [None, "", "  "])
def test_a_bookmark_without_a_title_is_called_like_its_host(title: str | None) -> None:
    assert kept(title).title == "example.org"


def test_keeping_a_link_is_an_event() -> None:
    bookmark = kept()
    assert bookmark.release_events() == [
        BookmarkKept(bookmark_id=bookmark.id, owner_id=bookmark.owner_id, url="https://example.org/page")
    ]


def test_an_emptied_note_is_none() -> None:
    bookmark = kept()
    bookmark.annotate("read this", NOON)
    bookmark.annotate("   ", NOON)
    assert bookmark.note is None
