"""What becomes of projects whose owner's account is deleted: none is left to nobody who can log in."""

from __future__ import annotations

from uuid import UUID

import pytest

from platform_core.testing import RunningPlatform
from project_management import MemberRoleChanged, ProjectDeleted
from project_management.testing import add_member, make_project, make_task
from user_management.application import DeleteUser, UpdateUser
from user_management.testing import Account

API = "/api/v1"


async def delete(p: RunningPlatform, account: Account) -> None:
    await p.execute(DeleteUser(user_id=account.id))
    await p.deliver()


async def members(account: Account, project: dict[str, str]) -> dict[UUID, str]:
    answer = await account.client.get(f"{API}/projects/{project['id']}/members")
    return {UUID(one["user_id"]): one["role"] for one in answer.json()["items"]}


async def test_whoever_may_do_most_gets_the_project_of_an_owner_whose_account_is_deleted(
    p: RunningPlatform, eve: Account, ben: Account, clara: Account
) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id, "member")
    await add_member(eve.client, project, clara.id, "manager")
    task = await make_task(eve.client, project, assignee_id=str(eve.id))

    await delete(p, eve)

    assert await members(clara, project) == {clara.id: "owner", ben.id: "member"}
    answer = await clara.client.get(f"{API}/projects/{project['id']}")
    assert answer.json()["owner_id"] == str(clara.id)
    assert (await clara.client.get(f"{API}/tasks/{task['id']}")).json()["assignee_id"] is None
    [changed] = await p.events(MemberRoleChanged)
    assert (changed.user_id, changed.before, changed.after) == (clara.id, "manager", "owner")


async def test_another_owner_goes_on_alone(p: RunningPlatform, eve: Account, ben: Account) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id, "owner")
    await delete(p, eve)
    assert await members(ben, project) == {ben.id: "owner"}
    assert (await ben.client.get(f"{API}/projects/{project['id']}")).json()["owner_id"] == str(ben.id)
    assert await p.events(MemberRoleChanged) == []


async def test_an_account_that_works_comes_before_one_that_may_do_more(
    p: RunningPlatform, eve: Account, ben: Account, clara: Account
) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, clara.id, "manager")
    await add_member(eve.client, project, ben.id, "viewer")
    await p.execute(UpdateUser(user_id=clara.id, changes={"is_active": False}))
    await delete(p, eve)
    assert await members(ben, project) == {clara.id: "manager", ben.id: "owner"}


@pytest.mark.parametrize("is_alone", [True, False], ids=["alone in it", "a member of it"])
async def test_a_project_in_which_nobody_is_left_is_deleted_and_no_other(
    p: RunningPlatform, eve: Account, ben: Account, is_alone: bool
) -> None:
    project = await make_project(eve.client if is_alone else ben.client)
    if not is_alone:
        await add_member(ben.client, project, eve.id, "member")
    await delete(p, eve)
    assert len(await p.events(ProjectDeleted)) == is_alone
    if not is_alone:
        assert await members(ben, project) == {ben.id: "owner"}


async def test_however_many_projects_there_are_each_batch_of_them_is_stored_for_itself(
    p: RunningPlatform, eve: Account, ben: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("project_management.application.offboarding.BATCH_COUNT", 2)
    kept = [await make_project(eve.client) for _ in range(3)]
    for project in kept:
        await add_member(eve.client, project, ben.id)
    left = await make_project(eve.client)

    await delete(p, eve)

    assert [await members(ben, project) for project in kept] == [{ben.id: "owner"}] * 3
    assert [gone.project_id for gone in await p.events(ProjectDeleted)] == [UUID(left["id"])]
    [run] = await p.sql("SELECT status, steps FROM platform.sagas WHERE name = 'user_management.offboarding'")
    [step] = [one for one in run["steps"] if one["name"] == "project_management.handover"]
    assert (run["status"], step["status"], step["batches"]) == ("completed", "completed", 2)
