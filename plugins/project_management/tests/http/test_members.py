"""Who takes part in a project, over HTTP; and that it keeps an owner whatever happens at the same time."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from platform_core.testing import RunningPlatform
from project_management import MemberAdded, MemberRemoved, MemberRoleChanged
from project_management.testing import add_member, make_project, make_task
from user_management.testing import Account, sign_up

API = "/api/v1"


async def test_somebody_takes_part_does_more_and_leaves(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    project = await make_project(eve.client)
    path = f"{API}/projects/{project['id']}/members"
    made = await add_member(eve.client, project, ben.id, "viewer")
    assert {name: made[name] for name in ("user_id", "role")} == {"user_id": str(ben.id), "role": "viewer"}
    listed = (await ben.client.get(path)).json()["items"]
    assert {(one["user_id"], one["role"]) for one in listed} == {
        (str(eve.id), "owner"),
        (str(ben.id), "viewer"),
    }
    changed = await eve.client.patch(f"{path}/{ben.id}", json={"role": "manager"})
    assert changed.json() == made | {"role": "manager"}
    assert (await ben.client.get(f"{path}/{ben.id}")).json() == changed.json()
    assert (await ben.client.delete(f"{path}/{ben.id}")).status_code == 204, "everybody may leave"
    assert (await ben.client.get(path)).status_code == 404
    assert (await eve.client.delete(f"{path}/{ben.id}")).status_code == 404
    for kind in (MemberAdded, MemberRoleChanged, MemberRemoved):
        assert len(await p.events(kind)) == 1, kind


async def test_only_people_who_are_there_and_not_in_it_yet_are_let_in(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    project = await make_project(eve.client)
    path = f"{API}/projects/{project['id']}/members"
    root = await sign_up(p, "root", permissions=["*"])
    off, gone = await sign_up(p, "off"), await sign_up(p, "gone")
    await root.client.patch(f"{API}/users/{off.id}", json={"is_active": False})
    await root.client.delete(f"{API}/users/{gone.id}")
    for user_id in (uuid4(), off.id, gone.id):
        answer = await eve.client.post(path, json={"user_id": str(user_id), "role": "member"})
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/unknown-user")
        assert answer.json()["errors"][0]["pointer"] == "/body/user_id"
    await add_member(eve.client, project, ben.id)
    again = await eve.client.post(path, json={"user_id": str(ben.id), "role": "viewer"})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/already-member")
    wrong = await eve.client.post(path, json={"user_id": str(ben.id), "role": "king"})
    assert wrong.status_code == 422


async def test_a_manager_decides_about_everybody_but_owners(
    eve: Account, ben: Account, clara: Account
) -> None:
    project = await make_project(eve.client)
    path = f"{API}/projects/{project['id']}/members"
    await add_member(eve.client, project, ben.id, "manager")
    await add_member(ben.client, project, clara.id)
    for method, url, body in (
        ("PATCH", f"{path}/{clara.id}", {"role": "owner"}),
        ("PATCH", f"{path}/{ben.id}", {"role": "owner"}),
        ("PATCH", f"{path}/{eve.id}", {"role": "viewer"}),
        ("DELETE", f"{path}/{eve.id}", None),
    ):
        answer = await ben.client.request(method, url, json=body)
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/owners-only")
    assert (await ben.client.patch(f"{path}/{clara.id}", json={"role": "manager"})).status_code == 200
    assert (await ben.client.delete(f"{path}/{clara.id}")).status_code == 204


async def test_the_last_owner_cannot_go_and_the_next_one_becomes_the_owner(
    eve: Account, ben: Account
) -> None:
    project = await make_project(eve.client)
    path = f"{API}/projects/{project['id']}/members"
    for method, body in (("DELETE", None), ("PATCH", {"role": "manager"})):
        answer = await eve.client.request(method, f"{path}/{eve.id}", json=body)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/last-owner")
    await add_member(eve.client, project, ben.id, "owner")
    assert (await eve.client.delete(f"{path}/{eve.id}")).status_code == 204
    read = (await ben.client.get(f"{API}/projects/{project['id']}")).json()
    assert read["owner_id"] == str(ben.id)


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
async def test_an_owner_without_a_working_account_is_nobody_to_leave_a_project_to(
    p: RunningPlatform, eve: Account, ben: Account, clara: Account, method: str
) -> None:
    root = await sign_up(p, "root", permissions=["*"])
    project = await make_project(eve.client)
    for owner in (ben, clara):
        await add_member(eve.client, project, owner.id, "owner")
    await root.client.delete(f"{API}/users/{ben.id}")
    await root.client.patch(f"{API}/users/{clara.id}", json={"is_active": False})
    path, body = f"{API}/projects/{project['id']}/members/{eve.id}", {"role": "viewer"}
    answer = await eve.client.request(method, path, json=body if method == "PATCH" else None)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/last-owner")
    await root.client.patch(f"{API}/users/{clara.id}", json={"is_active": True})
    answer = await eve.client.request(method, path, json=body if method == "PATCH" else None)
    assert answer.is_success, answer.text
    [row] = await p.sql("SELECT owner_id FROM project_management.projects")
    assert row["owner_id"] == clara.id, "who is gone is passed over"


async def test_of_all_owners_who_go_at_the_same_time_one_stays(p: RunningPlatform, eve: Account) -> None:
    owners = [eve, *[await sign_up(p, f"owner{number}") for number in range(4)]]
    project = await make_project(eve.client)
    for owner in owners[1:]:
        await add_member(eve.client, project, owner.id, "owner")
    path = f"{API}/projects/{project['id']}/members"
    for _ in range(6):  # who lost a race too often is told to try again
        answers = await asyncio.gather(
            *(
                one.client.delete(f"{path}/{one.id}")
                if index % 2
                else one.client.patch(f"{path}/{one.id}", json={"role": "member"})
                for index, one in enumerate(owners)
            )
        )
        assert {answer.status_code for answer in answers} <= {200, 204, 403, 404, 409}
    rows = await p.sql(
        "SELECT m.user_id, p.owner_id FROM project_management.project_members m JOIN project_management.projects p"
        " ON p.id = m.project_id WHERE m.role = 'owner'"
    )
    assert len(rows) == 1
    assert rows[0]["user_id"] == rows[0]["owner_id"]


async def test_who_leaves_has_no_tasks_there_any_more(eve: Account, ben: Account) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    task = await make_task(eve.client, project, assignee_id=str(ben.id))
    await eve.client.delete(f"{API}/projects/{project['id']}/members/{ben.id}")
    read = (await eve.client.get(f"{API}/tasks/{task['id']}")).json()
    assert (read["assignee_id"], read["version"]) == (None, task["version"] + 1)
    back = await eve.client.patch(f"{API}/tasks/{task['id']}", json={"assignee_id": str(ben.id)})
    assert (back.status_code, back.json()["type"]) == (422, "/problems/assignee-not-in-project")


async def test_nobody_is_assigned_a_task_while_they_leave(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    project = await make_project(eve.client)
    for _ in range(4):
        await add_member(eve.client, project, ben.id)
        draft = {"title": "x", "assignee_id": str(ben.id)}
        answers = await asyncio.gather(
            *(eve.client.post(f"{API}/projects/{project['id']}/tasks", json=draft) for _ in range(4)),
            eve.client.delete(f"{API}/projects/{project['id']}/members/{ben.id}"),
        )
        assert {answer.status_code for answer in answers} <= {201, 204, 409, 422}
        await eve.client.delete(f"{API}/projects/{project['id']}/members/{ben.id}")
    rows = await p.sql("SELECT id FROM project_management.tasks WHERE assignee_id IS NOT NULL")
    assert rows == []
