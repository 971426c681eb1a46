"""Every route against every role, and rows 48 and 49: what is somebody else's is found by nobody."""

from __future__ import annotations

from typing import Any

import pytest

from platform_core.testing import RunningPlatform
from project_management.testing import add_comment, add_member, make_project, make_task
from user_management.testing import Account, sign_up

API = "/api/v1"

MONEY = {"amount": "1", "currency": "EUR"}
DAY = "2026-11-23"

CALLS: tuple[tuple[str, str, Any, str], ...] = (
    ("GET", "/projects/{project}", None, "viewer"),
    ("GET", "/projects/{project}/members", None, "viewer"),
    ("GET", "/projects/{project}/members/{owner}", None, "viewer"),
    ("GET", "/projects/{project}/tasks", None, "viewer"),
    ("GET", "/projects/{project}/expenses", None, "viewer"),
    ("GET", "/projects/{project}/milestones", None, "viewer"),
    ("GET", "/projects/{project}/timeline", None, "viewer"),
    ("GET", "/projects/{project}/activity", None, "viewer"),
    ("GET", "/tasks/{task}", None, "viewer"),
    ("GET", "/tasks/{task}/time-entries", None, "viewer"),
    ("GET", "/tasks/{task}/comments", None, "viewer"),
    ("GET", "/comments/{comment}", None, "viewer"),
    ("POST", "/projects/{project}/tasks", {"title": "x"}, "member"),
    ("PATCH", "/tasks/{task}", {"priority": "low"}, "member"),
    ("POST", "/tasks/{task}/time-entries", {"minutes": 1, "worked_on": DAY}, "member"),
    ("POST", "/tasks/{task}/comments", {"body": "x"}, "member"),
    ("POST", "/projects/{project}/members", {"user_id": "{guest}", "role": "viewer"}, "manager"),
    ("PATCH", "/projects/{project}/members/{guest}", {"role": "member"}, "manager"),
    ("DELETE", "/projects/{project}/members/{guest}", None, "manager"),
    ("POST", "/projects/{project}/milestones", {"name": "x", "due_date": DAY}, "manager"),
    ("DELETE", "/comments/{comment}", None, "manager"),
    ("DELETE", "/tasks/{task}", None, "manager"),
    ("PATCH", "/projects/{project}", {"name": "x"}, "owner"),
    ("POST", "/projects/{project}/expenses", {"amount": MONEY, "note": "x", "spent_on": DAY}, "owner"),
    ("DELETE", "/projects/{project}", None, "owner"),
)
"""Method, path, body, and the lowest role that may."""

ROLES = ("viewer", "member", "manager", "owner")
IGNORED = {"POST /api/v1/projects", "GET /api/v1/projects", "PATCH /api/v1/comments/{comment_id}"}
"""For everybody; and the author's own, which has a test of its own."""


def filled(text: str, ids: dict[str, str]) -> str:
    for name, value in ids.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def body_of(body: Any, ids: dict[str, str]) -> Any:
    if not isinstance(body, dict):
        return body
    return {name: filled(value, ids) if isinstance(value, str) else value for name, value in body.items()}


async def things(eve: Account, guest: Account) -> dict[str, str]:
    project = await make_project(eve.client)
    task = await make_task(eve.client, project)
    comment = await add_comment(eve.client, task)
    return {
        "project": project["id"],
        "task": task["id"],
        "comment": comment["id"],
        "owner": str(eve.id),
        "guest": str(guest.id),
    }


async def call(person: Account, number: int, ids: dict[str, str]) -> tuple[int, str]:
    method, path, body, _ = CALLS[number]
    answer = await person.client.request(method, API + filled(path, ids), json=body_of(body, ids))
    return answer.status_code, answer.text


async def test_every_route_of_this_module_has_a_line(p: RunningPlatform, eve: Account) -> None:
    shown = (await eve.client.get("/openapi.json")).json()["paths"]
    names = {
        "project": "project_id",
        "task": "task_id",
        "comment": "comment_id",
        "owner": "user_id",
        "guest": "user_id",
    }
    listed = {
        f"{method} {API}{filled(path, {name: f'{{{parameter}}}' for name, parameter in names.items()})}"
        for method, path, _, _ in CALLS
    }
    ours = {
        f"{method.upper()} {path}"
        for path, methods in shown.items()
        for method in methods
        if path.startswith((f"{API}/projects", f"{API}/tasks", f"{API}/comments"))
        and "attachments" not in path
    }
    assert ours == listed | IGNORED


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_what_it_may_and_nothing_else(
    p: RunningPlatform, eve: Account, ben: Account, role: str
) -> None:
    guest = await sign_up(p, "guest")
    ids = await things(eve, guest)
    await add_member(eve.client, {"id": ids["project"]}, ben.id, role)
    wrong = []
    for number, (method, path, body, lowest) in enumerate(CALLS):
        is_allowed = ROLES.index(role) >= ROLES.index(lowest)
        if body is not None and not is_allowed:  # who may not, learns nothing about the body
            url = API + filled(path, ids)
            status = (await ben.client.request(method, url, json={"nonsense": 1})).status_code
            if status not in (403, 404):
                wrong.append((method, path, status, "nonsense"))
        status, text = await call(ben, number, ids)
        expected = {200, 201, 204} if is_allowed else {403}
        if status not in expected:
            wrong.append((method, path, status, text))
    assert wrong == []


