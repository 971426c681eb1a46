"""
A module that was written outside of the repository: pip brings it, it works with the rest, pip takes it away again.

One story in one test, because each part is what the next one begins with; the platform runs as real processes.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import psycopg
import pytest

from platform_core.testing import RunningProcess

if TYPE_CHECKING:
    from conftest import Machine

pytestmark = pytest.mark.long

DISTRIBUTION = "platform-plugin-bookmarks"
PASSWORD = "a long enough sentence"


@pytest.fixture(scope="module")
def machine(new_machine: Callable[[str], Machine]) -> Machine:
    return new_machine("third-party")


@pytest.fixture(scope="module")
def wheel(machine: Machine, samples: Path) -> Path:
    return machine.build(samples / "bookmarks")


@pytest.fixture
def deployed(machine: Machine, wheel: Path, services: Mapping[str, str]) -> Machine:
    """The module is installed, on a platform whose database is empty."""
    machine.install(wheel)
    machine.settings = {**services}
    return machine


class Story:
    """What somebody does with a platform from outside: over HTTP, and with a look into its database."""

    def __init__(self, machine: Machine, address: Callable[[RunningProcess], str]) -> None:
        self.machine, self._address = machine, address
        self.client = httpx2.Client()

    @contextlib.contextmanager
    def running(self, *processes: str) -> Iterator[list[RunningProcess]]:
        """`platform serve` and others, for the length of the block."""
        with contextlib.ExitStack() as stack:
            started = [stack.enter_context(self.machine.start(name)) for name in ("serve", *processes)]
            with httpx2.Client(base_url=self._address(started[0]), timeout=30) as self.client:
                yield started

    def register(self, name: str) -> None:
        body = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        answer = self.client.post("/api/v1/users/register", json=body)
        assert answer.status_code == 201, answer.text

    def log_in(self, name: str) -> dict[str, str]:
        """Return the headers of somebody who is logged in."""
        body = {"email": f"{name}@example.com", "password": PASSWORD}
        answer = self.client.post("/api/v1/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def titles(self, headers: dict[str, str]) -> list[str]:
        answer = self.client.get("/api/v1/bookmarks", headers=headers)
        assert answer.status_code == 200, answer.text
        return [item["title"] for item in answer.json()["items"]]

    def json(self, *command: str) -> Any:
        """What `platform … --json` prints."""
        return json.loads(self.machine.platform(*command, "--json").stdout)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.machine.settings["DATABASE_URL"], autocommit=True) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def first_bookmark_of(self, name: str) -> list[tuple[Any, ...]]:
        return self.sql(
            "SELECT d.status, d.last_error FROM platform.deliveries d JOIN audit.domain_events e ON e.id = d.event_id"
            " WHERE d.handler = 'bookmarks.first_bookmark' AND e.payload->>'username' = %s",
            name,
        )


def eventually(condition: Callable[[], Any], *, seconds: float = 40) -> Any:
    """Wait until a condition is true, and return what it returned."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"it did not happen within {seconds:g} s"
        time.sleep(0.1)
    return found


