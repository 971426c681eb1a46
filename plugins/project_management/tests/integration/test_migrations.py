"""The tables are as the code wants them, and every statement finds its index when there is much of everything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import AsyncRawCursor

from platform_core._migrations import upgrade
from platform_core._migrations.autogenerate import differences
from platform_core.testing import RunningPlatform, eventually
from project_management.testing import (
    add_comment,
    add_member,
    log_time,
    make_project,
    make_task,
    set_milestone,
)
from user_management.testing import Account

API = "/api/v1"

_FILL = (
    "INSERT INTO {s}.projects (id, version, created_at, updated_at, owner_id, name, status, currency)"
    " SELECT platform.uuid7(), 1, now(), now(), %(eve)s, 'x', 'active', 'EUR' FROM generate_series(1, 5000)",
    "INSERT INTO {s}.project_members SELECT id, %(ben)s, 'member', now() FROM {s}.projects WHERE name = 'x'",
    "INSERT INTO {s}.tasks (id, version, created_at, updated_at, project_id, title, status, priority, created_by)"
    " SELECT platform.uuid7(), 1, now(), now(), id, 'x', 'todo', 'low', owner_id"
    " FROM {s}.projects, generate_series(1, 4) WHERE name = 'x'",
    "INSERT INTO {s}.time_entries (id, version, created_at, updated_at, task_id, user_id, minutes, worked_on)"
    " SELECT platform.uuid7(), 1, now(), now(), id, created_by, 5, now() FROM {s}.tasks",
    "INSERT INTO {s}.task_comments (id, version, created_at, updated_at, task_id, author_id, body)"
    " SELECT platform.uuid7(), 1, now(), now(), id, created_by, 'x' FROM {s}.tasks",
    "INSERT INTO {s}.milestones (id, version, created_at, updated_at, project_id, name, due_date, created_by)"
    " SELECT platform.uuid7(), 1, now(), now(), id, 'x', now(), owner_id FROM {s}.projects",
    "INSERT INTO {s}.expenses (id, version, created_at, updated_at, project_id, amount, currency, note, spent_on,"
    " recorded_by) SELECT platform.uuid7(), 1, now(), now(), id, 5, 'EUR', 'x', now(), owner_id FROM {s}.projects"
    " WHERE currency = 'EUR'",
    "INSERT INTO {s}.activity_entries SELECT platform.uuid7(), project_id, 'x', NULL, id, '{{}}', now() FROM {s}.tasks",
    "INSERT INTO {s}.task_attachments SELECT id, platform.uuid7(), created_by, now() FROM {s}.tasks",
)


async def test_tables_are_as_the_code_wants_them(p: RunningPlatform) -> None:
    [module] = [one for one in p.kernel.migrations if one.name == "project_management"]
    assert await asyncio.to_thread(differences, p.database_url, module) == []


async def test_migrating_again_changes_nothing(p: RunningPlatform) -> None:
    report = await asyncio.to_thread(upgrade, p.database_url, p.kernel.migrations)
    assert not any(module.applied for module in report.modules)


async def test_no_statement_reads_a_whole_large_table(p: RunningPlatform, eve: Account, ben: Account) -> None:
    sent: dict[str, Sequence[Any]] = {}

    def note(module: str, _purpose: str, sql: str, values: Sequence[Any]) -> None:
        if module == "project_management":
            sent.setdefault(sql, list(values))

    # once and for all: what the feed shows without an event to tell of it is looked for everywhere
    await eventually(lambda: _feed_is_made(p))
    p.kernel.pools.watchers.append(note)
    await _use_everything(eve, ben)
    await p.deliver()
    p.kernel.pools.watchers.remove(note)
    async with await psycopg.AsyncConnection.connect(p.database_url, autocommit=True) as connection:
        for statement in _FILL:
            values = {"eve": eve.id, "ben": ben.id}
            await connection.execute(statement.format(s="project_management").encode(), values)
        await connection.execute("ANALYZE")
        found = [
            (node["Relation Name"], " ".join(sql.split())[:200])
            for sql, values in sent.items()
            for node in await _plan(connection, sql, values)
            if node["Node Type"] == "Seq Scan" and node.get("Schema") == "project_management"
        ]
    assert len(sent) > 40, "too little was tried"
    assert found == []


async def _feed_is_made(p: RunningPlatform) -> bool:
    return (await p.kernel.replays.run("project_management.activity")).is_done


async def _use_everything(eve: Account, ben: Account) -> None:
    client = eve.client
    project = await make_project(client, budget={"amount": "5", "currency": "EUR"})
    one = f"{API}/projects/{project['id']}"
    await add_member(client, project, ben.id)
    task = await make_task(client, project, assignee_id=str(ben.id))
    part = await make_task(client, project, parent_id=task["id"])
    await log_time(client, task)
    comment = await add_comment(client, task, "@ben")
    await add_comment(client, task, "x", parent_id=comment["id"])
    await set_milestone(client, project)
    await client.patch(f"{API}/tasks/{part['id']}", json={"status": "cancelled", "parent_id": None})
    await client.patch(f"{API}/comments/{comment['id']}", json={"body": "y"})
    money = {"amount": {"amount": "1", "currency": "EUR"}, "note": "x", "spent_on": "2026-11-23"}
    await client.post(f"{one}/expenses", json=money)
    for path in ("", "/members", "/expenses", "/milestones", "/timeline", "/activity", f"/members/{ben.id}"):
        await client.get(one + path)
    for query in (
        "",
        "?status=todo",
        f"?assignee_id={ben.id}",
        "?q=x",
        f"?status=todo&assignee_id={ben.id}&q=x",
    ):
        page = await client.get(f"{one}/tasks{query}{'&' if query else '?'}limit=1")
        if page.json()["next_cursor"]:
            await client.get(f"{one}/tasks?limit=1&cursor={page.json()['next_cursor']}")
    for path in ("", "/comments", "/time-entries"):
        await client.get(f"{API}/tasks/{task['id']}{path}")
    await client.get(f"{API}/comments/{comment['id']}")
    await client.get(f"{API}/projects")
    await client.patch(f"{one}/members/{ben.id}", json={"role": "owner"})
    await client.delete(f"{one}/members/{ben.id}")
    await client.patch(one, json={"status": "on_hold"})
    await client.delete(f"{API}/comments/{comment['id']}")
    await client.delete(f"{API}/tasks/{task['id']}")
    await client.delete(one)


async def _plan(
    connection: psycopg.AsyncConnection[Any], sql: str, values: Sequence[Any]
) -> list[dict[str, Any]]:
    if sql in ("BEGIN", "COMMIT"):
        return []
    cursor = AsyncRawCursor(connection)
    await cursor.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {sql}".encode(), values)
    row = await cursor.fetchone()
    assert row is not None
    told = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return list(_nodes(told[0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
