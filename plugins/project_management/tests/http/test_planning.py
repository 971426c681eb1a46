"""Milestones, the timeline and the feed of what happened."""

from __future__ import annotations

from typing import Any

from platform_core.testing import RunningPlatform
from project_management.contracts.events import EVENTS
from project_management.testing import (
    add_comment,
    add_member,
    log_time,
    make_project,
    make_task,
    record_expense,
    set_milestone,
)
from user_management.testing import Account

API = "/api/v1"


async def pages(account: Account, path: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await account.client.get(
            f"{API}{path}?limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        )
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
    return found


async def test_milestones_are_set_and_listed_by_day(eve: Account) -> None:
    project = await make_project(eve.client)
    later = await set_milestone(eve.client, project, "Roof", "2027-05-01")
    sooner = await set_milestone(eve.client, project, "Walls", "2027-03-01")
    assert await pages(eve, f"/projects/{project['id']}/milestones", 1) == [sooner, later]
    for body in ({"name": "x"}, {"name": " ", "due_date": "2027-01-01"}, {"name": "x", "due_date": "soon"}):
        answer = await eve.client.post(f"{API}/projects/{project['id']}/milestones", json=body)
        assert answer.status_code == 422


async def test_the_timeline_holds_tasks_and_milestones_in_order(p: RunningPlatform, eve: Account) -> None:
    project = await make_project(eve.client)
    path = f"/projects/{project['id']}/timeline"
    assert await pages(eve, path, 5) == []
    due = await make_task(eve.client, project, title="due", due_date="2030-02-01")
    plain = await make_task(eve.client, project, title="plain")
    await set_milestone(eve.client, project, "first", "2029-01-01")
    await set_milestone(eve.client, project, "same day", "2030-02-01")
    gone = await make_task(eve.client, project, title="gone", due_date="2029-06-01")
    await eve.client.delete(f"{API}/tasks/{gone['id']}")
    today = plain["created_at"][:10]
    whole = await pages(eve, path, 50)
    assert [(one["title"], one["on"], one["kind"]) for one in whole] == [
        ("plain", today, "task"),
        ("first", "2029-01-01", "milestone"),
        ("due", "2030-02-01", "task"),
        ("same day", "2030-02-01", "milestone"),
    ]
    assert (whole[2]["id"], whole[2]["starts_on"], whole[2]["status"]) == (due["id"], today, "todo")
    assert (whole[1]["starts_on"], whole[1]["status"]) == (None, None)
    assert await pages(eve, path, 1) == whole


async def test_the_feed_tells_everything_that_happened_once(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    project = await make_project(eve.client)
    one = f"{API}/projects/{project['id']}"
    await eve.client.patch(one, json={"name": "House", "status": "on_hold"})
    await add_member(eve.client, project, ben.id, "viewer")
    await eve.client.patch(f"{one}/members/{ben.id}", json={"role": "member"})
    task = await make_task(eve.client, project, assignee_id=str(ben.id))
    await ben.client.patch(f"{API}/tasks/{task['id']}", json={"status": "in_progress", "priority": "low"})
    await log_time(ben.client, task)
    await add_comment(ben.client, task, "secret words for @eve")
    await record_expense(eve.client, project, "12.5")
    await set_milestone(eve.client, project)
    await eve.client.delete(f"{API}/tasks/{task['id']}")
    await eve.client.delete(f"{one}/members/{ben.id}")
    await p.deliver()
    feed = await pages(eve, f"/projects/{project['id']}/activity", 3)
    happened = [
        event.name.partition(".")[2] for event in await p.events() if event.name.startswith("project_m")
    ]
    assert [line["kind"] for line in feed] == happened[::-1]
    untold = {event.wire_name.partition(".")[2] for event in EVENTS} - set(happened)
    assert untold == {"project_deleted", "file_attached", "file_detached"}
    by_kind = {line["kind"]: line for line in feed}
    assert by_kind["task_status_changed"]["actor_id"] == str(ben.id)
    assert by_kind["task_status_changed"]["data"]["after"] == "in_progress"
    assert by_kind["task_created"]["task_id"] == task["id"]
    assert by_kind["expense_recorded"]["data"]["amount"] == "12.50"
    assert "secret words" not in str(feed), "what people wrote is theirs to take back"
    await p.redeliver("project_management.note_task_created")
    assert await pages(eve, f"/projects/{project['id']}/activity", 50) == feed
