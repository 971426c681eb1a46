import asyncio
import uuid

import pytest


@pytest.fixture
async def widget(member):
    answer = await member.post("/widgets", json={"name": uuid.uuid4().hex})
    return f"/widgets/{answer.json()['id']}"


async def overtake(rig, widget):
    await rig.sql(
        "UPDATE shop.widgets SET name = 'theirs ' || id, version = version + 1 WHERE id = %(id)s",
        id=widget.rpartition("/")[2],
    )


async def test_one_resource_has_a_strong_tag_and_is_not_sent_twice(member, widget):
    first = await member.get(widget)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    assert first.headers["cache-control"] == "private, no-cache"
    for value in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await member.get(widget, headers={"If-None-Match": value})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == tag
        assert "ratelimit" in again.headers
    for value in ('"other"', "unquoted", tag.strip('"')):
        assert (await member.get(widget, headers={"If-None-Match": value})).status_code == 200


async def test_an_answer_to_a_change_carries_the_tag_that_get_then_has(member, widget):
    changed = await member.patch(widget, json={"name": f"second {widget[-12:]}"})
    assert changed.headers["etag"] == (await member.get(widget)).headers["etag"]


async def test_a_change_of_what_was_read_passes_and_of_anything_older_is_412(member, widget):
    tag = (await member.get(widget)).headers["etag"]
    passed = await member.patch(widget, json={"name": f"second {widget[-12:]}"}, headers={"If-Match": tag})
    assert passed.status_code == 200
    for headers in ({"If-Match": tag}, {"If-Match": f"W/{passed.headers['etag']}"}, {"If-Match": "junk"}):
        stale = await member.patch(widget, json={"name": "third"}, headers=headers)
        assert stale.status_code == 412
        assert stale.json()["type"] == "/problems/precondition-failed"
    assert (await member.delete(widget, headers={"If-Match": tag})).status_code == 412
    assert (await member.get(widget)).json()["name"].startswith("second")
    both = f"{tag}, {passed.headers['etag']}"
    assert (await member.patch(widget, json={"name": "third"}, headers={"If-Match": both})).status_code == 200
    assert (await member.delete(widget, headers={"If-Match": "*"})).status_code == 204
    assert (await member.delete(widget, headers={"If-Match": "*"})).status_code == 404


async def test_a_body_is_judged_before_a_condition(member, widget):
    answer = await member.patch(widget, json={}, headers={"If-Match": '"stale"'})
    assert answer.status_code == 422


async def test_of_many_changes_with_one_tag_exactly_one_passes(member, widget):
    tag = (await member.get(widget)).headers["etag"]
    answers = await asyncio.gather(
        *(
            member.patch(widget, json={"name": f"{n} {widget[-12:]}"}, headers={"If-Match": tag})
            for n in range(20)
        )
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * 19
    assert (await member.get(widget)).json()["version"] == 2


async def test_a_change_between_the_first_look_and_the_load_is_noticed(rig, member, widget):
    """The early check passes, then somebody else commits, then the handler has loaded the newer row."""
    tag = (await member.get(widget)).headers["etag"]
    original = rig.bus.rename_widget

    async def overtaken(command, uow):
        if command.name == "mine":
            await overtake(rig, widget)
        return await original(command, uow)

    rig.bus.rename_widget = overtaken
    answer = await member.patch(widget, json={"name": "mine"}, headers={"If-Match": tag})
    assert answer.status_code == 412
    assert (await member.get(widget)).json()["version"] == 2


async def test_a_change_between_the_load_and_the_second_look_is_noticed(rig, member, widget):
    tag = (await member.get(widget)).headers["etag"]

    async def meanwhile():
        await overtake(rig, widget)

    rig.bus.before_commit_pause = meanwhile
    answer = await member.patch(widget, json={"name": "mine"}, headers={"If-Match": tag})
    assert answer.status_code == 412
    rig.bus.before_commit_pause = None
    assert (await member.get(widget)).json()["version"] == 2


async def test_a_route_may_name_its_representation_itself(visitor):
    answer = await visitor.get("/raw")
    assert answer.headers["etag"] == '"own"'
    assert (await visitor.get("/raw", headers={"If-None-Match": '"own"'})).status_code == 304


async def test_lists_have_no_tag_but_a_link_to_the_next_page(member):
    for _ in range(5):
        await member.post("/widgets", json={"name": f"listed {uuid.uuid4()}"})
    path, seen = "/widgets?limit=2&q=x%20y", []
    while path:
        answer = await member.get(path if path.startswith("/widgets") else f"http://shop.test{path}")
        assert "etag" not in answer.headers
        document = answer.json()
        assert document.keys() == {"items", "next_cursor"}
        seen += [item["id"] for item in document["items"]]
        link = answer.headers.get("link")
        assert (link is None) == (document["next_cursor"] is None)
        if link:
            assert link.startswith("</api/v1/widgets?limit=2&q=x+y&cursor=")
            assert link.endswith('>; rel="next"')
        path = link and link[1 : link.index(">")]
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=True)


async def test_a_cursor_that_was_changed_is_422(member):
    for _ in range(3):
        await member.post("/widgets", json={"name": f"cursor {uuid.uuid4()}"})
    cursor = (await member.get("/widgets?limit=1")).json()["next_cursor"]
    for forged in (cursor[:-1] + ("A" if cursor[-1] != "A" else "B"), cursor[::-1], ""):
        answer = await member.get("/widgets", params={"limit": 1, "cursor": forged})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/query/cursor"
