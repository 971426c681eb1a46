"""How often the database is asked: once to read, membership included; twice and once more to make a task."""

from __future__ import annotations

import asyncio
from typing import Any

from platform_core.testing import RunningPlatform
from project_management.testing import add_comment, add_member, log_time, make_project, make_task
from user_management.testing import Account

API = "/api/v1"


async def settled(p: RunningPlatform, *people: Account) -> None:
    """Wait until sessions are believed without asking for them, as ten seconds after the start."""
    p.kernel.standings._everybody = 0.0
    await asyncio.sleep(1.2)
    async with asyncio.timeout(30):
        for person in people:
            while True:
                with p.count_statements() as traffic:
                    await person.client.get(f"{API}/users/me")
                if traffic.count == 1:
                    break


async def test_reading_is_one_statement_and_one_packet_to_redis(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    tasks = [await make_task(eve.client, project) for _ in range(30)]
    await add_comment(eve.client, tasks[0])
    await log_time(eve.client, tasks[0])
    await p.deliver()
    await settled(p, ben)
    one = f"{API}/projects/{project['id']}"
    for path in (
        f"{API}/tasks/{tasks[0]['id']}",
        f"{API}/tasks/{tasks[0]['id']}/comments",
        f"{API}/tasks/{tasks[0]['id']}/time-entries",
        f"{API}/projects",
        one,
        f"{one}/members",
        f"{one}/tasks",
        f"{one}/tasks?status=todo&limit=20&q=fence",
        f"{one}/timeline",
        f"{one}/activity",
    ):
        await ben.client.get(path)
        with p.count_statements() as traffic:
            answer = await ben.client.get(path)
        assert answer.status_code == 200
        assert (traffic.count, traffic.redis_packets) == (1, 1), (path, str(traffic))


async def test_making_a_task_takes_one_read_and_one_write(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    await settled(p, eve)
    path = f"{API}/projects/{project['id']}/tasks"
    for draft in (
        {"title": "x"},
        {"title": "x", "assignee_id": str(eve.id)},
        {"title": "x", "assignee_id": str(ben.id)},
    ):
        await eve.client.post(path, json=draft)
        with p.count_statements() as traffic:
            answer = await eve.client.post(path, json=draft)
        assert answer.status_code == 201
        assert dict(traffic.by_module) == {"project_management": 2}, str(traffic)


async def test_moving_a_task_on_takes_one_read_and_one_write(p: RunningPlatform, eve: Account) -> None:
    task = await make_task(eve.client, await make_project(eve.client))
    await settled(p, eve)
    changes: dict[str, Any] = {"status": "in_progress", "title": "y", "priority": "low"}
    with p.count_statements() as traffic:
        answer = await eve.client.patch(f"{API}/tasks/{task['id']}", json=changes)
    assert answer.status_code == 200
    assert traffic.count == 2, str(traffic)
