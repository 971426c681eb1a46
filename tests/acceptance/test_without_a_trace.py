"""
A module comes as a wheel into an environment that has the kernel and user management only, works, and goes again.

Afterwards the database is one where it never was: its whole catalogue as `pg_dump` writes it, its roles, and the
kernel's tables row by row. Only what happened stays: events and the trail are history (decision 0023).
"""

from __future__ import annotations

import difflib
import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import psycopg
import pytest
from psycopg import sql

from platform_core._pools import libpq_url
from platform_core.embedded.programs import find_postgres
from platform_core.testing import RunningProcess

if TYPE_CHECKING:
    from conftest import Machine

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[2]
PASSWORD = "a long enough sentence"
API = "/api/v1"


@pytest.fixture(scope="module")
def machine(clean_machine: Machine) -> Machine:
    """The kernel and user management are installed from their wheels, and nothing else of ours."""
    clean_machine.install(
        clean_machine.build_in_place(REPOSITORY),
        clean_machine.build(REPOSITORY / "plugins" / "user_management"),
    )
    return clean_machine


def test_a_module_comes_as_a_wheel_works_goes_and_leaves_nothing_but_history(
    machine: Machine, services: Mapping[str, str], address: Callable[[RunningProcess], str]
) -> None:
    machine.settings, url = {**services}, libpq_url(services["DATABASE_URL"])
    assert installed(machine) == ["platform", "user_management"]
    machine.platform("db", "upgrade")
    machine.platform("seed", "--env", "development")
    with machine.start("serve"), machine.start("worker"):
        pass  # what they write about themselves is there
    before, history = dump(url), past(url)

    machine.platform("modules", "new", "blog")
    wheel = machine.build(machine.desk / "platform-plugin-blog")
    machine.platform("modules", "check", str(wheel))
    machine.install(wheel)
    assert installed(machine) == ["platform", "user_management", "blog"]
    machine.platform("db", "upgrade")
    machine.platform("db", "check", "--module", "blog")
    machine.platform("db", "lint", "--module", "blog")
    machine.platform("seed", "--env", "development", "--module", "blog")
    with machine.start("serve") as serving, machine.start("worker"):
        with httpx2.Client(base_url=address(serving), timeout=30) as client:
            works(client, url)
            assert dump(url) != before
            machine.platform("modules", "remove", "blog", "--yes", "--purge")
            assert (
                client.get(f"{API}/blog/entries").status_code == 404
            )  # whoever still has it loaded has closed it

    machine.uninstall("platform-plugin-blog")
    assert installed(machine) == ["platform", "user_management"]
    with machine.start("serve"), machine.start("worker"):  # the first that starts without it drops its switch
        pass
    after = dump(url)
    assert after == before, "\n".join(
        difflib.unified_diff(before, after, "before", "after", lineterm="", n=0)
    )
    assert history <= past(url), "what happened cannot be taken back"
    assert mentions(url, "blog") == []


def installed(machine: Machine) -> list[str]:
    return [module["name"] for module in json.loads(machine.platform("modules", "list", "--json").stdout)]


def works(client: httpx2.Client, url: str) -> None:
    """Its routes answer, a key is kept for it, and its handler hears of another module's event."""
    eve = {"email": "eve@example.com", "username": "eve", "password": PASSWORD}
    assert client.post(f"{API}/users/register", json=eve).status_code == 201
    hers, admin = log_in(client, "eve"), log_in(client, "admin")
    entry = {"title": "A title", "text": "A text"}
    answers = [
        client.post(f"{API}/blog/entries", json=entry, headers={**hers, "Idempotency-Key": "once"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201], answers[0].text
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    titles = [item["title"] for item in client.get(f"{API}/blog/entries", headers=hers).json()["items"]]
    assert (titles.count("A title"), "Welcome" in titles) == (1, True)

    moderator = {"name": "moderator", "permissions": ["blog:moderate", "users:read"]}
    assert client.post(f"{API}/roles", json=moderator, headers=admin).status_code == 201
    me = client.get(f"{API}/users/me", headers=hers).json()["id"]
    assert client.delete(f"{API}/users/{me}", headers=admin).status_code == 204
    heard = (
        "SELECT count(*) FROM platform.deliveries WHERE handler = 'blog.forget_author' AND status = 'done'"
    )
    deadline = time.monotonic() + 40
    while rows(url, heard) != [(1,)]:
        assert time.monotonic() < deadline, "its handler heard nothing"
        time.sleep(0.1)


def log_in(client: httpx2.Client, name: str) -> dict[str, str]:
    answer = client.post(f"{API}/auth/login", json={"email": f"{name}@example.com", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def dump(url: str) -> list[str]:
    """The catalogue and the kernel's tables as lines, but for when something was seen and how often switches moved."""
    schema = subprocess.run(
        [find_postgres() / "pg_dump", "--schema-only", url], capture_output=True, text=True, check=True
    ).stdout
    # since 2025 a dump begins and ends with a secret of its own, so that nobody smuggles commands into it
    catalogue = [line for line in schema.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
    roles = rows(
        url,
        "SELECT r.rolname, m.rolname FROM pg_roles r LEFT JOIN pg_auth_members a ON a.roleid = r.oid"
        " LEFT JOIN pg_roles m ON m.oid = a.member WHERE r.rolname LIKE current_database() || '%' ORDER BY 1, 2",
    )
    return [
        *catalogue,
        *(f"role {role} of {member}" for role, member in roles),
        *(
            f"{table}: {row}"
            for table in tables(url, "platform")
            for row in content(url, table, without=["seen_at", "epoch"])
        ),
    ]


def past(url: str) -> set[str]:
    """Every event and every line of the trail."""
    return {
        row
        for table in (("audit", "domain_events"), ("audit", "audit_logs"))
        for row in content(url, table, without=[])
    }


def mentions(url: str, word: str) -> list[str]:
    """Where a word still stands, in any column of any table that is not history."""
    return [
        f"{schema}.{name}: {row}"
        for schema, name in tables(url, "%")
        if schema != "audit"
        for row in content(url, (schema, name), without=[])
        if word in row
    ]


def tables(url: str, schema: str) -> list[tuple[str, str]]:
    return rows(
        url,
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname LIKE %s"
        " AND schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2",
        schema,
    )


def content(url: str, table: tuple[str, str], *, without: list[str]) -> list[str]:
    statement = sql.SQL("SELECT (to_jsonb(t) - %s::text[])::text FROM {} t ORDER BY 1").format(
        sql.Identifier(*table)
    )
    with psycopg.connect(url) as connection:
        return [row for (row,) in connection.execute(statement, (without,))]


def rows(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode(), values or None).fetchall()
