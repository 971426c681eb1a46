"""`platform dev` as a newcomer meets it: one command, everything there, nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from platform_core.dev import _Interruption
from platform_core.testing import PluginSource, RunningProcess, RunPlatform, plugins_installed, run_process
from platform_core.testing._directories import servers_directory

if TYPE_CHECKING:
    from conftest import CommandLine

pytestmark = [pytest.mark.processes, pytest.mark.slow]

READY = r"is ready after"
UNSET = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "SMTP_URL", "PLATFORM_ENV", "PLATFORM_MODULES"), "")


class Dev:
    """Runs `platform dev` in a directory, forked unless it is to be a real start."""

    def __init__(self, run_platform: RunPlatform) -> None:
        self._run_platform = run_platform

    def __call__(
        self, directory: Path, *options: str, ready: str | None = READY, **env: str
    ) -> contextlib.AbstractContextManager[RunningProcess]:
        options = ("dev", "--port", "0", *options)
        env = {**UNSET, **env}
        return self._run_platform(*options, cwd=directory, env=env, ready=ready, timeout_seconds=120)

    def started(
        self, directory: Path, ready: str = READY
    ) -> contextlib.AbstractContextManager[RunningProcess]:
        """Run it from the interpreter's first instruction on."""
        command = [sys.executable, "-m", "platform_core", "dev", "--port", "0"]
        return run_process(command, cwd=directory, env=UNSET, ready=ready, timeout_seconds=120)


def api(process: RunningProcess) -> str:
    return process.wait_for_line(r"API +(http://\S+)/api/v1")[1]


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # an address of the test's own
        body: bytes = answer.read()
        return body


def post(url: str, body: object) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})  # noqa: S310  # an address of the test's own
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # an address of the test's own
        return answer.status, json.loads(answer.read() or b"null")


def processes_in(directory: Path) -> list[str]:
    """Command lines of every process that works in the directory, in the shelter of its servers, or names it."""
    places = [directory, (directory / ".platform" / "embedded").resolve()]
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_text().replace("\0", " ")
            works_in = Path(os.readlink(process / "cwd"))
            if any(works_in.is_relative_to(place) for place in places) or str(directory) in command:
                found.append(command)
    return found


@pytest.fixture
def home() -> Iterator[Path]:
    with servers_directory() as path:
        yield path


@pytest.fixture(scope="module")
def dev(run_platform: RunPlatform) -> Dev:
    return Dev(run_platform)


@pytest.fixture(scope="module")
def running(dev: Dev) -> Iterator[tuple[Path, RunningProcess]]:
    """A platform at work, and its directory; for tests that leave it as it was."""
    with servers_directory() as directory, dev(directory) as process:
        yield directory, process


def test_everything_is_there_and_a_second_start_finds_it_again(dev: Dev, home: Path) -> None:
    with dev.started(home) as process:
        url = api(process)
        mails = process.wait_for_line(r"Mails +(http://\S+)")[1]
        password = process.wait_for_line(r"Password +(\S+)")[1]
        assert json.loads(get(f"{url}/health/ready"))["status"] == "ok"
        assert b"swagger" in get(f"{url}/docs").lower()
        newcomer = {"email": "ada@example.com", "username": "ada", "password": "correct horse battery"}
        assert post(f"{url}/api/v1/users/register", newcomer)[0] == 201
        assert (
            post(f"{url}/api/v1/auth/login", {"email": "admin@example.com", "password": password})[0] == 200
        )
        deadline = time.monotonic() + 30
        while b"ada@example.com" not in get(f"{mails}/api/mails"):
            assert time.monotonic() < deadline, "the welcome mail did not come"
            time.sleep(0.1)
        process.signal(signal.SIGINT)
        assert process.wait() == 0
        assert "Stopped." in process.output
        assert "Traceback" not in process.output
    assert processes_in(home) == []

    began = time.monotonic()
    with dev.started(home) as process:
        took = time.monotonic() - began
        assert "Password" not in process.output
        login = {"email": "ada@example.com", "password": "correct horse battery"}
        assert post(f"{api(process)}/api/v1/auth/login", login)[0] == 200
        assert b"ada@example.com" in get(process.wait_for_line(r"Mails +(http://\S+)")[1] + "/api/mails")
        assert process.terminate() == 0
    assert processes_in(home) == []
    # the promise is five seconds on an idle machine; here other tests may run beside this one
    assert took < 10 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def test_secrets_are_nobody_elses(running: tuple[Path, RunningProcess]) -> None:
    home, process = running
    secrets = home / ".platform" / "secrets.json"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    for value in json.loads(secrets.read_text()).values():
        if "ADMIN" not in value and len(value) > 20:
            assert value not in process.output


