"""
Real processes die by `kill -9` while somebody comes, and while somebody goes.

Whoever registered is there with everything that was prepared for them, once; whoever goes leaves every project, once,
however many there are and wherever among them somebody died.

Red with the code broken on purpose: with the completion of a batch in a statement of its own, one that dies `after` is
done and not counted. The steps of onboarding bear that, and a second time, by their own rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import httpx2
import pytest

from platform_core.testing import PlatformFactory, RunningPlatform, RunPlatform, eventually
from platform_core.testing.crashing import KILLED, MOMENTS, doomed_to
from user_management.application import DeleteUser
from user_management.testing import essentials, log_in, sign_up

pytest.importorskip("file_management")
pytest.importorskip("notification")
pytest.importorskip("project_management")

pytestmark = [pytest.mark.long, pytest.mark.processes]

API = "/api/v1"
PASSWORD = "correct horse battery"  # of an account that lives as long as a test
EVE = {"email": "eve@example.com", "username": "eve", "password": PASSWORD}
STEPS = ("file_management.prepare_workspace", "project_management.prepare_project", "notification.welcome")


_PROJECTS = """
INSERT INTO project_management.projects (id, version, created_at, updated_at, owner_id, name, status)
SELECT platform.uuid7(), 1, now(), now(), %(owner)s, 'Number ' || n, 'active' FROM generate_series(1, %(count)s) n
RETURNING id
"""
_MEMBERS = """
INSERT INTO project_management.project_members (project_id, user_id, role, joined_at)
SELECT unnest(%(projects)s::uuid[]), %(user)s, %(role)s, now()
"""


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    modules = ["user_management", "file_management", "notification", "project_management"]
    settings = {"PLATFORM_LEASE_SECONDS": "2", "PLATFORM_POLL_SECONDS": "0.2"}
    async with platform(modules, seed=essentials, settings=settings, mail=True) as one:
        yield one


async def a_worker_dies(p: RunningPlatform, run_platform: RunPlatform, **doom: Any) -> None:
    """Let it take what there is, and die; its lease ends a little earlier than it would."""
    with run_platform("worker", **doomed_to(p=p, **doom)) as worker:
        assert await asyncio.to_thread(worker.wait) == KILLED
    await p.sql("UPDATE platform.deliveries SET available_at = now() WHERE status = 'pending'")


async def end(p: RunningPlatform, run_platform: RunPlatform, name: str) -> dict[str, Any]:
    """Let a worker end what was interrupted; return the run."""

    async def has_ended() -> bool:
        return bool(
            await p.sql(
                "SELECT FROM platform.sagas WHERE name = %(n)s AND finished_at IS NOT NULL",
                n=name,
            )
        )

    with run_platform("worker", env=p.environment, ready="worker started"):
        await eventually(has_ended)
    [run] = await p.sql("SELECT id, status, steps FROM platform.sagas WHERE name = %(n)s", n=name)
    return run


async def test_who_registers_finds_everything_once_however_many_workers_die_over_it(
    p: RunningPlatform, run_platform: RunPlatform
) -> None:
    options = doomed_to("user_management.register_user", "after", p)
    with run_platform("serve", "--port", "0", **options) as api:
        url = (await asyncio.to_thread(api.wait_for_line, r'"(http://127\.0\.0\.1:\d+)"'))[1]
        async with httpx2.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
            with pytest.raises(httpx2.TransportError):
                await client.post(f"{API}/users/register", json=EVE)
        assert await asyncio.to_thread(api.wait) == KILLED

    for command, moment in product(STEPS, MOMENTS):
        await a_worker_dies(p, run_platform, command=command, moment=moment)
    run = await end(p, run_platform, "user_management.onboarding")

    assert (run["status"], [step["status"] for step in run["steps"]]) == ("completed", ["completed"] * 3)
    eve = await log_in(p, EVE["email"], PASSWORD)
    folders = (await eve.client.get(f"{API}/folders/root/children")).json()["items"]
    projects = (await eve.client.get(f"{API}/projects")).json()["items"]
    notes = (await eve.client.get(f"{API}/notifications")).json()["items"]
    assert [child["folder"]["name"] for child in folders] == ["Workspace"]
    assert [project["name"] for project in projects] == ["My first project"]
    assert [note["kind"] for note in notes] == ["notification.ready"]
    log = await p.sql(
        "SELECT step, what FROM platform.saga_log WHERE saga_id = %(id)s ORDER BY id", id=run["id"]
    )
    assert [entry["what"] for entry in log] == ["started", *["completed"] * 3]


async def test_who_goes_leaves_every_project_once_although_workers_die_between_and_in_batches(
    p: RunningPlatform, run_platform: RunPlatform
) -> None:
    from project_management.application.offboarding import BATCH_COUNT

    eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
    projects = await p.sql(_PROJECTS, owner=eve.id, count=2 * BATCH_COUNT + 1)
    kept = {str(project["id"]) for project in (projects[0], projects[-1])}
    await p.sql(_MEMBERS, user=eve.id, role="owner", projects=[project["id"] for project in projects])
    await p.sql(_MEMBERS, user=ben.id, role="member", projects=list(kept))
    await p.execute(DeleteUser(user_id=eve.id))

    command = "project_management.leave_projects"
    for moment, time, left in (("after", 1, 1 + BATCH_COUNT), ("inside", 2, 1), ("before", 1, 1)):
        await a_worker_dies(p, run_platform, command=command, moment=moment, time=time)
        [held] = await p.sql(
            "SELECT count(*) FROM project_management.project_members WHERE user_id = %(id)s", id=eve.id
        )
        assert held["count"] == left, (moment, "what a batch did is there, and of the next one nothing")
    run = await end(p, run_platform, "user_management.offboarding")

    assert (run["status"], run["steps"][-1]["batches"]) == ("completed", 2)
    told = await p.sql(
        "SELECT name, aggregate_id FROM audit.domain_events WHERE name = ANY(%(names)s)",
        names=["project_management.member_removed", "project_management.project_deleted"],
    )
    expected = sorted(("project_management.member_removed", str(one["id"])) for one in projects)
    expected += sorted(
        ("project_management.project_deleted", str(one["id"]))
        for one in projects
        if str(one["id"]) not in kept
    )
    assert sorted((one["name"], str(one["aggregate_id"])) for one in told) == expected, "each thing once"
    assert {one["id"] for one in (await ben.client.get(f"{API}/projects")).json()["items"]} == kept
    log = await p.sql(
        "SELECT what, detail FROM platform.saga_log WHERE saga_id = %(id)s ORDER BY id", id=run["id"]
    )
    assert [(entry["what"], entry["detail"]) for entry in log] == [
        ("started", None),
        ("going on", "in batches"),
        ("completed", "in 3 batches"),
    ]
