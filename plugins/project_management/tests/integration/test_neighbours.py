"""Files can be attached, and people hear of their tasks, where those modules are; without them nothing is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from platform_core.declarations import Tier
from platform_core.testing import PlatformFactory, RunningPlatform
from project_management.seeds import SEEDS
from project_management.testing import add_comment, add_member, make_project, make_task
from user_management.testing import Account, essentials, sign_up

API = "/api/v1"


@pytest.fixture
async def f(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    """A platform with files, too."""
    pytest.importorskip("file_management")
    async with platform(
        ["user_management", "file_management", "project_management"], seed=essentials
    ) as running:
        yield running


async def uploaded(person: Account, name: str = "plan.txt") -> str:
    answer = await person.client.post(f"{API}/files/upload", files={"file": (name, b"how it is done")})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def readable(person: Account, file_id: str) -> bool:
    statuses = {
        (await person.client.get(f"{API}/files/{file_id}{path}")).status_code for path in ("", "/content")
    }
    assert statuses in ({200}, {404})
    return statuses == {200}


async def test_members_read_the_files_of_their_tasks_for_as_long_as_they_are_members(
    f: RunningPlatform,
) -> None:
    eve, ben, clara = [await sign_up(f, name) for name in ("eve", "ben", "clara")]
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id, "viewer")
    task = await make_task(eve.client, project)
    file_id = await uploaded(eve)
    path = f"{API}/tasks/{task['id']}/attachments"
    assert not await readable(ben, file_id)
    for _ in range(2):  # the second time changes nothing
        assert (await eve.client.put(f"{path}/{file_id}")).status_code == 204
    [attached] = (await ben.client.get(path)).json()["items"]
    assert (attached["file_id"], attached["name"], attached["size"]) == (file_id, "plan.txt", 14)
    assert await readable(ben, file_id)
    assert not await readable(clara, file_id)
    assert (await ben.client.patch(f"{API}/files/{file_id}", json={"name": "x"})).status_code == 403
    await eve.client.delete(f"{API}/projects/{project['id']}/members/{ben.id}")
    assert not await readable(ben, file_id)
    await add_member(eve.client, project, ben.id)
    assert await readable(ben, file_id)
    assert (await ben.client.delete(f"{path}/{file_id}")).status_code == 204
    assert (await ben.client.delete(f"{path}/{file_id}")).status_code == 204
    assert not await readable(ben, file_id)
    events = [event.name.partition(".")[2] for event in await f.events()]
    assert (events.count("file_attached"), events.count("file_detached")) == (1, 1)


@pytest.mark.parametrize("gone", ["task", "project"])
async def test_what_belongs_to_something_deleted_opens_nothing(f: RunningPlatform, gone: str) -> None:
    eve, ben = [await sign_up(f, name) for name in ("eve", "ben")]
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    task = await make_task(eve.client, project)
    file_id = await uploaded(eve)
    await eve.client.put(f"{API}/tasks/{task['id']}/attachments/{file_id}")
    assert await readable(ben, file_id)
    path = f"{API}/tasks/{task['id']}" if gone == "task" else f"{API}/projects/{project['id']}"
    assert (await eve.client.delete(path)).status_code == 204
    assert not await readable(ben, file_id)


async def test_only_who_may_read_a_file_attaches_it(f: RunningPlatform) -> None:
    eve, ben = [await sign_up(f, name) for name in ("eve", "ben")]
    project, task_of_ben = await make_project(eve.client), None
    await add_member(eve.client, project, ben.id)
    task = await make_task(eve.client, project)
    task_of_ben = await make_task(ben.client, await make_project(ben.client))
    file_id, deleted = await uploaded(eve), await uploaded(eve, "old.txt")
    await eve.client.delete(f"{API}/files/{deleted}")
    path = f"{API}/tasks/{task['id']}/attachments"
    for person, url in (
        (ben, f"{path}/{file_id}"),
        (eve, f"{path}/{deleted}"),
        (eve, f"{path}/{project['id']}"),
        (eve, f"{API}/tasks/{task_of_ben['id']}/attachments/{file_id}"),
    ):
        answer = await person.client.put(url)
        assert answer.status_code == 404, url
    await add_member(eve.client, project, (viewer := await sign_up(f, "viewer")).id, "viewer")
    assert (await viewer.client.put(f"{path}/{await uploaded(viewer)}")).status_code == 403
    assert (await ben.client.get(path)).json()["items"] == []


async def test_what_was_only_lent_to_a_project_is_not_passed_on_to_another(f: RunningPlatform) -> None:
    """Or else who leaves would keep reading it through a project of their own."""
    eve, ben = [await sign_up(f, name) for name in ("eve", "ben")]
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    task, second = [await make_task(eve.client, project) for _ in range(2)]
    own = await make_task(ben.client, await make_project(ben.client))
    file_id = await uploaded(eve)
    await eve.client.put(f"{API}/tasks/{task['id']}/attachments/{file_id}")
    refused = await ben.client.put(f"{API}/tasks/{own['id']}/attachments/{file_id}")
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/borrowed-file")
    within = await ben.client.put(f"{API}/tasks/{second['id']}/attachments/{file_id}")
    assert within.status_code == 204, "the same people read it"
    await eve.client.put(f"{API}/files/{file_id}/permissions/{ben.id}", json={"level": "read"})
    shared = await ben.client.put(f"{API}/tasks/{own['id']}/attachments/{file_id}")
    assert shared.status_code == 204


async def test_a_deleted_file_is_in_no_list_and_comes_back_when_it_is_restored(f: RunningPlatform) -> None:
    eve = await sign_up(f, "eve")
    task = await make_task(eve.client, await make_project(eve.client))
    path = f"{API}/tasks/{task['id']}/attachments"
    file_id = await uploaded(eve)
    await eve.client.put(f"{path}/{file_id}")
    await eve.client.delete(f"{API}/files/{file_id}")
    assert (await eve.client.get(path)).json()["items"] == []
    assert (await eve.client.put(f"{path}/{file_id}")).status_code == 404
    await eve.client.post(f"{API}/files/{file_id}/restore")
    assert len((await eve.client.get(path)).json()["items"]) == 1


async def test_without_files_there_is_nothing_to_attach_and_everything_else_works(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    task = await make_task(eve.client, await make_project(eve.client))
    path = f"{API}/tasks/{task['id']}/attachments"
    assert (await eve.client.put(f"{path}/{task['id']}")).status_code == 404
    assert (await ben.client.get(path)).status_code == 404
    await p.deliver()
    assert not [one for one in await p.deliveries() if one.status != "done"]


async def test_an_assigned_task_is_in_the_inbox_and_a_mail_and_one_s_own_is_not(
    platform: PlatformFactory,
) -> None:
    catalogue_type = pytest.importorskip("notification.application.catalogue").Catalogue
    modules = ["user_management", "notification", "project_management"]
    async with platform(modules, seed=essentials) as p:
        catalogue = p.kernel.wiring.resolve("notification", catalogue_type)
        kinds = {name for name in catalogue.kinds if name.startswith("project_management.")}
        told = ("task_assigned", "user_mentioned", "comment_added", "task_status_changed", "member_added")
        assert kinds == {f"project_management.{name}" for name in told}
        assert {key[2] for key in catalogue.templates if key[0] in kinds} == {"en", "de"}
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        project = await make_project(eve.client, name="Roof")
        await add_member(eve.client, project, ben.id)
        await make_task(eve.client, project, title="Own", assignee_id=str(eve.id))
        task = await make_task(
            eve.client, project, title="Tiles", assignee_id=str(ben.id), due_date="2026-12-24"
        )
        await add_comment(eve.client, task, "@ben now?")
        await p.deliver()
        subjects = {(mail.subject, *mail.recipients) for mail in p.mails}
        assert subjects == {
            ("You are in the project Roof", ben.email),
            ("Tiles is yours", ben.email),
            ("You were mentioned: Tiles", ben.email),
        }
        assert any("It is due on 2026-12-24" in mail.text for mail in p.mails)
        inbox = (await ben.client.get(f"{API}/notifications")).json()["items"]
        assert {one["title"] for one in inbox} == {subject for subject, _ in subjects}
        assert next(one["data"] for one in inbox if "yours" in one["title"])["task_id"] == task["id"]
        assert (await eve.client.get(f"{API}/notifications")).json()["items"] == []


async def test_the_seeds_make_projects_and_may_run_again(platform: PlatformFactory) -> None:
    async with platform(["user_management", "project_management"]) as p:
        await p.seed(Tier.DEVELOPMENT)
        for seed in SEEDS:
            await p.kernel.call("project_management", seed.run)
        await p.deliver()
        counts = {
            table: (await p.sql(f"SELECT count(*) AS n FROM project_management.{table}"))[0]["n"]
            for table in ("projects", "project_members", "tasks", "milestones", "expenses", "task_comments")
        }
        assert counts == {
            "projects": 2,
            "project_members": 7,
            "tasks": 10,
            "milestones": 3,
            "expenses": 3,
            "task_comments": 3,
        }
        [row] = await p.sql("SELECT count(*) AS n FROM project_management.activity_entries")
        assert row["n"] > 30
