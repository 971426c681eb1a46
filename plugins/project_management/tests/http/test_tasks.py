"""Tasks over HTTP: making, finding, moving on, taking apart."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from platform_core.testing import RunningPlatform
from project_management import TaskAssigned, TaskDeleted, TaskUpdated
from project_management.testing import add_member, log_time, make_project, make_task
from user_management.testing import Account, sign_up

API = "/api/v1"


async def test_a_task_is_made_read_and_listed(p: RunningPlatform, eve: Account, ben: Account) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    task = await make_task(
        eve.client,
        project,
        assignee_id=str(ben.id),
        priority="high",
        due_date="2026-12-24",
        estimated_minutes=90,
    )
    assert {name: task[name] for name in task if name not in ("id", "created_at", "updated_at")} == {
        "project_id": project["id"],
        "title": "Paint the fence",
        "description": None,
        "status": "todo",
        "priority": "high",
        "assignee_id": str(ben.id),
        "due_date": "2026-12-24",
        "estimated_minutes": 90,
        "spent_minutes": 0,
        "parent_id": None,
        "version": 1,
        "created_by": str(eve.id),
        "completed_at": None,
    }
    assert (await ben.client.get(f"{API}/tasks/{task['id']}")).json() == task
    listed = await ben.client.get(f"{API}/projects/{project['id']}/tasks")
    assert listed.json() == {"items": [task], "next_cursor": None}
    [assigned] = await p.events(TaskAssigned)
    assert (assigned.assignee_id, assigned.assigned_by, assigned.title) == (ben.id, eve.id, task["title"])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/body/title"),
        ({"title": " "}, "/body/title"),
        ({"title": "x" * 301}, "/body/title"),
        ({"title": "x", "description": "\u200b"}, "/body/description"),
        ({"title": "x", "priority": "asap"}, "/body/priority"),
        ({"title": "x", "status": "done"}, "/body/status"),
        ({"title": "x", "estimated_minutes": 0}, "/body/estimated_minutes"),
        ({"title": "x", "estimated_minutes": 2**40}, "/body/estimated_minutes"),
        ({"title": "x", "due_date": "2026-02-30"}, "/body/due_date"),
        ({"title": "x", "assignee_id": str(uuid4())}, "/body/assignee_id"),
        ({"title": "x", "parent_id": str(uuid4())}, "/body/parent_id"),
        ({"title": "x\x00"}, "/body/title"),
    ],
)
async def test_what_is_no_task_is_422(eve: Account, body: dict[str, Any], pointer: str) -> None:
    project = await make_project(eve.client)
    answer = await eve.client.post(f"{API}/projects/{project['id']}/tasks", json=body)
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("stored", [" ", "\n", "bell\x07", " with space around "])
async def test_a_description_from_before_there_was_a_rule_stays_and_stops_no_other_change(
    p: RunningPlatform, eve: Account, stored: str
) -> None:
    task = await make_task(eve.client, await make_project(eve.client))
    path = f"{API}/tasks/{task['id']}"
    await p.sql(
        "UPDATE project_management.tasks SET title = %(title)s, description = %(text)s",
        title=f"x{stored}",
        text=stored,
    )
    changed = await eve.client.patch(path, json={"priority": "urgent"})
    assert (changed.status_code, changed.json()["description"]) == (200, stored), changed.text
    [updated] = await p.events(TaskUpdated)
    assert updated.fields == ["priority"]
    refused = await eve.client.patch(path, json={"description": "another\x07"})
    assert refused.json()["errors"][0]["pointer"] == "/body/description"


async def test_only_somebody_in_the_project_is_assigned_even_while_their_account_is_switched_off(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    project = await make_project(eve.client)
    path = f"{API}/projects/{project['id']}/tasks"
    task = await make_task(eve.client, project)
    root = await sign_up(p, "root", permissions=["*"])

    async def refused() -> None:
        for method, url, body in (("POST", path, {"title": "x"}), ("PATCH", f"{API}/tasks/{task['id']}", {})):
            answer = await eve.client.request(method, url, json=body | {"assignee_id": str(ben.id)})
            assert (answer.status_code, answer.json()["type"]) == (422, "/problems/assignee-not-in-project")

    await refused()
    await add_member(eve.client, project, ben.id, "viewer")
    await root.client.patch(f"{API}/users/{ben.id}", json={"is_active": False})
    await make_task(eve.client, project, assignee_id=str(ben.id))
    await eve.client.delete(f"{API}/projects/{project['id']}/members/{ben.id}")
    await refused()
    assert len(await p.events(TaskAssigned)) == 1


async def test_a_change_changes_what_it_names(p: RunningPlatform, eve: Account, ben: Account) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    task = await make_task(eve.client, project, description="Green", due_date="2026-12-24")
    path = f"{API}/tasks/{task['id']}"
    await log_time(eve.client, task, 30)
    changes = {
        "title": "Paint the wall",
        "due_date": None,
        "assignee_id": str(ben.id),
        "status": "in_progress",
    }
    changed = (await ben.client.patch(path, json=changes)).json()
    assert {name: changed[name] for name in changes} == changes
    assert (changed["description"], changed["version"], changed["spent_minutes"]) == ("Green", 2, 30)
    assert (await ben.client.get(path)).json() == changed
    nothing = (await ben.client.patch(path, json={"status": "in_progress"})).json()
    assert nothing == changed
    [updated] = await p.events(TaskUpdated)
    assert updated.fields == ["title", "due_date"]


async def test_the_workflow_is_kept_and_says_where_a_task_can_go(eve: Account) -> None:
    project = await make_project(eve.client)
    task = await make_task(eve.client, project)
    path = f"{API}/tasks/{task['id']}"
    refused = await eve.client.patch(path, json={"status": "done"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/illegal-transition")
    assert refused.json()["allowed"] == ["cancelled", "in_progress"]
    for status in ("in_progress", "review", "done"):
        answer = await eve.client.patch(path, json={"status": status})
        assert answer.json()["status"] == status
        assert (answer.json()["completed_at"] is not None) == (status == "done")


async def test_of_two_changes_of_status_at_once_the_workflow_sees_both(
    p: RunningPlatform, eve: Account
) -> None:
    project = await make_project(eve.client)
    for _ in range(3):
        task = await make_task(eve.client, project)
        path = f"{API}/tasks/{task['id']}"
        await eve.client.patch(path, json={"status": "in_progress"})
        answers = await asyncio.gather(
            *(eve.client.patch(path, json={"status": status}) for status in ("review", "cancelled"))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        won = next(answer.json()["status"] for answer in answers if answer.status_code == 200)
        assert (await eve.client.get(path)).json()["status"] == won


async def test_a_stale_if_match_is_412(eve: Account) -> None:
    task = await make_task(eve.client, await make_project(eve.client))
    path = f"{API}/tasks/{task['id']}"
    tag = (await eve.client.get(path)).headers["etag"]
    answers = [
        await eve.client.patch(path, json={"status": status}, headers={"If-Match": tag})
        for status in ("in_progress", "todo")
    ]
    assert [answer.status_code for answer in answers] == [200, 412]


async def test_tasks_are_found_by_status_person_and_title(eve: Account, ben: Account) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    path = f"{API}/projects/{project['id']}/tasks"
    first = await make_task(eve.client, project, title="Paint 100% of it")
    second = await make_task(eve.client, project, title="Mow the lawn", assignee_id=str(ben.id))
    third = await make_task(eve.client, project, title="paint_it black", assignee_id=str(ben.id))
    await eve.client.patch(f"{API}/tasks/{third['id']}", json={"status": "in_progress"})
    for query, expected in (
        ("", [third, second, first]),
        ("?status=todo", [second, first]),
        (f"?assignee_id={ben.id}", [third, second]),
        (f"?assignee_id={ben.id}&status=todo", [second]),
        ("?q=PAINT", [third, first]),
        ("?q=100%25", [first]),
        ("?q=t_i", [third]),
        ("?q=%25%25", []),
        (f"?q=paint&status=todo&assignee_id={eve.id}", []),
        ("?q=", [third, second, first]),
    ):
        found = (await ben.client.get(path + query)).json()["items"]
        assert [one["id"] for one in found] == [one["id"] for one in expected], query
    for wrong in ("?status=open", "?assignee_id=ben", "?limit=0", "?cursor=x"):
        assert (await ben.client.get(path + wrong)).status_code == 422


async def test_pages_stay_whole_while_tasks_come_in(eve: Account) -> None:
    project = await make_project(eve.client)
    made = [(await make_task(eve.client, project))["id"] for _ in range(7)]
    path = f"{API}/projects/{project['id']}/tasks?limit=3"
    seen: list[str] = []
    cursor = ""
    while True:
        page = await eve.client.get(path + (f"&cursor={cursor}" if cursor else ""))
        seen += [one["id"] for one in page.json()["items"]]
        await make_task(eve.client, project)
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
        assert 'rel="next"' in page.headers["link"]
    assert seen == made[::-1]


async def test_a_task_is_no_part_of_itself_or_of_another_project(eve: Account) -> None:
    project, other = await make_project(eve.client), await make_project(eve.client)
    top = await make_task(eve.client, project)
    middle = await make_task(eve.client, project, parent_id=top["id"])
    bottom = await make_task(eve.client, project, parent_id=middle["id"])
    stranger = await make_task(eve.client, other)

    async def move(task: dict[str, Any], parent_id: str | None) -> tuple[int, str]:
        answer = await eve.client.patch(f"{API}/tasks/{task['id']}", json={"parent_id": parent_id})
        return answer.status_code, answer.json().get("type", "")

    for parent in (top, middle, bottom):
        assert await move(top, parent["id"]) == (409, "/problems/task-inside-itself")
    assert await move(top, stranger["id"]) == (422, "/problems/parent-task-not-found")
    assert await move(bottom, top["id"]) == (200, "")
    assert await move(bottom, None) == (200, "")
    assert await move(top, bottom["id"]) == (200, "")


async def test_two_moves_at_once_make_no_circle(p: RunningPlatform, eve: Account) -> None:
    project = await make_project(eve.client)
    for _ in range(3):
        first, second = [await make_task(eve.client, project) for _ in range(2)]
        answers = await asyncio.gather(
            eve.client.patch(f"{API}/tasks/{first['id']}", json={"parent_id": second["id"]}),
            eve.client.patch(f"{API}/tasks/{second['id']}", json={"parent_id": first["id"]}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_deleted_task_takes_its_parts_along(p: RunningPlatform, eve: Account) -> None:
    project = await make_project(eve.client)
    top = await make_task(eve.client, project)
    parts = [await make_task(eve.client, project, parent_id=top["id"]) for _ in range(2)]
    below = await make_task(eve.client, project, parent_id=parts[0]["id"])
    beside = await make_task(eve.client, project)
    assert (await eve.client.delete(f"{API}/tasks/{top['id']}")).status_code == 204
    for task in (top, *parts, below):
        assert (await eve.client.get(f"{API}/tasks/{task['id']}")).status_code == 404
    assert (await eve.client.delete(f"{API}/tasks/{top['id']}")).status_code == 404
    listed = (await eve.client.get(f"{API}/projects/{project['id']}/tasks")).json()["items"]
    assert [one["id"] for one in listed] == [beside["id"]]
    assert len(await p.events(TaskDeleted)) == 1


async def test_no_part_is_added_to_what_is_deleted_just_now(p: RunningPlatform, eve: Account) -> None:
    project = await make_project(eve.client)
    for _ in range(3):
        top = await make_task(eve.client, project)
        draft = {"title": "part", "parent_id": top["id"]}
        await asyncio.gather(
            *(eve.client.post(f"{API}/projects/{project['id']}/tasks", json=draft) for _ in range(4)),
            eve.client.delete(f"{API}/tasks/{top['id']}"),
        )
    orphans = await p.sql(
        "SELECT t.id FROM project_management.tasks t JOIN project_management.tasks p ON p.id = t.parent_id"
        " WHERE t.deleted_at IS NULL AND p.deleted_at IS NOT NULL"
    )
    assert orphans == []


async def test_time_is_noted_and_summed(eve: Account) -> None:
    task = await make_task(eve.client, await make_project(eve.client))
    path = f"{API}/tasks/{task['id']}"
    first = await log_time(eve.client, task, 45, note="First coat")
    await log_time(eve.client, task, 1440)
    assert (await eve.client.get(path)).json()["spent_minutes"] == 1485
    listed = (await eve.client.get(f"{path}/time-entries")).json()["items"]
    assert [one["minutes"] for one in listed] == [1440, 45]
    assert listed[1] == first
    assert (first["user_id"], first["note"], first["worked_on"]) == (str(eve.id), "First coat", "2026-11-23")
    for minutes in (0, -5, 1441, "many", 1.5):
        body = {"minutes": minutes, "worked_on": "2026-11-23"}
        assert (await eve.client.post(f"{path}/time-entries", json=body)).status_code == 422
