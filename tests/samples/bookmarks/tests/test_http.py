"""Bookmarks as clients see them."""

from __future__ import annotations

from typing import Any

from platform_core.testing import RunningPlatform
from user_management.testing import Account, sign_up

PATH = "/api/v1/bookmarks"


async def keep(owner: Account, url: str = "https://example.org/page", **more: Any) -> dict[str, Any]:
    answer = await owner.client.post(PATH, json={"url": url, **more})
    assert answer.status_code == 201, answer.text
    bookmark: dict[str, Any] = answer.json()
    return bookmark


async def test_what_is_kept_can_be_read(eve: Account) -> None:
    kept = await keep(eve, title="A page")
    assert (await eve.client.get(f"{PATH}/{kept['id']}")).json() == kept
    assert (kept["url"], kept["title"], kept["note"]) == ("https://example.org/page", "A page", None)


async def test_a_visitor_needs_a_token(p: RunningPlatform) -> None:
    assert (await p.client.get(PATH)).status_code == 401


async def test_a_link_is_kept_once_and_may_come_back_after_it_was_deleted(eve: Account) -> None:
    kept = await keep(eve)
    again = await eve.client.post(PATH, json={"url": kept["url"]})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/already-kept")
    assert (await eve.client.delete(f"{PATH}/{kept['id']}")).status_code == 204
    assert (await keep(eve))["id"] != kept["id"]


async def test_nobody_learns_of_other_peoples_bookmarks(p: RunningPlatform, eve: Account) -> None:
    kept, ben = await keep(eve), await sign_up(p, "ben")
    answers = [
        await ben.client.get(f"{PATH}/{kept['id']}"),
        await ben.client.patch(f"{PATH}/{kept['id']}", json={"title": "Mine"}),
        await ben.client.patch(f"{PATH}/{kept['id']}", json={"unknown": 1}),
        await ben.client.delete(f"{PATH}/{kept['id']}"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert (await ben.client.get(PATH)).json()["items"] == []


async def test_a_patch_changes_what_it_names_and_null_empties(eve: Account) -> None:
    kept = await keep(eve, title="A page")
    changed = (await eve.client.patch(f"{PATH}/{kept['id']}", json={"note": "Read this"})).json()
    assert (changed["title"], changed["note"]) == ("A page", "Read this")
    emptied = (await eve.client.patch(f"{PATH}/{kept['id']}", json={"note": None, "title": "Page"})).json()
    assert (emptied["title"], emptied["note"]) == ("Page", None)


async def test_a_change_that_rests_on_an_old_version_is_refused(eve: Account) -> None:
    kept = await keep(eve)
    tag = (await eve.client.get(f"{PATH}/{kept['id']}")).headers["ETag"]
    await eve.client.patch(f"{PATH}/{kept['id']}", json={"title": "First"})
    late = await eve.client.patch(f"{PATH}/{kept['id']}", json={"title": "Late"}, headers={"If-Match": tag})
    assert late.status_code == 412


async def test_a_list_comes_in_pages_and_can_be_searched(eve: Account) -> None:
    for number in range(5):
        await keep(eve, f"https://example.org/{number}", title=f"Page {number}")
    first = (await eve.client.get(PATH, params={"limit": 3})).json()
    rest = (await eve.client.get(PATH, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["title"] for item in first["items"] + rest["items"]] == [
        f"Page {n}" for n in (4, 3, 2, 1, 0)
    ]
    assert rest["next_cursor"] is None
    found = (await eve.client.get(PATH, params={"q": "PAGE 3"})).json()
    assert [item["title"] for item in found["items"]] == ["Page 3"]


async def test_a_list_is_one_statement(p: RunningPlatform, eve: Account) -> None:
    await keep(eve)
    with p.count_statements() as traffic:
        await eve.client.get(PATH)
    assert [statement.module for statement in traffic.statements].count("bookmarks") == 1, traffic


async def test_everybodys_bookmarks_are_for_those_who_may_see_them(p: RunningPlatform, eve: Account) -> None:
    await keep(eve)
    assert (await eve.client.get(f"{PATH}/everybody")).status_code == 403
    curator = await sign_up(p, "curator", permissions=["bookmarks:read"])
    items = (await curator.client.get(f"{PATH}/everybody")).json()["items"]
    assert [(item["owner"], item["url"]) for item in items] == [("eve", "https://example.org/page")]