async def test_rows_48_and_49_whoever_is_not_in_a_project_finds_nothing_of_it(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    """An administrator neither; a former member no more; a deleted project nobody; and nothing happens."""
    root = await sign_up(p, "root", permissions=["*"])
    former = await sign_up(p, "former")
    ids = await things(eve, ben)
    await add_member(eve.client, {"id": ids["project"]}, former.id, "owner")
    await eve.client.delete(f"{API}/projects/{ids['project']}/members/{former.id}")
    before = await p.sql("SELECT id FROM audit.domain_events ORDER BY id")
    for person in (ben, root, former):
        for number, (method, path, body, _) in enumerate(CALLS):
            status, text = await call(person, number, ids)
            assert status == 404, (person.username, method, path, text)
            assert "fence" not in text
            if body is not None:
                url = API + filled(path, ids)
                answer = await person.client.request(method, url, json={"nonsense": 1})
                assert answer.status_code == 404, (method, path, answer.text)
            elif method == "GET":
                answer = await person.client.get(f"{API}{filled(path, ids)}?limit=0&cursor=x")
                assert answer.status_code == 404, (method, path, answer.text)
        assert (await person.client.get(f"{API}/projects")).json()["items"] == []
    assert await p.sql("SELECT id FROM audit.domain_events ORDER BY id") == before
    await eve.client.delete(f"{API}/projects/{ids['project']}")
    for number in range(len(CALLS)):
        assert (await call(eve, number, ids))[0] == 404, CALLS[number]


async def test_whoever_is_out_finds_no_next_page_either(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    ids = await things(eve, ben)
    await make_task(eve.client, {"id": ids["project"]})
    await add_comment(eve.client, {"id": ids["task"]})
    await add_member(eve.client, {"id": ids["project"]}, ben.id, "viewer")
    lists = [f"{API}/projects/{ids['project']}/{name}" for name in ("tasks", "members", "timeline")]
    lists.append(f"{API}/tasks/{ids['task']}/comments")
    pages = [(await ben.client.get(f"{url}?limit=1")).json()["next_cursor"] for url in lists]
    await eve.client.delete(f"{API}/projects/{ids['project']}/members/{ben.id}")
    for url, cursor in zip(lists, pages, strict=True):
        assert (await eve.client.get(url, params={"cursor": cursor})).status_code == 200
        answer = await ben.client.get(url, params={"cursor": cursor})
        assert answer.status_code == 404, (url, answer.text)


async def test_rows_48_and_49_ids_of_others_in_bodies_and_queries_open_nothing(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    hers, his = await things(eve, ben), await things(ben, eve)
    before = await p.sql("SELECT id FROM audit.domain_events ORDER BY id")
    for method, path, body in (
        ("POST", "/projects/{project}/tasks", {"title": "x", "parent_id": his["task"]}),
        ("POST", "/projects/{project}/tasks", {"title": "x", "assignee_id": his["owner"]}),
        ("PATCH", "/tasks/{task}", {"parent_id": his["task"]}),
        ("PATCH", "/tasks/{task}", {"assignee_id": his["owner"]}),
        ("PATCH", "/tasks/{task}", {"project_id": his["project"]}),
        ("POST", "/tasks/{task}/comments", {"body": "x", "parent_id": his["comment"]}),
        ("POST", "/tasks/{task}/time-entries", {"minutes": 1, "worked_on": DAY, "user_id": his["owner"]}),
        ("PATCH", "/projects/{project}", {"owner_id": his["owner"]}),
    ):
        answer = await eve.client.request(method, API + filled(path, hers), json=body)
        assert answer.status_code == 422, (method, path, body, answer.text)
    found = await eve.client.get(f"{API}/projects/{hers['project']}/tasks?assignee_id={ben.id}")
    assert found.json()["items"] == []
    across = await eve.client.get(f"{API}/projects/{hers['project']}/members/{his['owner']}")
    assert across.status_code == 404
    theirs = await ben.client.get(f"{API}/projects/{his['project']}/tasks?limit=1")
    await make_task(ben.client, {"id": his["project"]})
    cursor = (await ben.client.get(f"{API}/projects/{his['project']}/tasks?limit=1")).json()["next_cursor"]
    mixed = await eve.client.get(f"{API}/projects/{hers['project']}/tasks?cursor={cursor}")
    assert his["task"] not in mixed.text
    assert theirs.status_code == 200
    after = await p.sql("SELECT id FROM audit.domain_events ORDER BY id")
    assert len(after) == len(before) + 1, "only the task that ben made himself"
