"""
Modules that are broken in every way, installed side by side in one environment, as wheels.

Each is optional unless it says otherwise. One `platform modules check` and one `platform serve` have all of them at
once: each is named with its cause, its paths answer 503, and everything else works.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from platform_core.testing import PluginSource, RunningProcess

if TYPE_CHECKING:
    from conftest import Machine

USERS = "platform-plugin-user-management"

HEAD = """
from __future__ import annotations
import asyncio, os, time
from dataclasses import dataclass
from typing import ClassVar
from sqlalchemy import text
from platform_core import hookimpl
from platform_core.db import Reads, UnitOfWork
from platform_core.declarations import *
from platform_core.domain import Command, Event, Query
from platform_core.http import Ask, Execute, Router
"""

ONE_COMMAND = """
@dataclass(frozen=True, kw_only=True)
class DoIt(Command[None]): ...

{imports}
async def do_it(command: DoIt, {needs}) -> None: ...

@hookimpl
def register_services():
    return Services(commands={{DoIt: do_it}})
"""

ONE_SERVICE = """
class Machine: ...

{kind} start() -> Machine:
    {body}
    return Machine()

@hookimpl
def register_services():
    return Services(provides=[per_application(Machine, start)])
"""


@dataclass(frozen=True)
class Broken:
    """
    One broken module.

    Attributes:
        told: what the kernel has to say about it.
        code: of its plugin.py, after the imports.
        manifest: lines of plugin.toml beside its title and path.
        starts: it is found out only when services start.
    """

    told: str
    code: str = ""
    manifest: str = ""
    requires: tuple[str, ...] = ("platform-core",)
    starts: bool = False

    def source(self, name: str) -> PluginSource:
        paths = "" if "paths" in self.manifest else f'paths = ["/{name}"]\n'
        manifest = f'title = "{name}"\n{paths}{self.manifest}'
        return PluginSource(
            name=name, manifest=manifest, requires=self.requires, files={"plugin.py": HEAD + self.code}
        )


WITH_USERS = ("platform-core", USERS)

BROKEN = {
    # on import
    "bad_import": Broken("importing bad_import.plugin failed: ZeroDivisionError", "1 / 0"),
    "bad_exit": Broken("importing bad_exit.plugin failed: SystemExit: 3", "raise SystemExit(3)"),
    "bad_sleep": Broken("importing bad_sleep.plugin failed: PluginHung: took longer than", "time.sleep(600)"),
    "bad_loop": Broken("importing bad_loop.plugin failed: PluginHung: took longer than", "while True: pass"),
    # in hooks
    "bad_hook": Broken(
        "its hook register_permissions failed: RuntimeError: no",
        "@hookimpl\ndef register_permissions():\n    raise RuntimeError('no')",
    ),
    "bad_async_hook": Broken(
        "its hook register_services is async; hooks return declarations and do no I/O",
        "@hookimpl\nasync def register_services():\n    return Services()",
    ),
    "bad_spelling": Broken(
        "it implements register_route, which nobody declares",
        "@hookimpl\ndef register_route():\n    return []",
    ),
    # reaching into a neighbour
    "bad_private": Broken(
        "user_management keeps UserRepository to itself",
        ONE_COMMAND.format(
            imports="from user_management.application.ports import UserRepository",
            needs="users: UserRepository",
        ),
        manifest='queries = ["user_management"]',
        requires=WITH_USERS,
    ),
    "bad_query": Broken(
        "UserDirectory: its plugin.toml does not let it query user_management",
        ONE_COMMAND.format(
            imports="from user_management import UserDirectory", needs="directory: UserDirectory"
        ),
        requires=WITH_USERS,
    ),
    "bad_ear": Broken(
        "it subscribes to user_management.user_registered; plugin.toml does not let it consume user_management",
        "from user_management import UserRegistered\nasync def hear(event: UserRegistered) -> None: ...\n"
        "@hookimpl\ndef register_event_handlers():\n    return [on(UserRegistered, hear, name='bad_ear.hear')]",
        requires=WITH_USERS,
    ),
    "bad_manifest_query": Broken(
        "plugin.toml lets it query user_management, but its package does not depend on it",
        manifest='queries = ["user_management"]',
    ),
    # taking what a neighbour has
    "bad_route": Broken(
        "GET /api/v1/users/me is already a route of user_management",
        "router = Router()\n@router.get('/users/me', public=True)\nasync def me() -> str: return 'mine'\n"
        "@hookimpl\ndef register_routes():\n    return [router]",
        manifest='paths = ["/bad_route", "/users/me"]',
    ),
    "bad_path": Broken(
        "user_management and bad_path both claim the path /users", manifest='paths = ["/bad_path", "/users"]'
    ),
    "bad_permission": Broken(
        "user_management and bad_permission both declare the permission users:read",
        "@hookimpl\ndef register_permissions():\n    return [Permission('users:read', 'Mine')]",
    ),
    "bad_event": Broken(
        "the event Mine is called 'user_management.user_registered'",
        "@dataclass(frozen=True, kw_only=True)\nclass Mine(Event):\n"
        "    wire_name: ClassVar[str] = 'user_management.user_registered'",
    ),
    "bad_handler": Broken(
        "its subscription notification.user_registered does not begin with its own name",
        "@dataclass(frozen=True, kw_only=True)\nclass Mine(Event):\n    wire_name: ClassVar[str] = 'bad_handler.mine'\n"
        "async def hear(event: Mine) -> None: ...\n@hookimpl\ndef register_event_handlers():\n"
        "    return [on(Mine, hear, name='notification.user_registered')]",
    ),
    "bad_command": Broken(
        "it handles user_management.register_user, which is not its own",
        "from user_management.application import RegisterUser\n"
        "async def mine(command: RegisterUser) -> None: ...\n"
        "@hookimpl\ndef register_services():\n    return Services(commands={RegisterUser: mine})",
        requires=WITH_USERS,
    ),
    # in the set
    "bad_version": Broken(
        f"needs {USERS} >=9, but 0.1.0 is installed", requires=("platform-core", f"{USERS}>=9")
    ),
    "bad_circle_one": Broken("need each other in a circle", requires=("platform-plugin-bad-circle-two",)),
    "bad_circle_two": Broken("need each other in a circle", requires=("platform-plugin-bad-circle-one",)),
    "bad_company": Broken("needs bad_import, which failed", requires=("platform-plugin-bad-import",)),
    # when services start
    "bad_start": Broken(
        "starting its services failed: RuntimeError: no power",
        ONE_SERVICE.format(kind="async def", body="raise RuntimeError('no power')"),
        starts=True,
    ),
    "bad_wait": Broken(
        "starting its services failed: TimeoutError",
        ONE_SERVICE.format(kind="async def", body="await asyncio.sleep(600)"),
        starts=True,
    ),
    "bad_block": Broken(
        "starting its services failed: PluginHung: took longer than",
        ONE_SERVICE.format(kind="def", body="time.sleep(600)"),
        starts=True,
    ),
}

SNOOP = """
@dataclass(frozen=True, kw_only=True)
class Look(Query[str]): ...

