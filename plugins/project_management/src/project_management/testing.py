"""
For tests, of this plugin and of those that need projects: one of everything, made over HTTP as its people would.

    eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
    project = await make_project(eve.client)
    await add_member(eve.client, project, ben.id)
    task = await make_task(eve.client, project, assignee_id=str(ben.id))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = [
    "FACTORIES",
    "add_comment",
    "add_member",
    "log_time",
    "make_project",
    "make_task",
    "record_expense",
    "set_milestone",
    "settings_for_tests",
]

Thing = dict[str, Any]
"""What a route answered."""


def settings_for_tests() -> Mapping[str, str]:
    """Return what this plugin needs to start under test: nothing."""
    return {}


async def make_project(client: AsyncClient, **fields: Any) -> Thing:
    """Begin a project, whose owner is the caller."""
    return await _made(client, "/projects", {"name": "House and garden"} | fields)


async def add_member(client: AsyncClient, project: Thing, user_id: UUID, role: str = "member") -> Thing:
    """Let somebody take part in a project."""
    body = {"user_id": str(user_id), "role": role}
    return await _made(client, f"/projects/{project['id']}/members", body)


async def make_task(client: AsyncClient, project: Thing, **fields: Any) -> Thing:
    """Put a task into a project."""
    return await _made(client, f"/projects/{project['id']}/tasks", {"title": "Paint the fence"} | fields)


async def add_comment(client: AsyncClient, task: Thing, body: str = "Green?", **fields: Any) -> Thing:
    """Say something about a task."""
    return await _made(client, f"/tasks/{task['id']}/comments", {"body": body} | fields)


async def log_time(client: AsyncClient, task: Thing, minutes: int = 30, **fields: Any) -> Thing:
    """Note that the caller worked on a task."""
    body = {"minutes": minutes, "worked_on": "2026-11-23"} | fields
    return await _made(client, f"/tasks/{task['id']}/time-entries", body)


async def record_expense(
    client: AsyncClient, project: Thing, amount: str = "49.90", currency: str = "EUR", **fields: Any
) -> Thing:
    """Note that a project cost money."""
    money = {"amount": amount, "currency": currency}
    body = {"amount": money, "note": "Paint", "spent_on": "2026-11-23"} | fields
    return await _made(client, f"/projects/{project['id']}/expenses", body)


async def set_milestone(
    client: AsyncClient, project: Thing, name: str = "Spring", due_date: str = "2027-03-20"
) -> Thing:
    """Set a milestone in a project."""
    return await _made(client, f"/projects/{project['id']}/milestones", {"name": name, "due_date": due_date})


async def _made(client: AsyncClient, path: str, body: Mapping[str, Any]) -> Thing:
    answer = await client.post(f"/api/v1{path}", json=dict(body))
    assert answer.status_code == 201, answer.text  # noqa: S101  # assertions are its product
    made: Thing = answer.json()
    return made


FACTORIES: Final = {
    "project_management.project": make_project,
    "project_management.task": make_task,
    "project_management.comment": add_comment,
    "project_management.time_entry": log_time,
    "project_management.expense": record_expense,
    "project_management.milestone": set_milestone,
}
"""What makes one of each aggregate."""
