"""Comments over HTTP: threads, mentions, and whose they are."""

from __future__ import annotations

from platform_core.testing import RunningPlatform
from project_management import CommentAdded, UserMentioned
from project_management.testing import add_comment, add_member, make_project, make_task
from user_management.testing import Account

API = "/api/v1"


async def test_comments_are_written_answered_rewritten_and_taken_back(eve: Account, ben: Account) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    task = await make_task(eve.client, project)
    question = await add_comment(eve.client, task, "Which colour?")
    answer = await add_comment(ben.client, task, "Green", parent_id=question["id"])
    path = f"{API}/comments/{question['id']}"
    assert (answer["parent_id"], answer["author_id"]) == (question["id"], str(ben.id))
    rewritten = await eve.client.patch(path, json={"body": "Which colour, please?"})
    assert rewritten.json()["body"] == "Which colour, please?"
    assert (await ben.client.get(path)).json() == rewritten.json()
    listed = (await ben.client.get(f"{API}/tasks/{task['id']}/comments")).json()["items"]
    assert [one["id"] for one in listed] == [answer["id"], question["id"]]
    assert (await eve.client.delete(path)).status_code == 204
    assert (await ben.client.get(path)).status_code == 404
    assert (await eve.client.delete(path)).status_code == 404
    listed = (await ben.client.get(f"{API}/tasks/{task['id']}/comments")).json()["items"]
    assert listed == [answer], "the answer stays"


async def test_a_comment_is_changed_by_its_author_and_deleted_by_a_manager_too(
    eve: Account, ben: Account, clara: Account
) -> None:
    project = await make_project(eve.client)
    for person in (ben, clara):
        await add_member(eve.client, project, person.id)
    task = await make_task(eve.client, project)
    path = f"{API}/comments/{(await add_comment(ben.client, task))['id']}"
    for person in (eve, clara):
        for body in ({"body": "Blue!"}, {"nonsense": 1}):
            refused = await person.client.patch(path, json=body)
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-your-comment")
    assert (await clara.client.delete(path)).status_code == 403
    assert (await eve.client.delete(path)).status_code == 204


async def test_an_answer_is_on_the_same_task_as_what_it_answers(eve: Account) -> None:
    project = await make_project(eve.client)
    task, other = await make_task(eve.client, project), await make_task(eve.client, project)
    elsewhere, gone = await add_comment(eve.client, other), await add_comment(eve.client, task)
    await eve.client.delete(f"{API}/comments/{gone['id']}")
    for parent in (elsewhere, gone):
        body = {"body": "x", "parent_id": parent["id"]}
        answer = await eve.client.post(f"{API}/tasks/{task['id']}/comments", json=body)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/parent-comment-not-found")
    for body in ({"body": ""}, {"body": "  "}, {"body": "x" * 10_001}, {"text": "x"}, {}):
        answer = await eve.client.post(f"{API}/tasks/{task['id']}/comments", json=body)
        assert answer.status_code == 422


async def test_members_who_are_mentioned_are_told_once(
    p: RunningPlatform, eve: Account, ben: Account, clara: Account
) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    task = await make_task(eve.client, project)
    text = f"@Ben, @{clara.username} and @eve, and @nobody: see ben@example.com"
    comment = await add_comment(eve.client, task, text)
    [added], [mentioned] = await p.events(CommentAdded), await p.events(UserMentioned)
    assert mentioned.user_ids == added.mentioned_ids == [ben.id], "not the author, and not who is not in it"
    await add_member(eve.client, project, clara.id)
    await eve.client.patch(f"{API}/comments/{comment['id']}", json={"body": f"{text} Again: @clara @ben"})
    assert len(await p.events(UserMentioned)) == 1, "both were named before"
    await eve.client.patch(f"{API}/comments/{comment['id']}", json={"body": "Only you, @ben"})
    await eve.client.patch(f"{API}/comments/{comment['id']}", json={"body": "Only you, @clara"})
    assert [event.user_ids for event in await p.events(UserMentioned)][1:] == [[clara.id]]
