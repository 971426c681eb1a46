"""Whoever registers finds what the installed modules prepare, soon after; whoever goes leaves things in order."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from platform_core.domain import new_id
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.application import DeleteUser
from user_management.testing import Account, essentials, log_in

pytest.importorskip("file_management")
pytest.importorskip("notification")
pytest.importorskip("project_management")

API = "/api/v1"
PASSWORD = "correct horse battery"  # of an account that lives as long as a test
STEPS = {
    "file_management": "file_management.workspace",
    "project_management": "project_management.project",
    "notification": "notification.welcome",
}
"""Module → the step that it contributes, in the order in which they are taken."""


async def register(p: RunningPlatform, username: str = "eve") -> dict[str, Any]:
    body = {"email": f"{username}@example.com", "username": username, "password": PASSWORD}
    answer = await p.client.post(f"{API}/users/register", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def saga(p: RunningPlatform) -> dict[str, Any] | None:
    rows = await p.sql("SELECT name, status, steps FROM platform.sagas")
    return rows[0] if rows else None


async def folders(eve: Account) -> list[str]:
    answer = await eve.client.get(f"{API}/folders/root/children")
    return [child["folder"]["name"] for child in answer.json()["items"]]


@pytest.mark.parametrize(
    "modules",
    [
        [],
        ["notification"],
        ["file_management"],
        ["project_management"],
        ["file_management", "notification"],
        ["file_management", "project_management"],
        ["notification", "project_management"],
    ],
    ids=lambda modules: "+".join(modules) or "nobody",
)
async def test_every_module_that_is_there_does_its_part(
    platform: PlatformFactory, modules: list[str]
) -> None:
    async with platform(["user_management", *modules], seed=essentials) as p:
        await register(p)
        await p.deliver()
        stands = await saga(p)
        if not modules:
            assert stands is None
        else:
            assert stands is not None
            steps = [(step["name"], step["status"]) for step in stands["steps"]]
            assert steps == [(name, "completed") for module, name in STEPS.items() if module in modules]
            assert stands["status"] == "completed"


@pytest.fixture
async def p(platform: PlatformFactory) -> Any:
    async with platform(["user_management", *STEPS], seed=essentials, mail=True) as running:
        yield running


async def test_registration_answers_at_once_and_everything_is_there_soon_after(p: RunningPlatform) -> None:
    await register(p)
    eve = await log_in(p, "eve@example.com", PASSWORD)
    assert await folders(eve) == [], "nobody waits for what is prepared"
    await p.deliver()

    assert await folders(eve) == ["Workspace"]
    [project] = (await eve.client.get(f"{API}/projects")).json()["items"]
    assert (project["name"], project["owner_id"]) == ("My first project", str(eve.id))
    [entry] = (await eve.client.get(f"{API}/notifications")).json()["items"]
    assert entry["kind"] == "notification.ready"
    assert "Workspace" in entry["body"]
    assert "My first project" in entry["body"]
    [mail] = p.mails
    assert "verify-email?token=" in mail.text, "one mail, that of the event, with its link"


async def test_each_step_may_come_twice(p: RunningPlatform) -> None:
    from file_management.application.onboarding import PrepareWorkspace
    from notification.application.onboarding import Welcome
    from project_management.application.onboarding import PrepareProject

    made = await register(p)
    await p.deliver()
    user_id, again = UUID(made["id"]), new_id()
    await p.execute(PrepareWorkspace(folder_id=again, owner_id=user_id))
    await p.execute(PrepareProject(project_id=again, owner_id=user_id))
    [run] = await p.sql("SELECT id FROM platform.sagas")
    await p.execute(Welcome(welcome_id=run["id"], user_id=user_id))
    await p.deliver()
    for table in ("file_management.folders", "project_management.projects", "notification.notifications"):
        [row] = await p.sql(f"SELECT count(*) AS n FROM {table}")  # three constants
        assert row["n"] == 1, table


async def test_nothing_is_prepared_for_whoever_has_gone_already(p: RunningPlatform) -> None:
    made = await register(p)
    await p.execute(DeleteUser(user_id=UUID(made["id"])))
    await p.deliver()
    for table in ("file_management.folders", "project_management.projects", "notification.notifications"):
        assert await p.sql(f"SELECT id FROM {table}") == [], table  # three constants


async def test_a_deployer_may_want_none_of_it(platform: PlatformFactory) -> None:
    settings = {
        "PLATFORM_FILE_MANAGEMENT_ONBOARDING": "false",
        "PLATFORM_PROJECT_MANAGEMENT_ONBOARDING": "false",
    }
    modules = ["user_management", "file_management", "project_management"]
    async with platform(modules, seed=essentials, settings=settings) as p:
        await register(p)
        await p.deliver()
        stands = await saga(p)
        assert stands is not None
        assert stands["status"] == "completed"
        assert await p.sql("SELECT id FROM file_management.folders") == []
        assert await p.sql("SELECT id FROM project_management.projects") == []
