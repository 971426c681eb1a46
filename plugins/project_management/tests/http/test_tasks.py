"""Tasks over HTTP."""

from __future__ import annotations

from platform_core.testing import RunningPlatform
from project_management.testing import add_member, make_project, make_task
from user_management.testing import Account

API = "/api/v1"


async def test_a_task_is_made_read_and_listed(p: RunningPlatform, eve: Account, ben: Account) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    task = await make_task(eve.client, project, assignee_id=str(ben.id))
    answer = await ben.client.get(f"{API}/tasks/{task['id']}")
    assert answer.json() == task
    listed = await ben.client.get(f"{API}/projects/{project['id']}/tasks")
    assert listed.json() == {"items": [task], "next_cursor": None}
