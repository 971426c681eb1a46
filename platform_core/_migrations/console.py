"""
The commands of Alembic's own command line, carried out module by module; called by `alembic/env.py` only.

Alembic runs `env.py` from within each command that needs a database. Its command is looked up, done here for every
module, and Alembic itself is left with nothing to do.
"""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from alembic.util import CommandError

from platform_core._migrations.autogenerate import differences, write_revision
from platform_core._migrations.downgrade import downgrade, planned
from platform_core._migrations.lock import connect
from platform_core._migrations.offline import downgrade_sql, upgrade_sql
from platform_core._migrations.plan import check_installed, goal, installed_migrations
from platform_core._migrations.reports import Report
from platform_core._migrations.revisions import ModuleMigrations
from platform_core._migrations.settings import migration_settings
from platform_core._migrations.state import state_of
from platform_core._migrations.upgrade import upgrade
from platform_core._migrations.versions import current, history
from platform_core.errors import PlatformError, StartupFailed
from platform_core.settings import KernelSettings


@dataclass(frozen=True)
class _Call:
    """
    One command line, understood.

    Attributes:
        only: the module of `-x module=NAME`.
        write: prints a line.
    """

    options: Namespace
    settings: KernelSettings
    url: str
    modules: list[ModuleMigrations]
    only: str | None
    write: Callable[[str], None]

    @property
    def wanted(self) -> list[ModuleMigrations]:
        """The module that was named, or all."""
        return [module for module in self.modules if self.only in (None, module.name)]


def run_alembic_command(context: ModuleType, environment: Mapping[str, str]) -> None:
    """
    Carry out the command that Alembic was called with.

    Args:
        context: `alembic.context`.
        environment: where the settings are read from.

    Raises:
        CommandError: it failed; Alembic prints it and exits.
    """
    options = context.config.cmd_opts
    if options is None:
        raise CommandError("From Python, use `platform db …`: one Alembic command covers one module only.")
    name = options.cmd[0].__name__
    if name not in _COMMANDS:
        raise CommandError(f"`alembic {name}` does not work over all modules; see `platform db --help`.")
    only = context.get_x_argument(as_dictionary=True).get("module")
    with _explained(), _call(options, environment, only, context.config.print_stdout) as call:
        _COMMANDS[name](call)
    if name == "revision":
        # Alembic would now write an empty file of its own
        context.configure(dialect_name="postgresql")
        context.get_context().opts["revision_context"].generated_revisions.clear()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (PlatformError, StartupFailed) as error:
        raise CommandError(str(error)) from error


@contextlib.contextmanager
def _call(
    options: Namespace, environment: Mapping[str, str], only: str | None, write: Callable[[str], None]
) -> Iterator[_Call]:
    with migration_settings(environment) as settings:
        url = settings.database_url.get_secret_value()
        installed = installed_migrations(settings.modules, timeout_seconds=settings.startup_timeout_seconds)
        for module, reason in installed.broken.items():
            write(f"{module} is left out, it cannot be loaded: {reason}")
        if only is not None:
            check_installed(only, [module.name for module in installed.modules])
        yield _Call(options, settings, url, list(installed.modules), only, write)


def _upgrade(call: _Call) -> None:
    target, roles = call.options.revision, call.settings.database_roles
    if call.options.sql:
        nothing_applied = state_of((), call.modules)
        wanted = goal(call.modules, nothing_applied, target, call.only, None)
        call.write(upgrade_sql(wanted, {}, database=_database(call.url) if roles else None))
        return
    report = upgrade(call.url, call.modules, target=target, only=call.only, roles=roles, progress=call.write)
    _finish(call, report)


def _downgrade(call: _Call) -> None:
    target = call.options.revision
    if call.options.sql:
        _, _, target = target.rpartition(":")
        with connect(call.url) as connection:
            call.write(downgrade_sql(planned(connection, call.modules, target, call.only)))
        return
    _finish(call, downgrade(call.url, call.modules, target, only=call.only, progress=call.write))


def _current(call: _Call) -> None:
    for module in current(call.url, call.wanted):
        state = (
            "head"
            if module.revision == module.head
            else f"{len(module.pending)} pending, head is {module.head}"
        )
        call.write(f"{module.module}: {module.revision or 'nothing yet'} ({module.problem or state})")


def _history(call: _Call) -> None:
    if call.options.rev_range:
        raise CommandError(
            "A range means nothing over several histories; leave it out, or use -x module=NAME."
        )
    for line in history(call.url, call.wanted):
        applied = f"{line.applied_at:%Y-%m-%d %H:%M}" if line.applied_at else "pending"
        call.write(
            f"{line.module}: {line.down or '<base>'} -> {line.revision} ({line.phase}, {applied}), {line.summary}"
        )


def _revision(call: _Call) -> None:
    if call.only is None:
        raise CommandError(
            "Which module is it for? alembic -x module=NAME revision …, where NAME is one of: "
            + ", ".join(module.name for module in call.modules)
        )
    if not call.options.message:
        raise CommandError("Say what is done to which table: -m 'add phone users'.")
    url = call.url if call.options.autogenerate else None
    call.write(f"written: {write_revision(url, call.wanted[0], call.options.message)}")


def _check(call: _Call) -> None:
    found = {module.name: lines for module in call.wanted if (lines := differences(call.url, module))}
    if found:
        told = "; ".join(f"{name}: {', '.join(lines)}" for name, lines in found.items())
        raise CommandError(f"Models and tables differ: {told}.")


def _finish(call: _Call, report: Report) -> None:
    for line in report.lines():
        call.write(line)
    report.raise_for_failures()


def _database(url: str) -> str:
    with connect(url) as connection:
        return connection.info.dbname


_COMMANDS: Final[Mapping[str, Callable[[_Call], None]]] = {
    "upgrade": _upgrade,
    "downgrade": _downgrade,
    "current": _current,
    "history": _history,
    "revision": _revision,
    "check": _check,
}
