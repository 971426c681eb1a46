"""What bookmarks does with other modules and with the platform: events, seeds, housekeeping."""

from __future__ import annotations

import pytest
from bookmarks import BookmarkKept
from bookmarks.application import EnsureBookmark, ImportBookmarks, ListBookmarks, PurgeBookmarks

from platform_core.declarations import Tier
from platform_core.domain import PageRequest, new_id
from platform_core.security import Principal
from platform_core.testing import RunningPlatform, scenario
from user_management.testing import Account, sign_up

ADA = {"email": "ada@example.com", "username": "ada", "password": "a long enough sentence"}


async def urls(p: RunningPlatform, owner: Account) -> list[str]:
    page = await p.acting_as(Principal(user_id=owner.id)).ask(ListBookmarks(page=PageRequest(limit=200)))
    return [bookmark.url for bookmark in page.items]


async def test_whoever_registers_finds_one_bookmark_there(p: RunningPlatform) -> None:
    def is_the_welcome_page(event: BookmarkKept) -> None:
        assert event.url == "https://example.org/welcome"

    await (
        scenario(p)
        .stimulate(lambda: p.client.post("/api/v1/users/register", json=ADA))
        .wait_for_event(BookmarkKept)
        .verify(is_the_welcome_page)
    )


async def test_an_event_that_comes_twice_gives_one_bookmark(p: RunningPlatform) -> None:
    await p.client.post("/api/v1/users/register", json=ADA)
    await p.deliver()
    [again] = await p.redeliver("bookmarks.first_bookmark")
    assert again.status == "done"
    assert len(await p.events(BookmarkKept)) == 1


async def test_bookmarks_go_with_their_owner(p: RunningPlatform, eve: Account) -> None:
    admin = await sign_up(p, "root", permissions=["*"])
    await eve.client.post("/api/v1/bookmarks", json={"url": "https://example.org/"})
    assert (await admin.client.delete(f"/api/v1/users/{eve.id}")).status_code == 204
    await p.deliver()
    assert await p.sql("SELECT id FROM bookmarks.bookmarks WHERE owner_id = %(id)s", id=eve.id) == []


async def test_nobody_keeps_bookmarks_whom_user_management_does_not_know(p: RunningPlatform) -> None:
    with pytest.raises(Exception, match="fk_bookmarks_owner_id_users"):  # the link in the manifest
        await p.execute(EnsureBookmark(owner_id=new_id(), url="https://example.org/"))


async def test_seeds_may_run_again(p: RunningPlatform) -> None:
    counts = []
    for _ in range(2):
        await p.seed(Tier.TEST)
        [row] = await p.sql("SELECT count(*) AS n FROM bookmarks.bookmarks")
        counts.append(row["n"])
    assert counts == [33, 33]


async def test_an_import_skips_what_is_kept_already(p: RunningPlatform, eve: Account) -> None:
    command = ImportBookmarks(
        username="Eve", urls=["https://a.example", "https://b.example", "https://a.example"]
    )
    assert [await p.execute(command), await p.execute(command)] == [2, 0]
    assert sorted(await urls(p, eve)) == ["https://a.example", "https://b.example"]


async def test_what_was_deleted_a_while_ago_is_removed_for_good(p: RunningPlatform, eve: Account) -> None:
    kept = (await eve.client.post("/api/v1/bookmarks", json={"url": "https://example.org/"})).json()
    await eve.client.delete(f"/api/v1/bookmarks/{kept['id']}")

    async def remaining() -> int:
        return len(await p.sql("SELECT id FROM bookmarks.bookmarks"))

    await p.execute(PurgeBookmarks())
    assert await remaining() == 1
    p.clock.advance(days=31)
    await p.execute(PurgeBookmarks())
    assert await remaining() == 0