def test_other_commands_use_the_running_platform(
    running: tuple[Path, RunningProcess], cli: CommandLine
) -> None:
    home, _ = running
    outcome = cli("audit", "verify", "--json", cwd=home)
    assert outcome.code == 0, outcome.err
    assert outcome.json["lines_count"] + outcome.json["waiting_count"] > 0
    assert cli("events", "list", cwd=home).code == 0


def test_second_platform_in_one_directory_is_refused(
    running: tuple[Path, RunningProcess], cli: CommandLine
) -> None:
    home, process = running
    outcome = cli("dev", "--port", "0", cwd=home)
    assert outcome.code == 1
    assert "is in use by process" in outcome.err
    assert json.loads(get(f"{api(process)}/health/ready"))["status"] == "ok"


def test_banner_is_plain_without_a_terminal(running: tuple[Path, RunningProcess]) -> None:
    output = running[1].output
    banner = output[: output.index("Ctrl-C stops everything.")]
    assert not re.search(r"[\x1b╭│]", banner)


def test_taken_port_is_told_before_anything_starts(home: Path, cli: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = cli("dev", "--port", str(port), cwd=home)
    assert outcome.code == 1
    assert f"Port {port} on 127.0.0.1 is taken" in outcome.err
    assert "--port" in outcome.err
    assert not (home / ".platform").exists()


@pytest.mark.parametrize(
    ("number", "after_seconds"),
    [(signal.SIGINT, 0.1), (signal.SIGTERM, 0.5), (signal.SIGINT, 1.0), (signal.SIGTERM, 2.0)],
)
def test_interrupted_start_leaves_nothing(
    dev: Dev, home: Path, number: signal.Signals, after_seconds: float
) -> None:
    with dev(home, ready="Starting in") as process:
        interrupt(process, number, after_seconds)
    assert processes_in(home) == []


def test_start_that_is_interrupted_while_it_still_imports_leaves_nothing(dev: Dev, home: Path) -> None:
    with dev.started(home, ready="Starting in") as process:
        interrupt(process, signal.SIGINT, 0.2)
    assert processes_in(home) == []


def test_a_signal_in_the_middle_of_imports_is_heard_at_their_end() -> None:
    """Raised inside of an import, it could come out of a callback, which Python answers with a shrug."""
    interruption, imported = _Interruption(), []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # that it comes at the end is what is tried
        with interruption.waits():
            interruption(signal.SIGINT, None)
            imported.append("the rest")
    assert imported == ["the rest"]
    with pytest.raises(KeyboardInterrupt):
        interruption(signal.SIGTERM, None)


def interrupt(process: RunningProcess, number: signal.Signals, after_seconds: float) -> None:
    time.sleep(after_seconds)
    process.signal(number)
    assert process.wait(timeout_seconds=60) == 0
    assert "Traceback" not in process.output


def test_killed_platform_leaves_no_server_and_starts_again(dev: Dev, home: Path) -> None:
    with dev(home) as process:
        process.kill()
        deadline = time.monotonic() + 30
        while processes_in(home):
            assert time.monotonic() < deadline, processes_in(home)
            time.sleep(0.1)
    with dev(home) as process:
        assert json.loads(get(f"{api(process)}/health/ready"))["status"] == "ok"


def test_only_the_wanted_modules_are_there(dev: Dev, home: Path) -> None:
    with dev(home, "--modules", "user_management") as process:
        modules = process.wait_for_line(r"Modules +(.+)")[1]
        assert "user_management" in modules
        assert "notification" not in modules


BLOCKER = """
import time

from platform_core import hookimpl
from platform_core.http import Router

router = Router()


@router.get("/blocker", public=True, summary="Hold everything up")
async def block() -> str:
    time.sleep(2)
    return "at last"


@hookimpl
def register_routes():
    return [router]
"""


SNOOP = """
from dataclasses import dataclass
from sqlalchemy import text
from platform_core import hookimpl
from platform_core.db import Reads
from platform_core.declarations import Services
from platform_core.domain import Query
from platform_core.http import Ask, Router

@dataclass(frozen=True, kw_only=True)
class Look(Query[str]): ...

async def look(query: Look, reads: Reads) -> str:
    return str(await reads.all(text("SELECT email FROM user_management.users")))

router = Router()

@router.get("/snoop", public=True)
async def snoop(ask: Ask) -> str:
    return await ask(Look())

@hookimpl
def register_services():
    return Services(queries={Look: look})

@hookimpl
def register_routes():
    return [router]
"""


def test_a_module_that_reads_anothers_table_is_denied_and_the_terminal_names_both(
    dev: Dev, home: Path, tmp_path: Path
) -> None:
    plugin = PluginSource(
        name="snoop", files={"plugin.py": SNOOP}, manifest='title = "S"\npaths = ["/snoop"]\n'
    )
    with plugins_installed(plugin, into=tmp_path / "plugins") as paths:
        path = {"PYTHONPATH": ":".join(map(str, paths))}
        with dev(home, "--modules", "snoop,user_management", **path) as process:
            with pytest.raises(urllib.error.HTTPError, match="500"):
                get(f"{api(process)}/api/v1/snoop")
            process.wait_for_line(
                r"The module snoop reached for tables of user_management, and PostgreSQL refused"
            )
            assert process.terminate() == 0


def test_who_holds_everything_up_is_told_and_keeps_the_process(dev: Dev, home: Path, tmp_path: Path) -> None:
    """A developer stands at a breakpoint for as long as it takes."""
    manifest = 'title = "B"\npaths = ["/blocker"]\n'
    plugin = PluginSource(name="blocker", files={"plugin.py": BLOCKER}, manifest=manifest)
    with plugins_installed(plugin, into=tmp_path / "plugins") as paths:
        path = {"PYTHONPATH": ":".join(map(str, paths)), "PLATFORM_LEASE_SECONDS": "0.4"}
        with dev(home, "--modules", "blocker", **path) as process:
            assert get(f"{api(process)}/api/v1/blocker") == b'"at last"'
            assert "has done nothing for 1.2 s. It was at: GET /api/v1/blocker." in process.output
            assert "in block" in process.output
            assert process.terminate() == 0


def test_change_of_the_source_restarts_the_application_and_keeps_the_servers(
    dev: Dev, home: Path, tmp_path: Path
) -> None:
    plugin = PluginSource(name="changing", files={"plugin.py": "print('it says one', flush=True)\n"})
    with plugins_installed(plugin, into=tmp_path / "plugins") as paths:
        with dev(home, "--reload", PYTHONPATH=":".join(map(str, paths))) as process:
            url = api(process)
            postgres = [line for line in processes_in(home) if "bin/postgres" in line]
            source = tmp_path / "plugins" / "changing" / "plugin.py"
            source.write_text("print('it says two', flush=True)\n")
            process.wait_for_line(r"changed: restarting", timeout_seconds=60)
            process.wait_for_line(r"it says two[\s\S]*reloaded in", timeout_seconds=60)
            assert json.loads(get(f"{url}/health/ready"))["status"] == "ok"
            assert postgres
            assert set(postgres) <= set(processes_in(home))
            process.signal(signal.SIGINT)
            assert process.wait() == 0
    assert processes_in(home) == []
