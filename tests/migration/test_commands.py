"""
Alembic's own commands from the root of the checkout, and `platform db …`, as real processes.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
from migration_rig import KERNEL_REVISIONS, Throwaway, connection, rows, tables

import platform_core
from platform_core.cli import main
from platform_core.testing import PluginSource, RunPlatform, plugins_installed

ROOT = Path(platform_core.__file__).resolve().parents[1]

PLUGIN = """
from pathlib import Path

import sqlalchemy as sa

from platform_core import hookimpl
from platform_core.db import aggregate_columns, module_metadata
from platform_core.declarations import Migrations

METADATA = module_metadata("crates")
sa.Table("things", METADATA, *aggregate_columns())
if Path(__file__).with_name("phone").exists():
    sa.Table("things", METADATA, sa.Column("phone", sa.Text), extend_existing=True)


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", METADATA)
"""


class Done(NamedTuple):
    """What a command that ended wrote."""

    stdout: str
    stderr: str


Run = Callable[..., Done]
Here = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.processes


@pytest.fixture
def crates(tmp_path: Path) -> Iterator[Path]:
    """An installed plugin with one table; its package."""
    package = tmp_path / "site" / "crates"
    source = PluginSource(name="crates", files={"plugin.py": PLUGIN, "migrations/versions/.keep": ""})
    with plugins_installed(source, into=tmp_path / "site"):
        module = Throwaway(tmp_path / "revisions", "crates", (), ()).things()
        for path in module.directory.iterdir():
            path.rename(package / "migrations" / "versions" / path.name)
        yield package


@pytest.fixture
def here(
    newest_database_url: str,
    crates: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Here:
    """Run `platform` in this process, which is quicker; returns its exit code and what it wrote."""
    monkeypatch.setenv("DATABASE_URL", newest_database_url)
    monkeypatch.setenv("PLATFORM_MODULES", "crates")
    monkeypatch.setenv("COLUMNS", "200")

    def run_(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        written = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, written.out, written.err

    return run_


@pytest.fixture
def run(
    newest_database_url: str,
    crates: Path,
    tmp_path: Path,
    run_platform: RunPlatform,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run `alembic …` or `platform …` at the root of the checkout, against an empty database."""
    for name in [name for name in os.environ if name.startswith(("PLATFORM_", "DATABASE_"))]:
        monkeypatch.delenv(name)
    alembic = tmp_path / "run_alembic.py"
    alembic.write_text("from alembic.config import main\nmain(prog='alembic')\n")

    def run_(program: str, *arguments: str, code: int = 0, **environment: str) -> Done:
        path = os.pathsep.join([str(ROOT), str(crates.parent), *sys.path])
        own = {"DATABASE_URL": newest_database_url, "PYTHONPATH": path, "PLATFORM_MODULES": "crates"}
        errors = tmp_path / f"errors-{uuid4()}"
        with run_platform(
            *arguments,
            env=own | environment,
            cwd=ROOT,
            errors=errors,
            program=alembic if program == "alembic" else None,
        ) as process:
            ended = process.wait(timeout_seconds=120)
            done = Done(process.output, errors.read_text())
        assert ended == code, done
        return done

    return run_


def test_alembics_commands_work_over_all_modules(run: Run, newest_database_url: str) -> None:
    up = run("alembic", "upgrade", "head")
    assert f"platform: {', '.join(KERNEL_REVISIONS)} done in" in up.stdout
    assert "crates: crates_0001 done in" in up.stdout
    assert tables(newest_database_url, "crates") == {"crates.things"}
    history = run("alembic", "history").stdout.splitlines()
    assert len(history) == len(KERNEL_REVISIONS) + 1
    assert history[-1].startswith("crates: <base> -> crates_0001 (expand, 20")
    run("alembic", "downgrade", "-1")
    assert tables(newest_database_url, "crates") == set()
    assert run("alembic", "current").stdout.splitlines() == [
        f"platform: {KERNEL_REVISIONS[-1]} (head)",
        "crates: nothing yet (1 pending, head is crates_0001)",
    ]


def test_alembic_takes_numbers_writes_sql_and_narrows_to_a_module(run: Run, newest_database_url: str) -> None:
    script = run("alembic", "upgrade", "head", "--sql").stdout
    assert script.index("CREATE TABLE platform.deliveries") < script.index("CREATE TABLE crates.things")
    assert tables(newest_database_url, "platform") == set()
    run("alembic", "upgrade", f"+{len(KERNEL_REVISIONS) + 1}")
    assert tables(newest_database_url, "crates") == {"crates.things"}
    assert run("alembic", "-x", "module=crates", "current").stdout == "crates: crates_0001 (head)\n"


def test_alembic_writes_a_revision_for_the_module_that_is_named(
    run: Run, here: Here, newest_database_url: str, crates: Path
) -> None:
    assert here("db", "upgrade")[0] == 0
    (crates / "phone").touch()
    assert "Models and tables differ: crates: add column" in run("alembic", "check", code=255).stdout

    before = {path.name for path in (ROOT / "alembic" / "versions").iterdir()}
    written = run(
        "alembic", "-x", "module=crates", "revision", "--autogenerate", "-m", "add phone"
    ).stdout.strip()
    path = Path(written.removeprefix("written: "))
    assert path.parent == crates / "migrations" / "versions"
    assert path.name.endswith("_crates_add_phone_things.py")
    assert {path.name for path in (ROOT / "alembic" / "versions").iterdir()} == before
    text = path.read_text()
    for line in ('revision = "crates_0002"', 'down_revision = "crates_0001"', 'phase = "expand"'):
        assert line in text
    assert here("db", "upgrade")[0] == 0
    assert rows(newest_database_url, "SELECT phone FROM crates.things") == []


