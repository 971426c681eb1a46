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
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from platform_core.testing import RunningProcess, run_process

if TYPE_CHECKING:
    from conftest import CommandLine

pytestmark = [pytest.mark.processes, pytest.mark.slow]

READY = r"is ready after"
UNSET = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "SMTP_URL", "PLATFORM_ENV", "PLATFORM_MODULES"), "")


@contextlib.contextmanager
def dev(directory: Path, *options: str, ready: str | None = READY, **env: str) -> Iterator[RunningProcess]:
    command = [sys.executable, "-m", "platform_core", "dev", "--port", "0", *options]
    with run_process(
        command, cwd=directory, env={**UNSET, **env}, ready=ready, timeout_seconds=120
    ) as process:
        yield process


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
    """A directory that the servers' account can reach, where root runs the tests; pytest's own is closed to it."""
    with tempfile.TemporaryDirectory(prefix="platform-dev-") as name:
        path = Path(name).resolve()
        path.chmod(0o755)
        yield path


def test_everything_is_there_and_a_second_start_finds_it_again(home: Path) -> None:
    with dev(home) as process:
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
    with dev(home) as process:
        took = time.monotonic() - began
        assert "Password" not in process.output
        login = {"email": "ada@example.com", "password": "correct horse battery"}
        assert post(f"{api(process)}/api/v1/auth/login", login)[0] == 200
        assert b"ada@example.com" in get(process.wait_for_line(r"Mails +(http://\S+)")[1] + "/api/mails")
        assert process.terminate() == 0
    assert processes_in(home) == []
    # the promise is five seconds on an idle machine; here other tests may run beside this one
    assert took < 5 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)) + 1


def test_secrets_are_nobody_elses(home: Path) -> None:
    with dev(home) as process:
        secrets = home / ".platform" / "secrets.json"
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
        for value in json.loads(secrets.read_text()).values():
            if "ADMIN" not in value and len(value) > 20:
                assert value not in process.output


def test_other_commands_use_the_running_platform(home: Path, cli: CommandLine) -> None:
    with dev(home):
        outcome = cli("audit", "verify", "--json", cwd=home)
        assert outcome.code == 0, outcome.err
        assert outcome.json["lines_count"] + outcome.json["waiting_count"] > 0
        assert cli("events", "list", cwd=home).code == 0


def test_taken_port_is_told_before_anything_starts(home: Path, cli: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = cli("dev", "--port", str(port), cwd=home)
    assert outcome.code == 1
    assert f"Port {port} on 127.0.0.1 is taken" in outcome.err
    assert "--port" in outcome.err
    assert not (home / ".platform").exists()


def test_second_platform_in_one_directory_is_refused(home: Path, cli: CommandLine) -> None:
    with dev(home) as process:
        outcome = cli("dev", "--port", "0", cwd=home)
        assert outcome.code == 1
        assert "is in use by process" in outcome.err
        assert json.loads(get(f"{api(process)}/health/ready"))["status"] == "ok"


@pytest.mark.parametrize("after_seconds", [0.2, 1.0, 2.5])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_start_leaves_nothing(home: Path, after_seconds: float, number: signal.Signals) -> None:
    with dev(home, ready="Starting in") as process:
        time.sleep(after_seconds)
        process.signal(number)
        assert process.wait(timeout_seconds=60) == 0
        assert "Traceback" not in process.output
    assert processes_in(home) == []


def test_killed_platform_leaves_no_server_and_starts_again(home: Path) -> None:
    with dev(home) as process:
        process.kill()
        deadline = time.monotonic() + 30
        while processes_in(home):
            assert time.monotonic() < deadline, processes_in(home)
            time.sleep(0.1)
    with dev(home) as process:
        assert json.loads(get(f"{api(process)}/health/ready"))["status"] == "ok"


def test_only_the_wanted_modules_are_there(home: Path) -> None:
    with dev(home, "--modules", "user_management") as process:
        modules = process.wait_for_line(r"Modules +(.+)")[1]
        assert "user_management" in modules
        assert "notification" not in modules


def test_change_of_the_source_restarts_the_application_and_keeps_the_servers(
    home: Path, tmp_path: Path
) -> None:
    from platform_core.testing import PluginSource, plugins_installed

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


def test_banner_is_plain_without_a_terminal(home: Path) -> None:
    with dev(home) as process:
        banner = process.output[: process.output.index("Ctrl-C stops everything.")]
        assert not re.search(r"[\x1b╭│]", banner)
