"""Posts over HTTP: written, published, read, found, and hidden from whom they are not for."""

from __future__ import annotations

from typing import Any

import pytest

from platform_core.declarations import Tier
from platform_core.domain import new_id
from platform_core.testing import PlatformFactory, RunningPlatform
from posts.testing import add_comment, make_post
from user_management.testing import Account, sign_up

API = "/api/v1"
SHOWN = {
    "id",
    "slug",
    "title",
    "body_html",
    "excerpt",
    "tags",
    "author",
    "comment_count",
    "published_at",
}


async def read(account: Account, post: dict[str, Any]) -> dict[str, Any]:
    answer = await account.client.get(f"{API}/posts/{post['id']}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def listed(account: Account, **asked: str) -> list[str]:
    answer = await account.client.get(f"{API}/posts", params=asked)
    assert answer.status_code == 200, answer.text
    return [post["title"] for post in answer.json()["items"]]


async def test_a_post_is_written_published_read_and_found(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    body = "How *not* to get lost.\n\n<script>alert(1)</script>"
    made = await eve.client.post(
        f"{API}/posts", json={"title": "Reading maps", "body": body, "tags": ["Maps ", "maps", "Hiking"]}
    )
    assert made.status_code == 201, made.text
    draft = made.json()
    assert draft.keys() == SHOWN
    assert (draft["published_at"], draft["tags"]) == (None, ["maps", "hiking"])
    assert draft["author"] == {"id": str(eve.id), "username": "eve", "full_name": None}
    published = await eve.client.post(f"{API}/posts/{draft['id']}/publish")
    assert published.status_code == 200
    await p.deliver()
    post = await read(ben, draft)
    assert post == published.json() == await read(eve, draft)
    assert post["published_at"] is not None
    assert "<em>not</em>" in post["body_html"]
    assert "<script" not in post["body_html"]
    assert post["excerpt"].startswith("How not to get lost.")
    assert post["slug"].startswith("reading-maps-")


async def test_a_draft_is_nothing_to_others_and_everything_to_its_author_and_to_who_looks_after_all(
    p: RunningPlatform, eve: Account, ben: Account, editor: Account
) -> None:
    draft = await make_post(eve.client, publish=False)
    await p.deliver()
    one = f"{API}/posts/{draft['id']}"
    for method, path, content in (
        ("GET", one, None),
        ("GET", f"{one}/comments", None),
        ("POST", f"{one}/comments", {"body": "x"}),
        ("POST", f"{one}/comments", {"no": "body"}),
        ("PATCH", one, {"title": "Mine now"}),
        ("PATCH", one, {"no": "title"}),
        ("POST", f"{one}/publish", None),
        ("DELETE", one, None),
    ):
        answer = await ben.client.request(method, path, json=content)
        assert answer.status_code == 404, (method, path, answer.text)
    assert await listed(ben) == []
    for account in (eve, editor):
        assert (await read(account, draft))["title"] == draft["title"]
        assert await listed(account) == [draft["title"]]


async def test_a_published_post_is_changed_by_its_author_and_who_looks_after_all_only(
    p: RunningPlatform, eve: Account, ben: Account, editor: Account
) -> None:
    post = await make_post(eve.client)
    one = f"{API}/posts/{post['id']}"
    for method, path in (("PATCH", one), ("DELETE", one), ("POST", f"{one}/publish")):
        answer = await ben.client.request(method, path, json={"title": "Mine now"})
        assert answer.status_code == 403, (method, answer.text)
    assert (await ben.client.patch(one, json={"nonsense": 1})).status_code == 403
    changed = await editor.client.patch(one, json={"title": "Reading old maps"})
    assert (changed.status_code, changed.json()["slug"]) == (200, post["slug"])
    assert await read(editor, post) == changed.json()
    assert (await editor.client.delete(one)).status_code == 204
    for account in (eve, editor):
        assert (await account.client.get(one)).status_code == 404
    await p.deliver()
    assert (await ben.client.get(one)).status_code == 404
    assert await listed(ben) == []


async def test_the_author_sees_each_change_at_once_and_others_when_the_handlers_have_seen_it(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    post = await make_post(eve.client, "First")
    await p.deliver()
    answer = await eve.client.patch(f"{API}/posts/{post['id']}", json={"title": "Second", "body": "*new*"})
    assert await read(eve, post) == answer.json()
    assert await listed(eve) == await listed(eve, q="second") == await listed(eve, q="new") == ["Second"]
    assert (await read(ben, post))["title"] == "First"
    assert (await listed(ben), await listed(ben, q="second")) == (["First"], [])
    await p.deliver()
    assert await read(ben, post) == answer.json()
    assert await listed(ben, q="second") == ["Second"]


async def test_lists_are_narrowed_by_tag_author_and_words(
    p: RunningPlatform, eve: Account, ben: Account, editor: Account
) -> None:
    await make_post(eve.client, "Maps", "Contours and scales.", tags=["hiking"])
    await make_post(eve.client, "Bread", "Flour, water and `salt`.", tags=["baking", "home"])
    await make_post(ben.client, "Clocks", "Small wheels and scales of brass.", tags=["home"])
    await p.deliver()
    for account in (eve, ben, editor, await sign_up(p, "guest")):
        assert await listed(account) == ["Clocks", "Bread", "Maps"]
        assert await listed(account, tag="Home") == ["Clocks", "Bread"]
        assert await listed(account, author_id=str(eve.id)) == ["Bread", "Maps"]
        assert await listed(account, q="scales -brass") == ["Maps"]
        assert await listed(account, q='"small wheels"') == ["Clocks"]
        assert await listed(account, q="salt", tag="home", author_id=str(eve.id)) == ["Bread"]
        assert await listed(account, tag="home", author_id=str(new_id())) == []


async def test_pages_of_a_list_go_on_where_the_one_before_ended(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    for number in range(5):
        await make_post((eve, ben)[number % 2].client, f"Number {number}")
    await p.deliver()
    first = (await eve.client.get(f"{API}/posts?limit=3")).json()
    second = (await eve.client.get(f"{API}/posts?limit=3&cursor={first['next_cursor']}")).json()
    titles = [post["title"] for post in (*first["items"], *second["items"])]
    assert titles == [f"Number {number}" for number in (4, 3, 2, 1, 0)]
    assert second["next_cursor"] is None


async def test_a_list_begins_with_what_was_published_last_and_drafts_stand_where_they_were_begun(
    p: RunningPlatform, eve: Account, ben: Account, editor: Account
) -> None:
    late = await make_post(eve.client, "Begun first", publish=False)
    for author, title, publish in (
        (eve, "Begun second", True),
        (eve, "A draft", False),
        (ben, "Begun last", True),
    ):
        p.clock.advance(60)
        await make_post(author.client, title, publish=publish)
    p.clock.advance(60)
    await eve.client.post(f"{API}/posts/{late['id']}/publish")
    await p.deliver()
    assert await listed(ben) == ["Begun first", "Begun last", "Begun second"]
    for account in (eve, editor):
        assert await listed(account) == ["Begun first", "Begun last", "A draft", "Begun second"]
        first = (await account.client.get(f"{API}/posts?limit=2")).json()
        second = (await account.client.get(f"{API}/posts?limit=2&cursor={first['next_cursor']}")).json()
        assert [post["title"] for post in second["items"]] == ["A draft", "Begun second"]


async def test_comments_are_counted_and_listed_at_once(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    post = await make_post(eve.client)
    await p.deliver()
    said = await add_comment(ben.client, post, "<b>Well</b> said.")
    assert said["author"] == {"id": str(ben.id), "username": "ben", "full_name": None}
    await add_comment(eve.client, post, "Thank you.")
    silence = await eve.client.post(f"{API}/posts/{post['id']}/comments", json={"body": "\u200b"})
    assert (silence.status_code, silence.json()["errors"][0]["pointer"]) == (422, "/body/body")
    for account in (eve, ben):
        items = (await account.client.get(f"{API}/posts/{post['id']}/comments")).json()["items"]
        assert [comment["body"] for comment in items] == ["Thank you.", "<b>Well</b> said."]
        assert items[1] == said
        assert (await read(account, post))["comment_count"] == 2


async def test_an_author_is_called_as_they_want_to_be_and_nothing_when_they_are_gone(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    admin = await sign_up(p, "admin", permissions=["*"])
    post = await make_post(eve.client)
    await p.deliver()
    await eve.client.patch(f"{API}/users/me", json={"username": "evelyn", "full_name": "Eve Lyn"})
    await p.deliver()
    assert (await read(ben, post))["author"] == {
        "id": str(eve.id),
        "username": "evelyn",
        "full_name": "Eve Lyn",
    }
    assert (await admin.client.delete(f"{API}/users/{eve.id}")).status_code == 204
    await p.deliver()
    assert (await read(ben, post))["author"] == {"id": str(eve.id), "username": None, "full_name": None}


async def statements(p: RunningPlatform, account: Account, path: str) -> list[str]:
    with p.count_statements() as traffic:
        assert (await account.client.get(path)).status_code == 200
    return [s.module for s in traffic.statements if s.module != "user_management"]


async def test_reading_is_one_statement_and_none_where_there_is_a_copy(
    p: RunningPlatform, eve: Account, ben: Account, editor: Account
) -> None:
    post = await make_post(eve.client)
    await add_comment(ben.client, post)
    await p.deliver()
    await p.sql(
        "INSERT INTO posts.authors SELECT id, 1, username, full_name FROM user_management.users"
        " ON CONFLICT DO NOTHING"
    )
    one = f"{API}/posts/{post['id']}"
    for account in (eve, ben, editor):
        for path in (f"{API}/posts", f"{API}/posts?tag=a&q=b", f"{one}/comments", one):
            assert await statements(p, account, path) == ["posts"], path
    assert await statements(p, ben, one) == []
    assert await statements(p, eve, one) == ["posts"]


async def test_a_copy_is_shown_until_something_changes_and_not_a_moment_longer(
    p: RunningPlatform, eve: Account, ben: Account, editor: Account
) -> None:
    """Red when one of them outdates nothing."""
    post = await make_post(eve.client, "First")
    await p.deliver()
    one = f"{API}/posts/{post['id']}"
    assert (await read(ben, post))["title"] == "First"
    await add_comment(ben.client, post)
    assert (await read(ben, post))["comment_count"] == 1
    await editor.client.patch(one, json={"title": "Second"})
    assert (await read(editor, post))["title"] == "Second"
    await p.deliver()
    assert (await read(ben, post))["title"] == "Second"
    await eve.client.patch(f"{API}/users/me", json={"full_name": "Eve"})
    await p.deliver()
    assert (await read(ben, post))["author"]["full_name"] == "Eve"
    await eve.client.delete(one)
    await p.deliver()
    assert (await ben.client.get(one)).status_code == 404


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"title": ""}, "/body/title"),
        ({"title": "x" * 201}, "/body/title"),
        ({"body": ""}, "/body/body"),
        ({"body": "x" * 50_001}, "/body/body"),
        ({"body": "\u200b\x01"}, "/body/body"),
        ({"tags": ["x"] * 21}, "/body/tags"),
        ({"tags": [""]}, "/body/tags/0"),
        ({"author_id": "x"}, "/body/author_id"),
    ],
)
async def test_what_is_no_post(eve: Account, change: dict[str, Any], pointer: str) -> None:
    answer = await eve.client.post(f"{API}/posts", json={"title": "x", "body": "y"} | change)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_condition_holds_for_the_version_that_was_read(eve: Account) -> None:
    post = await make_post(eve.client)
    one = f"{API}/posts/{post['id']}"
    tag = (await eve.client.get(one)).headers["etag"]
    assert (await eve.client.get(one, headers={"If-None-Match": tag})).status_code == 304
    changed = await eve.client.patch(one, json={"title": "Second"}, headers={"If-Match": tag})
    assert changed.status_code == 200
    stale = await eve.client.patch(one, json={"title": "Third"}, headers={"If-Match": tag})
    assert stale.status_code == 412
    fresh = {"If-Match": changed.headers["etag"]}
    assert (await eve.client.patch(one, json={"title": "Third"}, headers=fresh)).status_code == 200


async def test_seeds_change_nothing_the_second_time(p: RunningPlatform) -> None:
    for _ in range(2):
        await p.seed(Tier.TEST)
    await p.deliver()
    rows = await p.sql("SELECT title, published_at FROM posts.pages ORDER BY id")
    assert [row["title"] for row in rows] == ["What visitors look for", "How the search works", "A long one"]
    assert all(row["published_at"] for row in rows)
    assert [one for one in await p.deliveries() if one.status != "done"] == []


async def test_accounts_that_were_there_before_the_module_have_their_names(platform: PlatformFactory) -> None:
    async with platform(["user_management"]) as before:
        await before.seed(Tier.DEVELOPMENT)
        await before.sql("DELETE FROM audit.domain_events")  # of a release that told nobody
        async with platform(["user_management", "posts"], beside=before) as p:
            await p.seed(Tier.DEVELOPMENT)
            await p.deliver()
            reader = await sign_up(p, "reader")
            items = (await reader.client.get(f"{API}/posts")).json()["items"]
            assert {post["author"]["username"] for post in items} == {"anna", "ben"}