def test_what_alembic_cannot_do_over_all_modules_is_refused_in_words(run: Run) -> None:
    assert (
        "`alembic stamp` does not work over all modules" in run("alembic", "stamp", "head", code=255).stdout
    )
    unnamed = run("alembic", "revision", "--autogenerate", "-m", "add phone", code=255)
    assert "Which module is it for? alembic -x module=NAME revision" in unnamed.stdout
    unknown = run("alembic", "-x", "module=nothing", "current", code=255).stdout
    assert "There is no module nothing here. Installed are: platform, crates." in unknown


def test_platform_db_does_the_same_with_exit_codes_and_json(here: Here, newest_database_url: str) -> None:
    done = json.loads(here("db", "upgrade", "--json")[1])
    assert done["ok"]
    assert [module["name"] for module in done["modules"]] == ["platform", "crates"]
    assert here("db", "upgrade")[:2] == (0, "nothing to do\n")
    assert json.loads(here("db", "current", "--json")[1])[1] == {
        "module": "crates",
        "revision": "crates_0001",
        "head": "crates_0001",
        "pending": [],
        "problem": None,
    }
    history = json.loads(here("db", "history", "--module", "crates", "--json")[1])
    assert [line["revision"] for line in history] == ["crates_0001"]
    assert here("db", "wait", "--timeout-seconds", "1")[:2] == (0, "The database is what this build needs.\n")
    assert here("db", "lint")[:2] == (0, "Nothing dangerous found.\n")
    code, told, _ = here("db", "rehearse")
    assert (code, told.startswith("Nothing is pending in ")) == (0, True)
    code, told, _ = here("db", "check", "--module", "crates")
    assert code == 0
    assert "every table is as its model says" in told

    code, _, told = here("db", "downgrade", "-1")
    assert code == 2
    assert "say --yes where nobody can be asked" in told
    assert "DROP TABLE crates.things" in here("db", "downgrade", "-1", "--sql")[1]
    assert tables(newest_database_url, "crates") == {"crates.things"}
    assert "crates: crates_0001 taken back in" in here("db", "downgrade", "-1", "--yes")[1]
    assert tables(newest_database_url, "crates") == set()
    code, _, told = here("db", "wait", "--timeout-seconds", "0")
    assert code == 1
    assert "crates: pending: crates_0001" in told
    assert here("db", "downgrade", "base", "--yes")[0] == 0
    assert (
        rows(newest_database_url, "SELECT nspname FROM pg_namespace WHERE nspname IN ('platform', 'audit')")
        == []
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["upgrade", "--module", "nothing"], "There is no module nothing here"),
        (["upgrade", "nothing_0001"], "There is no revision nothing_0001"),
        (["upgrade", "--phase", "both"], "is not one of 'expand', 'contract'"),
        (["revision", "-m", "add phone users"], "Missing option '--module'"),
        (["nothing"], "No such command 'nothing'"),
    ],
)
def test_wrong_usage_ends_with_two(here: Here, command: list[str], words: str) -> None:
    code, _, told = here("db", *command)
    assert code == 2
    assert words in told


def test_a_failing_module_ends_with_one_and_names_file_and_cause(run: Run, crates: Path) -> None:
    (path,) = (crates / "migrations" / "versions").glob("*.py")
    path.write_text(
        path.read_text().replace("op.create_table(", "op.execute('SELECT 1/0')\n    op.create_table(")
    )
    failed = run("platform", "db", "upgrade", code=1)
    assert f"platform: {', '.join(KERNEL_REVISIONS)} done in" in failed.stdout
    assert f"Error: crates: revision crates_0001 ({path.name}) failed: division by zero." in failed.stderr
    assert "Traceback" not in failed.stderr


def test_an_unreachable_database_is_one_paragraph(run: Run) -> None:
    failed = run("platform", "db", "upgrade", code=1, DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert failed.stderr.startswith("Error: The database does not answer: ")
    assert len(failed.stderr.strip().splitlines()) == 1


def test_migrating_needs_no_redis_and_no_secrets_but_takes_the_rights_it_is_told(
    run: Run, newest_database_url: str
) -> None:
    run("platform", "db", "upgrade", PLATFORM_ENV="production", PLATFORM_DATABASE_ROLES="false")
    assert rows(newest_database_url, "SELECT DISTINCT role FROM platform.modules") == [(None,)]


@pytest.mark.parametrize(
    "command", ["upgrade", "downgrade", "current", "history", "revision", "check", "lint", "rehearse", "wait"]
)
def test_every_command_has_help_with_an_example(here: Here, command: str) -> None:
    code, told, _ = here("db", command, "--help")
    assert code == 0
    assert f"Example: platform db {command}" in told


def test_a_broken_optional_plugin_is_left_out_and_told(
    run: Run, crates: Path, newest_database_url: str
) -> None:
    (crates / "plugin.py").write_text("raise RuntimeError('broken')\n")
    done = run("platform", "db", "upgrade")
    assert "crates is left out, it cannot be loaded" in done.stderr
    assert tables(newest_database_url, "platform") != set()
    with connection(newest_database_url) as opened:
        assert opened.execute("SELECT to_regnamespace('crates')").fetchone() == (None,)
