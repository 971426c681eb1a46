"""What `platform modules new` writes is a package like any other: built, installed, tested, migrated, served."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import psycopg
import pytest

from platform_core.testing import RunningProcess

if TYPE_CHECKING:
    from conftest import Machine

pytestmark = pytest.mark.long

PASSWORD = "a long enough sentence"


@pytest.fixture(scope="module")
def machine(new_machine: Callable[[str], Machine]) -> Machine:
    return new_machine("author")


def run_in(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("kind", ["full", "minimal"])
def test_a_new_module_is_installed_and_its_tests_pass(
    machine: Machine, kind: str, record_property: Callable[[str, object], None]
) -> None:
    name = f"{kind}_blog"
    began = time.monotonic()
    machine.platform("modules", "new", name, *(["--minimal"] if kind == "minimal" else []))
    source = machine.desk / f"platform-plugin-{kind}-blog"
    wheel = machine.build(source)
    machine.platform("modules", "check", str(wheel), PLATFORM_ENV="development")
    machine.install(wheel)
    run_in(source, machine.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    # a promise for a quiet machine, and no reason to fail on one that runs other tests, too
    record_property("seconds from `new` to tests that pass", round(time.monotonic() - began, 1))
    for tool in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--no-incremental", "src"]):
        run_in(source, sys.executable, "-m", *tool)


def test_a_frozen_set_is_installed_again_from_its_wheels(machine: Machine) -> None:
    file = machine.desk / "modules.txt"
    file.write_text(machine.platform("modules", "freeze", PLATFORM_MODULES="full_blog,minimal_blog").stdout)
    machine.uninstall("platform-plugin-minimal-blog")
    told = machine.platform("modules", "sync", str(file), "--check", fails=True).stdout
    assert told == "minimal_blog: it is not installed\n"
    [changed] = machine.home.glob("environment/lib/python*/site-packages/full_blog/domain.py")
    changed.write_text(changed.read_text() + "\n# somebody was here\n")
    wheels = machine.home / "wheelhouse"
    wheels.mkdir()
    for wheel in machine.home.glob("wheels/*/*.whl"):
        (wheels / wheel.name).write_bytes(wheel.read_bytes())
    told = machine.platform("modules", "sync", str(file), "--find-links", str(wheels), "--no-index").stdout
    assert told == "3 as they were frozen.\n"


def test_a_new_module_comes_serves_beside_user_management_alone_and_goes_without_a_trace(
    machine: Machine, services: Mapping[str, str], address: Callable[[RunningProcess], str]
) -> None:
    machine.settings = {**services, "PLATFORM_MODULES": "user_management"}
    machine.platform("db", "upgrade")
    machine.platform("seed", "--env", "development")
    before = catalogue(services["DATABASE_URL"])
    machine.settings["PLATFORM_MODULES"] = "user_management,full_blog,minimal_blog"
    machine.platform("db", "upgrade")
    assert catalogue(services["DATABASE_URL"]) != before
    machine.platform("db", "check", "--module", "full_blog")
    machine.platform("db", "lint", "--module", "full_blog")
    machine.platform("seed", "--env", "development")
    with machine.start("serve") as serving, httpx2.Client(base_url=address(serving), timeout=30) as client:
        assert client.get("/api/v1/minimal-blog").json() == {"text": "Minimal blog is here."}
        body = {"email": "admin@example.com", "password": PASSWORD}
        token = client.post("/api/v1/auth/login", json=body).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        entry = {"title": "A title", "text": "A text"}
        assert client.post("/api/v1/full-blog/entries", json=entry, headers=headers).status_code == 201
        titles = [
            item["title"] for item in client.get("/api/v1/full-blog/entries", headers=headers).json()["items"]
        ]
        assert titles[0] == "A title"
        assert "Welcome" in titles
        assert "What anna thinks" in titles
    for name, rest in (("full_blog", "user_management,minimal_blog"), ("minimal_blog", "user_management")):
        machine.platform("modules", "remove", name, "--yes", "--purge")
        machine.uninstall(f"platform-plugin-{name.replace('_', '-')}")
        machine.settings["PLATFORM_MODULES"] = rest
    with machine.start("serve"):  # the first process without them drops their switches
        deadline = time.monotonic() + 10
        while (after := catalogue(services["DATABASE_URL"])) != before and time.monotonic() < deadline:
            time.sleep(0.1)
    assert after == before


def catalogue(url: str) -> list[str]:
    """What a database has, and what the kernel's registries know of modules, apart from user management's handlers."""
    queries = (
        "SELECT n.nspname, c.relname, c.relkind, c.relacl::text FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^(pg_|information_schema)'",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint",
        "SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_'",
        "SELECT rolname FROM pg_roles WHERE rolname LIKE current_database() || '%'",
        "SELECT name, version, links::text, role, requires FROM platform.modules",
        "SELECT module, revision FROM platform.migrations",
        "SELECT module, name FROM platform.seeds",
        "SELECT handler FROM platform.subscriptions WHERE module NOT IN ('platform', 'user_management')",
        "SELECT off::text FROM platform.module_switches",
    )
    with psycopg.connect(url, autocommit=True) as connection:
        return sorted(str(row) for query in queries for row in connection.execute(query.encode()).fetchall())
