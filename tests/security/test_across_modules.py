"""Row 49: what one module knows opens nothing in another, and what a project opened closes when somebody leaves it."""

from attacks import API

from file_management.testing import picture, upload
from notification.testing import announce
from platform_core.testing import PlatformFactory
from project_management.testing import add_comment, add_member, make_project, make_task
from user_management.testing import Account, essentials, sign_up

MODULES = ["user_management", "notification", "file_management", "project_management"]
READ = ("", "/content", "/thumbnail", "/versions", "/versions/1/content")
"""Every way to look at a file, its picture and what it was before."""


async def seen(person: Account, file_id: str) -> set[int]:
    return {(await person.client.get(f"{API}/files/{file_id}{path}")).status_code for path in READ}


async def titles(person: Account) -> set[str]:
    return {one["title"] for one in (await person.client.get(f"{API}/notifications")).json()["items"]}


async def test_row_49_nobody_gets_into_a_module_by_way_of_another(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, ben, mallory = [await sign_up(p, name) for name in ("eve", "ben", "mallory")]
        secret = (await upload(ben.client, "salary.jpg", picture()))["id"]
        shared = (await upload(eve.client, "plan.jpg", picture()))["id"]
        own = await make_task(mallory.client, await make_project(mallory.client))
        project = await make_project(eve.client, name="Roof")
        await add_member(eve.client, project, ben.id)
        task = await make_task(eve.client, project, assignee_id=str(ben.id))
        attached = await eve.client.put(f"{API}/tasks/{task['id']}/attachments/{shared}")
        assert attached.status_code == 204
        await p.deliver()
        before = await p.sql("SELECT id FROM audit.domain_events")

        # a file of somebody else at a task of one's own
        answer = await mallory.client.put(f"{API}/tasks/{own['id']}/attachments/{secret}")
        assert answer.status_code == 404
        assert await seen(mallory, secret) == {404}
        # a task of somebody else, and whoever is not in its project, as an assignee
        answer = await mallory.client.put(f"{API}/tasks/{task['id']}/attachments/{shared}")
        assert answer.status_code == 404
        answer = await mallory.client.patch(f"{API}/tasks/{own['id']}", json={"assignee_id": str(ben.id)})
        assert answer.status_code == 422
        # a file in the folder of somebody else
        folder = (await ben.client.post(f"{API}/folders", json={"name": "Private"})).json()["id"]
        answer = await mallory.client.post(
            f"{API}/files/upload", files={"file": ("a.txt", b"a")}, data={"folder_id": folder}
        )
        assert answer.status_code == 404
        assert await p.sql("SELECT id FROM audit.domain_events") == before

        # names in comments tell nobody outside, and nobody reads or ends the notifications of others
        await add_comment(mallory.client, own, "@ben @eve look here")
        await announce(p, ben.id, title="For Ben alone")
        await p.deliver()
        assert await titles(ben) >= {"For Ben alone"}
        assert not {title for person in (eve, ben) for title in await titles(person) if "mentioned" in title}
        [told, *_] = (await ben.client.get(f"{API}/notifications")).json()["items"]
        for method, path in (("POST", f"{told['id']}/read"), ("DELETE", told["id"])):
            answer = await mallory.client.request(method, f"{API}/notifications/{path}")
            assert answer.status_code == 404
        assert await titles(mallory) == set()


async def test_row_49_who_leaves_a_project_reads_none_of_its_files_any_more(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        plan = (await upload(eve.client, "plan.jpg", picture()))["id"]
        await eve.client.post(
            f"{API}/files/{plan}/versions", files={"file": ("plan.jpg", picture(color="red"))}
        )
        project = await make_project(eve.client)
        await add_member(eve.client, project, ben.id)
        task = await make_task(eve.client, project)
        await eve.client.put(f"{API}/tasks/{task['id']}/attachments/{plan}")
        await p.deliver()
        assert await seen(ben, plan) == {200}
        # what is read by way of a project cannot be carried into one of one's own
        own = await make_task(ben.client, await make_project(ben.client))
        carried = await ben.client.put(f"{API}/tasks/{own['id']}/attachments/{plan}")
        assert carried.status_code == 403
        left = await ben.client.delete(f"{API}/projects/{project['id']}/members/{ben.id}")
        assert left.status_code == 204
        assert await seen(ben, plan) == {404}
        assert (await ben.client.get(f"{API}/tasks/{task['id']}/attachments")).status_code == 404
        await make_task(eve.client, project, title="Without Ben")
        await p.deliver()
        assert "Without Ben is yours" not in await titles(ben)
        assert await seen(eve, plan) == {200}
