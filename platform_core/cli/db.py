"""`platform db`: migrations over all modules; the same as Alembic's commands at the root of a checkout, and more."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from platform_core._environment import chosen_modules
from platform_core.cli._output import AsJson, note, print_json, print_table
from platform_core.cli._session import read_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from platform_core._migrations import ModuleMigrations, Report
    from platform_core._migrations.rehearsal import Rehearsal
    from platform_core._migrations.versions import Current
    from platform_core.settings import KernelSettings

app = typer.Typer(
    name="db",
    help="Migrations: upgrade, downgrade, look, write new ones.",
    no_args_is_help=True,
    add_completion=False,
)


class Phase(StrEnum):
    """Kinds of revisions: before the new code is released, and after the old is gone."""

    EXPAND = "expand"
    CONTRACT = "contract"


Module = Annotated[
    str | None, typer.Option("--module", help="Only this module; for upgrade: and what it needs.")
]
Sql = Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it.")]
Kind = Annotated[
    Phase | None,
    typer.Option("--phase", help="Only revisions of this kind, as far as the first of the other."),
]
Wait = Annotated[float, typer.Option("--wait-seconds", min=0, help="How long to wait for another migrator.")]


@dataclass(frozen=True)
class _Database:
    """What a command works on."""

    settings: KernelSettings
    modules: Sequence[ModuleMigrations]

    @property
    def url(self) -> str:
        return self.settings.database_url.get_secret_value()


@app.callback()
def _group() -> None:
    """Migrations: upgrade, downgrade, look, write new ones. The database is DATABASE_URL's."""


@app.command(epilog="Example: platform db upgrade --phase expand")
def upgrade(
    target: Annotated[str, typer.Argument(help="head, +N, or a revision.")] = "head",
    module: Module = None,
    phase: Kind = None,
    sql: Sql = False,
    wait_seconds: Wait = 300,
    json: AsJson = False,
) -> None:
    """
    Bring every module's tables to what this build needs, then links between modules and database roles.

    Any number of processes may run this at once. A module that fails is named, and so are those that need it; the
    others go on. Exit code 1 when one failed.
    """
    from platform_core import _migrations

    kind = phase.value if phase else None
    with _database() as database:
        if sql:
            typer.echo(_upgrade_sql(database, target, module, kind))
            return
        with _progress(quiet=json) as progress:
            report = _migrations.upgrade(
                database.url,
                database.modules,
                target=target,
                phase=kind,  # type: ignore[arg-type]  # the enum's values are the literals
                roles=database.settings.database_roles,
                only=module,
                wait_seconds=wait_seconds,
                progress=progress,
            )
    _finish(report, json)


@app.command(
    epilog="Example: platform db downgrade -1 --yes", context_settings={"ignore_unknown_options": True}
)
def downgrade(
    target: Annotated[
        str, typer.Argument(help="-N, the latest N over all modules; base; or a revision, which is kept.")
    ] = "-1",
    module: Module = None,
    sql: Sql = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: what is taken back is lost.")] = False,
    wait_seconds: Wait = 300,
    json: AsJson = False,
) -> None:
    """
    Take revisions back, the latest over all modules first; the data they had a place for are lost.
    """
    from platform_core import _migrations
    from platform_core._migrations.downgrade import planned
    from platform_core._migrations.lock import connect
    from platform_core._migrations.offline import downgrade_sql

    with _database() as database:
        with connect(database.url) as connection:
            steps = planned(connection, database.modules, target, module)
        if sql:
            typer.echo(downgrade_sql(steps))
            return
        if not yes:
            _confirm([f"{step.module.name}: {', '.join(r.id for r in step.revisions)}" for step in steps])
        with _progress(quiet=json) as progress:
            report = _migrations.downgrade(
                database.url,
                database.modules,
                target,
                only=module,
                wait_seconds=wait_seconds,
                progress=progress,
            )
    _finish(report, json)


@app.command(epilog="Example: platform db current --json")
def current(module: Module = None, json: AsJson = False) -> None:
    """Show where each module is; exit code 1 when one cannot be said."""
    from platform_core._migrations.versions import current as read

    with _database() as database:
        found = read(database.url, _wanted(database, module))
    if json:
        print_json(found)
    else:
        rows = [
            [m.module, m.revision or "-", m.head or "-", m.problem or ", ".join(m.pending) or _at_rest(m)]
            for m in found
        ]
        print_table(["module", "revision", "newest", "pending"], rows)
    raise typer.Exit(1 if any(m.problem for m in found) else 0)