@dataclass(frozen=True, kw_only=True)
class Tamper(Command[None]): ...

async def look(query: Look, reads: Reads) -> str:
    return str(await reads.all(text("SELECT email, password_hash FROM user_management.users")))

async def tamper(command: Tamper, uow: UnitOfWork) -> None:
    await uow.fetch_all(text("UPDATE user_management.users SET is_active = false RETURNING id"))

router = Router()

@router.get("/snoop", public=True)
async def get(ask: Ask) -> str:
    return await ask(Look())

@router.post("/snoop", public=True)
async def post(execute: Execute) -> None:
    return await execute(Tamper())

@hookimpl
def register_services():
    return Services(commands={Tamper: tamper}, queries={Look: look})

@hookimpl
def register_routes():
    return [router]
"""

MARKER = """
with open(os.environ["ROGUE_MARKER"], "a") as marker:
    marker.write("imported")
"""

UNREADABLE = {
    "worse_no_manifest": (None, "there is no plugin.toml in its package"),
    "worse_manifest": ("title = ", "plugin.toml is no TOML"),
    "worse_key": ('title = "x"\nqueris = []', "plugin.toml: queris: Extra inputs are not permitted"),
}

REQUIRED = {
    "vital_import": ("1 / 0", "importing vital_import.plugin failed: ZeroDivisionError"),
    "vital_exit": ("raise SystemExit(3)", "importing vital_exit.plugin failed: SystemExit: 3"),
    "vital_spelling": ("@hookimpl\ndef register_route():\n    return []", "it implements register_route"),
}

SHIPPED = "user_management,notification"
QUICK = {"PLATFORM_STARTUP_TIMEOUT_SECONDS": "2"}


def sources() -> Iterator[PluginSource]:
    """Everything that is installed."""
    for name, broken in BROKEN.items():
        yield broken.source(name)
    yield Broken("", SNOOP).source("snoop")
    yield Broken("", MARKER, manifest='[commands]\nrogue = "Not wanted."').source("rogue")
    for distribution in (None, "twin-from-elsewhere"):
        yield PluginSource(name="twin", distribution=distribution)
    for name, (manifest, _) in UNREADABLE.items():
        yield PluginSource(name=name, manifest=manifest)
    for name, (code, _) in REQUIRED.items():
        yield Broken("", code, manifest='boot = "required"').source(name)


@pytest.fixture(scope="module")
def machine(new_machine: Callable[[str], Machine], samples: Path) -> Machine:
    machine = new_machine("broken")
    machine.install(machine.build(samples / "bookmarks"))
    machine.install(*map(machine.pack, sources()), whatever_they_require=True)
    return machine


@pytest.fixture
def configured(machine: Machine, services: Mapping[str, str], tmp_path: Path) -> Machine:
    """The environment with everything in it, and the settings of a platform with an empty database."""
    machine.settings = {**services, "ROGUE_MARKER": str(tmp_path / "marker")}
    return machine


@pytest.fixture(scope="module")
def told(machine: Machine) -> dict[str, dict[str, str]]:
    """What one `platform modules check` says of all broken modules: plugin → its problem."""
    nowhere = {
        "DATABASE_URL": "postgresql:///nowhere",
        "REDIS_URL": "redis://nowhere",
        "PLATFORM_ENV": "development",
    }
    modules = ",".join([SHIPPED, "bookmarks", *BROKEN])
    machine.settings = {**nowhere, **QUICK}
    done = machine.platform("modules", "check", "--json", fails=True, PLATFORM_MODULES=modules)
    answer = json.loads(done.stdout)
    assert answer["ok"] is False
    return {problem["plugin"]: problem for problem in answer["problems"]}


@pytest.mark.parametrize("name", [name for name, broken in BROKEN.items() if not broken.starts])
def test_the_check_says_who_and_why_and_what_to_do(told: dict[str, dict[str, str]], name: str) -> None:
    assert BROKEN[name].told in told[name]["problem"]
    assert told[name]["hint"]


def test_the_check_blames_nobody_else(told: dict[str, dict[str, str]]) -> None:
    assert told.keys() == {name for name, broken in BROKEN.items() if not broken.starts}


def test_two_distributions_of_one_name_stop_the_start(configured: Machine) -> None:
    done = configured.platform("modules", "check", fails=True, PLATFORM_MODULES=f"{SHIPPED},twin")
    assert "twin: platform-plugin-twin and twin-from-elsewhere both offer it" in done.stdout
    assert "uninstall one of them" in done.stdout


def test_manifests_that_cannot_be_read_stop_the_start_all_at_once(configured: Machine) -> None:
    modules = ",".join([SHIPPED, *UNREADABLE])
    done = configured.platform("modules", "check", fails=True, PLATFORM_MODULES=modules)
    for name, (_, problem) in UNREADABLE.items():
        assert f"{name}: {problem}" in done.stdout


@pytest.mark.parametrize("process", ["serve", "worker"])
def test_required_modules_that_fail_stop_the_start_all_at_once(configured: Machine, process: str) -> None:
    settings = {"PLATFORM_MODULES": ",".join([SHIPPED, *REQUIRED]), "PLATFORM_SECRET_KEY": "short"}
    with configured.start(process, ready=False, **settings) as running:
        assert running.wait(timeout_seconds=60) == 1
        for name, (_, problem) in REQUIRED.items():
            assert f"{name}: {problem}" in running.output
        assert "PLATFORM_SECRET_KEY is shorter than 32 characters" in running.output
        assert "Traceback" not in running.output


def test_what_is_installed_but_not_named_is_never_imported(configured: Machine) -> None:
    marker = Path(configured.settings["ROGUE_MARKER"])
    for command in (["modules", "list"], ["config", "show"], ["--help"]):
        done = configured.platform(*command, PLATFORM_MODULES=SHIPPED)
        assert "rogue" not in done.stdout + done.stderr
    assert not marker.exists()
    configured.platform("modules", "check", PLATFORM_MODULES=f"{SHIPPED},rogue")
    assert marker.exists()  # so the trap works


@pytest.fixture
def platform_with_all(
    configured: Machine, address: Callable[[RunningProcess], str]
) -> Iterator[tuple[RunningProcess, httpx2.Client]]:
    """`platform serve` with the shipped modules, one that works, one that snoops, and everything that is broken."""
    configured.settings |= QUICK
    healthy = f"{SHIPPED},bookmarks,snoop"
    late = ",".join(name for name, broken in BROKEN.items() if broken.starts)
    configured.platform("db", "upgrade", PLATFORM_MODULES=f"{healthy},{late}")
    configured.platform("seed", PLATFORM_MODULES=healthy)
    with contextlib.ExitStack() as stack:
        everything = ",".join([healthy, *BROKEN])
        running = stack.enter_context(
            configured.start("serve", timeout_seconds=90, PLATFORM_MODULES=everything)
        )
        yield running, stack.enter_context(httpx2.Client(base_url=address(running), timeout=30))


def test_a_platform_with_every_broken_module_serves_the_others(
    configured: Machine, platform_with_all: tuple[RunningProcess, httpx2.Client]
) -> None:
    running, client = platform_with_all
    for name in BROKEN:
        answer = client.get(f"/api/v1/{name}/anything")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/module-unavailable"), name

    admin = log_in(client)
    for path in ("/users/me", "/users", "/bookmarks", "/notifications/preferences", "/permissions"):
        assert client.get(f"/api/v1{path}", headers=admin).status_code == 200, path
    modules = {
        module["name"]: module
        for module in client.get("/api/v1/platform/modules?limit=200", headers=admin).json()["items"]
    }
    for name, broken in BROKEN.items():
        assert modules[name]["status"] == "failed"
        assert broken.told in modules[name]["error"]
    assert {name for name, module in modules.items() if module["status"] == "active"} == {
        "platform",
        "user_management",
        "notification",
        "bookmarks",
        "snoop",
    }
    readiness = client.get("/health/ready")
    assert (readiness.status_code, readiness.json()["status"]) == (200, "degraded")

    # what nobody checks at start, because it is text: the database says no
    for snoop in (client.get, client.post):
        answer = snoop("/api/v1/snoop")
        assert answer.status_code == 500
        assert "user_management" not in answer.text
    denied = (
        "The module snoop reached for tables of user_management, and PostgreSQL refused: permission denied"
    )
    assert running.output.count(denied) >= 2
    assert client.get("/api/v1/users/me", headers=admin).json()["is_active"] is True
    assert not Path(configured.settings["ROGUE_MARKER"]).exists()


def log_in(client: httpx2.Client) -> dict[str, str]:
    body: dict[str, Any] = {"email": "admin@example.com", "password": "a long enough sentence"}
    answer = client.post("/api/v1/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