def test_the_modules_own_tests_pass_where_it_is_installed(
    machine: Machine, wheel: Path, tmp_path: Path
) -> None:
    machine.install(wheel)
    source = machine.home / "source" / "bookmarks"
    done = subprocess.run(
        [machine.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(source)],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_module_comes_by_pip_works_with_the_others_goes_and_comes_back(
    deployed: Machine, wheel: Path, address: Callable[[RunningProcess], str], tmp_path: Path
) -> None:
    story = Story(deployed, address)
    _is_there(story)
    with story.running("worker") as (_, worker):
        _works(story, tmp_path)
        worker.kill()
        story.register("eve")  # nobody delivers it any more
    assert story.first_bookmark_of("eve") == [("pending", None)]
    kept = story.sql("SELECT count(*) FROM bookmarks.bookmarks")

    deployed.uninstall(DISTRIBUTION)
    assert "bookmarks" not in [module["name"] for module in story.json("modules", "list")]
    deployed.platform("db", "upgrade")
    deployed.settings["PLATFORM_ORPHAN_SECONDS"] = "1"
    with story.running("worker", "scheduler"):
        _is_gone(story)
    assert story.sql("SELECT count(*) FROM bookmarks.bookmarks") == kept  # its tables stay as they are

    deployed.install(wheel)
    deployed.platform("db", "upgrade")
    with story.running("worker"):
        for name in ("eve", "finn"):  # finn registered when the module was away
            headers = story.log_in(name)
            eventually(lambda headers=headers: story.titles(headers) == ["Welcome"])
    assert story.first_bookmark_of("eve") == [("done", None)]


def _is_there(story: Story) -> None:
    [module] = [module for module in story.json("modules", "list") if module["name"] == "bookmarks"]
    assert (module["status"], module["version"], module["requires"]) == (
        "active",
        "0.1.0",
        ["user_management"],
    )
    assert module["contributes"]["event_handlers"] == 2
    story.machine.platform("db", "upgrade")
    assert story.sql("SELECT to_regclass('bookmarks.bookmarks') IS NOT NULL") == [(True,)]
    link = (
        "SELECT confdeltype FROM pg_constraint WHERE conname = 'fk_bookmarks_owner_id_users' AND convalidated"
    )
    assert story.sql(link) == [("c",)]
    story.machine.platform("seed", "--env", "development")
    owners = "SELECT u.username FROM bookmarks.bookmarks b JOIN user_management.users u ON u.id = owner_id ORDER BY 1"
    assert story.sql(owners) == [("admin",), ("anna",), ("ben",), ("clara",)]


def _works(story: Story, tmp_path: Path) -> None:
    story.register("ada")
    ada, admin = story.log_in("ada"), story.log_in("admin")
    eventually(lambda: story.titles(ada) == ["Welcome"])  # its handler of another module's event

    body = {"url": "https://example.org/page", "title": "A page"}
    assert story.client.post("/api/v1/bookmarks", json=body, headers=ada).status_code == 201
    assert (
        story.client.post("/api/v1/bookmarks", json=body, headers=ada).json()["type"]
        == "/problems/already-kept"
    )
    links = tmp_path / "links.txt"
    links.write_text("https://example.org/page\nhttps://example.org/other\n", encoding="utf-8")
    assert "1 more link" in story.machine.platform("bookmarks", "import", "ada", str(links)).stdout
    assert story.titles(ada) == ["example.org", "A page", "Welcome"]

    permissions = story.client.get("/api/v1/permissions?limit=200", headers=admin).json()["items"]
    assert "bookmarks:read" in [permission["name"] for permission in permissions]
    everybody = "/api/v1/bookmarks/everybody"
    assert story.client.get(everybody, headers=ada).status_code == 403
    assert {item["owner"] for item in story.client.get(everybody, headers=admin).json()["items"]} >= {
        "ada",
        "anna",
    }

    assert "/api/v1/bookmarks/{bookmark_id}" in story.client.get("/openapi.json").json()["paths"]
    assert story.client.get("/health/ready").json()["checks"]["bookmarks"] == "ok"


def _is_gone(story: Story) -> None:
    story.register("finn")
    finn = story.log_in("finn")
    assert story.client.get("/api/v1/users/me", headers=finn).status_code == 200
    assert story.client.get("/api/v1/bookmarks", headers=finn).status_code == 404
    assert story.client.get("/health/ready").status_code == 200
    assert "/api/v1/bookmarks" not in story.client.get("/openapi.json").json()["paths"]

    eventually(lambda: story.first_bookmark_of("eve")[0][0] == "dead")
    [(_, reason)] = story.first_bookmark_of("eve")
    assert "the module bookmarks is not installed; install it again, and this is delivered" in reason
    dead = story.json("events", "list", "--status", "dead")
    assert {delivery["handler"] for delivery in dead} == {"bookmarks.first_bookmark"}
