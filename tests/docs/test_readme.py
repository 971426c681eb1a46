"""What the README shows works as shown: its commands are run, its code is the sample module's."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_core.testing import run_process
from platform_core.testing._directories import servers_directory

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
SAMPLE = REPOSITORY / "tests" / "samples" / "bookmarks" / "src" / "bookmarks"


def snippets(heading: str, language: str) -> list[str]:
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found, f"the README has no {language} under {heading!r}"
    return [str(snippet) for snippet in found]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with servers_directory() as path:
        yield path


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def development(folder: Path, port: int) -> Iterator[str]:
    """`platform dev`, as the README starts it; yields what it printed."""
    command = ["platform", "dev", "--port", str(port), "--data-dir", str(folder / "data")]
    with run_process(command, env={"PLATFORM_ENV": "development"}) as process:
        process.wait_for_line(r"Ctrl-C stops everything", timeout_seconds=120)
        yield process.output


def test_the_two_commands_are_those_of_continuous_integration() -> None:
    (block,) = snippets("Two commands", "shell")
    assert "pip install uv && uv run platform dev" in block
    assert re.search(r"^uv run nox\b", block, re.MULTILINE)
    assert re.search(r"\buv run nox\b", (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8"))


def test_a_clients_first_five_minutes_work_as_shown(development: str, port: int) -> None:
    script = "set -euo pipefail\n" + "echo\n".join(snippets("Five minutes as a client", "shell"))
    script = script.replace("localhost:8000", f"127.0.0.1:{port}")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    registered, me = (json.loads(line) for line in done.stdout.split("\n") if line.startswith("{"))
    assert registered["email"] == me["email"] == "ann@example.com"
    mails = re.search(r"http://\S+(?=\s+\(caught)", development)
    assert mails, development
    deadline = 100
    while deadline and "ann@example.com" not in (page := fetch(f"{mails[0]}/api/mails")):
        deadline -= 1
    assert "ann@example.com" in page


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # an address of the test's own
        return str(answer.read().decode())


def test_every_shipped_module_is_listed_and_installed_by_the_line_that_installs_all() -> None:
    shipped = {path.parent.name for path in REPOSITORY.glob("plugins/*/pyproject.toml")}
    (block,) = snippets("Five minutes as a deployer", "shell")
    (named,) = re.findall(r"platform-plugin-\{(.*?)\}", block)
    assert {name.replace("-", "_") for name in named.split(",")} == shipped
    assert set(re.findall(r"^\| \[(\w+)\]\(plugins/", README, re.MULTILINE)) == shipped


def test_a_deployers_first_five_minutes_work_as_shown(folder: Path) -> None:
    """Nothing but what the README says is given, so this is production."""
    from platform_core.embedded import embedded_services

    (block,) = snippets("Five minutes as a deployer", "shell")
    lines = [line for line in block.splitlines() if not line.startswith(("pip ", "platform serve"))]
    assert len(lines) >= 8
    with embedded_services(folder / "deployed", durable=False) as services:
        script = "set -euo pipefail\n" + "\n".join(lines)
        script = script.replace("postgresql://…", f"'{services.database_url}'")
        script = script.replace("redis://…", f"'{services.redis_url}'")
        assert "…" not in re.sub("#.*", "", script)
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PLATFORM_") and not name.endswith(("_URL", "_URL_FILE"))
        } | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PLATFORM_ADMIN_EMAIL": "root@example.com",
            "PLATFORM_ADMIN_PASSWORD": "a long one of the test's own",  # pragma: allowlist secret
        }
        done = subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
            cwd=folder,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    secrets = {path.name: path.read_text(encoding="utf-8") for path in (folder / "secrets").iterdir()}
    assert "PLATFORM_SECRET_KEY" in secrets
    for name, secret in secrets.items():
        assert name in done.stdout
        assert secret not in done.stdout


def test_the_modules_code_in_the_readme_is_the_samples() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in SAMPLE.rglob("*.py"))
    for snippet in snippets("Five minutes as a module author", "python"):
        assert snippet.strip() in code
    _, manifest = snippets("Five minutes as a module author", "toml")
    assert manifest.strip() in (SAMPLE / "plugin.toml").read_text(encoding="utf-8")
