"""The command line as such: help, usage, errors, and commands that plugins add."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from platform_core.cli._errors import message
from platform_core.cli._root import root
from platform_core.errors import InvalidSettings, StartupFailed
from platform_core.testing import PluginSource, plugins_installed

GREETER = """
import typer
from platform_core import hookimpl

app = typer.Typer(name="greet", no_args_is_help=True)

@app.command(epilog="Example: platform greet hello")
def hello() -> None:
    "Say hello."
    typer.echo("hello from a plugin")

@hookimpl
def register_cli():
    return app
"""
MANIFEST = 'title = "Greeter"\n[commands]\ngreet = "Greetings, from the command line."\n'


def every_command(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    context = typer.Context(command, info_name=" ".join(("platform", *path)))
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    if not names or command.invoke_without_command:
        yield " ".join(path), command
    for name in names:
        yield from every_command(command.get_command(context, name), (*path, name))


def test_help_of_every_command_shows_an_example() -> None:
    commands = dict(every_command(root()))
    assert {
        "dev",
        "serve",
        "worker",
        "scheduler",
        "modules check",
        "events retry",
        "audit verify",
    } <= commands.keys()
    without = [
        path for path, command in commands.items() if "Example: platform" not in (command.epilog or "")
    ]
    assert without == []


def test_every_option_of_every_command_is_explained() -> None:
    unexplained = [
        f"{path} {parameter.name}"
        for path, command in every_command(root())
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert unexplained == []


def test_overview_lists_every_group_and_those_of_plugins(cli) -> None:
    outcome = cli("--help")
    assert outcome.code == 0
    for name in (
        "dev",
        "serve",
        "worker",
        "scheduler",
        "db",
        "seed",
        "modules",
        "events",
        "audit",
        "config",
        "openapi",
    ):
        assert f"\n  {name} " in outcome.out
    assert "\n  users " in outcome.out


def test_overview_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom platform_core.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'fastapi', 'sqlalchemy', 'pydantic', 'rich', 'psycopg', 'redis', 'user_management.plugin'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("heavy: []\n")


def test_a_process_that_starts_imports_nothing_that_only_few_ever_need() -> None:
    """Counted, because a start is for the most part imports; each of these was a fiftieth of it or more."""
    program = (
        "import sys\nimport platform_core.cli.processes, platform_core.serve, platform_core.app\n"
        "from platform_core._discovery import discover\nfrom platform_core._hooks import Hooks\n"
        "hooks = Hooks(discover(), timeout_seconds=60)\n"
        "for hook in ('register_services', 'register_seeds'):\n    hooks.collect(hook)\n"
        "print('heavy:', sorted({'rich', 'PIL', 'aiosmtplib', 'httpx2', 'alembic', 'taskiq'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("heavy: []\n"), done.stdout


def test_version_is_told(cli) -> None:
    assert cli("--version").out.startswith("platform-core 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ("modlues",),
        ("serve", "--port", "99999"),
        ("serve", "--nope"),
        ("modules", "show"),
        ("events", "retry"),
        (),
    ],
)
def test_wrong_usage_is_code_2_and_points_to_help(cli, arguments: tuple[str, ...]) -> None:
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert "Usage: platform" in outcome.err + outcome.out
    assert "Traceback" not in outcome.err


def test_misspelt_command_is_guessed(cli) -> None:
    assert "Did you mean 'modules'?" in cli("modlues").err


def test_start_without_settings_says_everything_that_is_missing_at_once(cli) -> None:
    outcome = cli("serve", env={"PLATFORM_ENV": "production"})
    assert outcome.code == 1
    for variable in (
        "DATABASE_URL",
        "REDIS_URL",
        "PLATFORM_SECRET_KEY",
        "PLATFORM_USER_MANAGEMENT_SIGNING_KEY",
    ):
        assert variable in outcome.err
    assert "→ set it in the environment" in outcome.err
    assert "Traceback" not in outcome.err


def test_traceback_is_shown_with_debug_only(cli) -> None:
    environment = {"PLATFORM_ENV": "production"}
    assert "Traceback" in cli("--debug", "serve", env=environment).err
    assert "Traceback" in cli("serve", env={**environment, "PLATFORM_DEBUG": "1"}).err


def test_database_that_is_away_is_one_readable_paragraph(cli) -> None:
    outcome = cli(
        "audit", "verify", env={**SOMEWHERE, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nowhere"}
    )
    assert outcome.code == 1
    assert "The database does not answer" in outcome.err
    assert "Check DATABASE_URL" in outcome.err


def test_several_reasons_become_a_list_with_hints() -> None:
    error = StartupFailed(
        "The platform cannot start:",
        [InvalidSettings("a", "is wrong", "mend it"), InvalidSettings("b", "too")],
    )
    assert message(error).splitlines() == [
        "Error: The platform cannot start:",
        "  • a: is wrong",
        "    → mend it",
        "  • b: too",
    ]


def test_commands_of_a_plugin_are_listed_without_importing_it_and_work(cli, tmp_path: Path) -> None:
    marker = tmp_path / "imported"
    files = {"plugin.py": f"open({str(marker)!r}, 'w').close()\n{GREETER}"}
    with plugins_installed(
        PluginSource(name="greeter", files=files, manifest=MANIFEST), into=tmp_path / "p"
    ) as paths:
        path = {"PYTHONPATH": ":".join(map(str, paths))}
        assert "greet  " in cli("--help", env=path).out
        assert not marker.exists()
        assert cli("greet", "hello", env=path).out == "hello from a plugin\n"
        assert cli("greet", "hello", env={**path, "PLATFORM_MODULES": "user_management"}).code == 2


def test_the_command_line_reads_env_files_for_its_commands_as_for_everything_else(
    cli, tmp_path: Path
) -> None:
    files = {"plugin.py": GREETER}
    with plugins_installed(
        PluginSource(name="greeter", files=files, manifest=MANIFEST), into=tmp_path / "p"
    ) as paths:
        path = {"PYTHONPATH": ":".join(map(str, paths))}
        (tmp_path / ".env").write_text("PLATFORM_MODULES= user_management ,\n")
        assert "greet  " not in cli("--help", env=path).out
        assert "greet  " in cli("--help", env={**path, "PLATFORM_ENV": "production"}).out


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('boom')", "ValueError: boom"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("x = 1", "it has no hook register_cli"),
        (GREETER.replace('name="greet"', 'name="other"'), "returned no typer.Typer(name='greet')"),
    ],
)
def test_broken_plugin_costs_only_its_own_commands(cli, tmp_path: Path, code: str, reason: str) -> None:
    source = PluginSource(name="greeter", files={"plugin.py": code}, manifest=MANIFEST)
    with plugins_installed(source, into=tmp_path / "p") as paths:
        path = {"PYTHONPATH": ":".join(map(str, paths))}
        assert cli("--help", env=path).code == 0
        outcome = cli("greet", "hello", env=path)
        assert outcome.code == 1
        assert "greeter cannot offer its commands" in outcome.err
        assert reason in outcome.err


def test_plugin_cannot_take_a_command_of_the_platform(cli, tmp_path: Path) -> None:
    source = PluginSource(
        name="greeter", files={"plugin.py": GREETER}, manifest='title = "G"\n[commands]\nserve = "mine"\n'
    )
    with plugins_installed(source, into=tmp_path / "p") as paths:
        outcome = cli("--help", env={"PYTHONPATH": ":".join(map(str, paths))})
        assert outcome.code == 0
        assert "greeter wants to add the command serve" in outcome.err
        assert "mine" not in outcome.out


SOMEWHERE = {
    "PLATFORM_ENV": "production",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nowhere",
    "REDIS_URL": "redis://127.0.0.1:1",
    "PLATFORM_SECRET_KEY": "kZ3v9Qx7Lm2Tn8Rb5Wc1Yd6Hf4Jg0PsAuEoIi",  # pragma: allowlist secret
}
