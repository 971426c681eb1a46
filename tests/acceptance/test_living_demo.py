"""The development seeds of all shipped modules together: what a person finds who starts `platform dev`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from platform_core.declarations import Tier
from platform_core.testing import PlatformFactory
from user_management.testing import log_in

API = "/api/v1"
SHIPPED = sorted(path.parent.name for path in Path(__file__).parents[2].glob("plugins/*/pyproject.toml"))
PASSWORD = "a sentence that the operator chose"
WORKER_ANSWERS = {"task_assigned", "user_mentioned", "file_processed", "announcement"}
"""Kinds of notifications that only a worker can have made of what the seeds did."""


@pytest.mark.slow
async def test_the_development_seeds_make_a_living_demo(platform: PlatformFactory) -> None:
    operator = {"PLATFORM_ADMIN_EMAIL": "admin@example.com", "PLATFORM_ADMIN_PASSWORD": PASSWORD}
    async with platform(SHIPPED, settings=operator) as p:
        await p.sql("DELETE FROM platform.subscriptions")  # a fresh database: nothing has run yet
        await p.seed(Tier.DEVELOPMENT)
        await p.deliver()

        async def seen(who: str, path: str) -> list[dict[str, Any]]:
            client = (await log_in(p, f"{who}@example.com", PASSWORD)).client
            items: list[dict[str, Any]] = (await client.get(f"{API}{path}")).json()["items"]
            return items

        assert {user["username"] for user in await seen("admin", "/users")} >= {
            "anna",
            "ben",
            "clara",
            "david",
        }
        projects = await seen("clara", "/projects")
        assert len(projects) == 2
        assert any(0 < project["progress"] < 1 for project in projects)
        site = next(project for project in projects if project["name"] == "New website")
        tasks = await seen("clara", f"/projects/{site['id']}/tasks")
        assert {task["status"] for task in tasks} == {"todo", "in_progress", "review", "done", "cancelled"}
        for path in ("members", "milestones", "expenses", "timeline", "activity"):
            assert await seen("clara", f"/projects/{site['id']}/{path}"), f"there are no {path}"

        told = {
            one["kind"].partition(".")[2]
            for who in ("anna", "ben", "clara")
            for one in await seen(who, "/notifications")
        }
        assert told >= WORKER_ANSWERS
        assert {"Build the search is yours"} <= {mail.subject for mail in p.mails}
        assert not any(
            "admin@example.com" in mail.recipients and "password" in mail.subject for mail in p.mails
        )

        [picture] = [file for file in await seen("anna", "/files") if file["name"] == "sunset.jpg"]
        assert (picture["status"], picture["has_thumbnail"]) == ("completed", True)
        anna = (await log_in(p, "anna@example.com", PASSWORD)).client
        thumbnail = await anna.get(f"{API}/files/{picture['id']}/thumbnail")
        assert (thumbnail.headers["content-type"], thumbnail.content[8:12]) == ("image/webp", b"WEBP")
        assert await seen("anna", "/courses")
        assert await seen("anna", "/posts")