def _at_rest(module: Current) -> str:
    return "up to date" if module.head else "has no revisions"


@app.command(epilog="Example: platform db history --module user_management")
def history(module: Module = None, json: AsJson = False) -> None:
    """Show every revision of every module, oldest first, and when it was applied."""
    from platform_core._migrations.versions import history as read

    with _database() as database:
        found = read(database.url, _wanted(database, module))
    if json:
        print_json(found)
        return
    rows = [
        [
            line.module,
            line.revision,
            line.phase,
            f"{line.applied_at:%Y-%m-%d %H:%M:%S}" if line.applied_at else "pending",
            line.summary,
        ]
        for line in found
    ]
    print_table(["module", "revision", "phase", "applied (UTC)", "what"], rows)


@app.command(epilog="Example: platform db revision --module user_management -m 'add phone users'")
def revision(
    module: Annotated[str, typer.Option("--module", help="The module it is for.")],
    message: Annotated[
        str, typer.Option("--message", "-m", help="What is done to which table: 'add phone users'.")
    ],
    empty: Annotated[bool, typer.Option("--empty", help="Do not compare models and tables.")] = False,
    phase: Kind = None,
    json: AsJson = False,
) -> None:
    """Write a new revision file from what differs between a module's models and its tables."""
    from platform_core._migrations.autogenerate import write_revision

    with _database() as database:
        (wanted,) = _wanted(database, module)
        kind = phase.value if phase else None
        path = write_revision(None if empty else database.url, wanted, message, phase=kind)  # type: ignore[arg-type]  # as above
    if json:
        print_json({"file": path})
    else:
        typer.echo(f"Written: {path}. Read it, then try it: platform db check --module {module}")


@app.command(epilog="Example: platform db check --module user_management")
def check(module: Module = None, json: AsJson = False) -> None:
    """
    Run all revisions up, down and up again on a scratch database, and compare models and tables.

    The scratch database is made beside the configured one, which is not touched, and dropped afterwards.
    """
    from platform_core._migrations.check import check as run

    with _database() as database, _progress(quiet=json) as progress:
        _wanted(database, module)
        problems = run(database.url, database.modules, only=module, progress=progress)
    _show_findings(problems, json, "Up, down and up again: every table is as its model says.")


@app.command(epilog="Example: platform db lint --module user_management")
def lint(module: Module = None, json: AsJson = False) -> None:
    """
    Look for operations that would stop a database in use, and for wrong file names; needs no database.

    Squawk, a linter for PostgreSQL, is asked about the SQL that each revision writes; `platform-core[testing]` brings
    it along. What is right in its place is waived on its line: `# lint: RULE why it is right here`.
    """
    from platform_core._migrations import installed_migrations, squawk
    from platform_core._migrations.lint import findings

    installed = installed_migrations(chosen_modules(read_environment()))
    if not squawk.is_installed():
        note(f"Only the platform's own rules: {squawk.ABSENT}")
    with _usage():
        found = [f for m in _named(installed.modules, module) for f in findings(m)]
    _show_findings(found, json, "Nothing dangerous found.")


@app.command(epilog="Example: platform db rehearse --phase expand")
def rehearse(
    module: Module = None,
    phase: Kind = None,
    free_gb: Annotated[
        float | None,
        typer.Option("--free-gb", min=0, help="Free on the server's disk, where this machine cannot see it."),
    ] = None,
    json: AsJson = False,
) -> None:
    """
    Run what is pending on a copy of the database, and tell what it took: time, locks, rows, sizes.

    The copy is made beside the database, which is not changed, and dropped in any case. Exit code 1 when a revision
    failed or no copy could be made.
    """
    from platform_core._migrations.rehearsal import rehearse as run

    # a container that is stopped must not leave the copy behind
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _database() as database, _progress(quiet=json) as progress:
        rehearsal = run(
            database.url,
            database.modules,
            phase=phase.value if phase else None,
            only=module,
            free_bytes=None if free_gb is None else round(free_gb * 1e9),
            progress=progress,
        )
    _show_rehearsal(rehearsal, json)


@app.command(epilog="Example: platform db wait --timeout-seconds 120")
def wait(
    timeout_seconds: Annotated[
        float, typer.Option("--timeout-seconds", min=0, help="Give up after this.")
    ] = 300,
    json: AsJson = False,
) -> None:
    """Return once nothing is pending that this build needs, whoever migrates; for init containers and scripts."""
    from platform_core._migrations.check import wait as run

    with _database() as database:
        state = run(
            database.url,
            database.modules,
            timeout_seconds=timeout_seconds,
            waiting=lambda why: note(f"waiting: {why}"),
        )
    if json:
        print_json({name: str(module) for name, module in state.modules.items()})
    else:
        typer.echo("The database is what this build needs.")


@contextlib.contextmanager
def _database() -> Iterator[_Database]:
    from platform_core._migrations import installed_migrations
    from platform_core._migrations.settings import migration_settings

    with _usage(), migration_settings(read_environment()) as settings:
        installed = installed_migrations(settings.modules, timeout_seconds=settings.startup_timeout_seconds)
        for name, reason in installed.broken.items():
            note(f"{name} is left out, it cannot be loaded: {reason}")
        yield _Database(settings, installed.modules)


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    """Tell a mistake in the command line from a failure."""
    from platform_core._migrations.plan import UnknownTarget

    try:
        yield
    except UnknownTarget as error:
        raise typer.BadParameter(error.message) from error


def _wanted(database: _Database, module: str | None) -> Sequence[ModuleMigrations]:
    return _named(database.modules, module)


def _named(modules: Sequence[ModuleMigrations], module: str | None) -> Sequence[ModuleMigrations]:
    from platform_core._migrations.plan import check_installed

    if module is not None:
        check_installed(module, [m.name for m in modules])
    return [m for m in modules if module in (None, m.name)]


def _upgrade_sql(database: _Database, target: str, module: str | None, phase: Any) -> str:
    from platform_core._migrations import read_database_sync
    from platform_core._migrations.lock import connect
    from platform_core._migrations.offline import upgrade_sql
    from platform_core._migrations.plan import goal
    from platform_core._migrations.versions import applied_revisions

    with connect(database.url) as connection:
        state, name = read_database_sync(connection, database.modules), connection.info.dbname
    wanted = goal(database.modules, state, target, module, phase)
    applied = applied_revisions(database.url, wanted.modules)
    return upgrade_sql(wanted, applied, database=name if database.settings.database_roles else None)


def _confirm(lines: Sequence[str]) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("what is taken back is lost: say --yes where nobody can be asked")
    typer.echo("This takes back, and what was stored there is lost:\n  " + "\n  ".join(lines))
    typer.confirm("Go on?", abort=True)


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield where progress goes: a line that changes on a terminal, lines of their own elsewhere."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status("looking at the database") as status:
            yield status.update
    else:
        yield note


def _finish(report: Report, json: bool) -> None:
    if json:
        print_json(
            {
                "ok": report.ok,
                "failed": dict(report.failed),
                **{n: getattr(report, n) for n in report.__slots__},
            }
        )
    else:
        for line in report.lines():
            typer.echo(line)
        for name, reason in report.failed.items():
            typer.secho(f"Error: {name}: {reason}", err=True, fg="red" if sys.stderr.isatty() else None)
    raise typer.Exit(0 if report.ok else 1)


def _show_rehearsal(rehearsal: Rehearsal, json: bool) -> None:
    from platform_core._migrations.clone import gigabytes
    from platform_core._migrations.rehearsal import lines

    if json:
        print_json({"ok": rehearsal.ok, **{n: getattr(rehearsal, n) for n in rehearsal.__slots__}})
    elif rehearsal.how is None:
        typer.echo(f"Nothing is pending in {rehearsal.database}: nothing was copied.")
    else:
        print_table(["revision", "phase", "took", "stops", "rows", "size"], list(lines(rehearsal)))
        typer.echo(
            f"A copy of {rehearsal.database}, made of its {_COPIED[rehearsal.how]} in {rehearsal.copy_seconds:.1f} s,"
            f" went from {gigabytes(rehearsal.bytes_before)} to {gigabytes(rehearsal.bytes_after)}; it is gone again."
        )
        for name, reason in (rehearsal.failed or {}).items():
            typer.secho(f"Error: {name}: {reason}", err=True, fg="red" if sys.stderr.isatty() else None)
    raise typer.Exit(0 if rehearsal.ok else 1)


_COPIED = {"files": "files", "dump": "rows"}


def _show_findings(found: Sequence[Any], json: bool, all_well: str) -> None:
    if json:
        print_json(found)
    else:
        for line in found or [all_well]:
            typer.echo(str(line))
    raise typer.Exit(1 if found else 0)
