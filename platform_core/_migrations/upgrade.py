"""
Bringing a database up to this build, over all modules.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import psycopg
from psycopg import sql

from platform_core._migrations import links
from platform_core._migrations import roles as database_roles
from platform_core._migrations.links import LinkReport
from platform_core._migrations.lock import migration_lock
from platform_core._migrations.plan import Goal, goal
from platform_core._migrations.reports import ModuleReport, Report, WaitingRevision
from platform_core._migrations.revisions import ModuleMigrations, Phase, Revision, read_revisions
from platform_core._migrations.run import Observer, Progress, Run, retry, words
from platform_core._migrations.state import DatabaseState, read_database_sync
from platform_core._pools import KERNEL
from platform_core.declarations import Link
from platform_core.errors import MigrationFailed, OperationError

WAIT_SECONDS: Final = 300.0


def upgrade(
    database_url: str,
    modules: Sequence[ModuleMigrations],
    *,
    target: str = "head",
    phase: Phase | None = None,
    roles: bool = True,
    only: str | None = None,
    wait_seconds: float = WAIT_SECONDS,
    progress: Progress = lambda _: None,
    observer: Observer | None = None,
) -> Report:
    """
    Bring a database to what this build needs: revisions, links, roles. Any number may run this at once.

    Args:
        modules: every installed module in plugin order, the kernel first.
        target: `head`, everything; `+N`, the next N revisions; or a revision, with what its module needs.
        phase: run only revisions of this kind, and stop before the first of the other.
        roles: give each module a database role of its own, where the migrator may create them.
        only: this module and what it needs.
        wait_seconds: how long to wait for another migrator.
        progress: told a line now and then.
        observer: looks on while revisions run.

    Returns: what was done, and what failed: one module's failure does not stop those that do not need it.

    Raises:
        MigrationFailed: the database does not answer, or another migrator does not end.
    """
    state = read_database_sync(database_url, modules)
    wanted = goal(modules, state, target, only, phase)
    if _is_done(state, wanted, roles):
        return _nothing_done(state, wanted, roles)
    with migration_lock(database_url, wait_seconds=wait_seconds, waiting=progress) as connection:
        # whoever had the lock before has probably done it all
        state = read_database_sync(connection, modules)
        if _is_done(state, wanted, roles):
            return _nothing_done(state, wanted, roles)
        run = _Upgrade(database_url, connection, wanted, modules, wait_seconds, progress, observer)
        return run.run(roles=roles)


def _nothing_done(state: DatabaseState, wanted: Goal, roles: bool) -> Report:
    return Report(
        tuple(ModuleReport(m.name, waiting=_waiting(state.modules[m.name].pending)) for m in wanted.modules),
        _present_links(wanted.modules, state),
        bool(state.roles) if roles else None,
    )


def _is_done(state: DatabaseState, wanted: Goal, roles: bool) -> bool:
    for module in wanted.modules:
        of_module, remembered = state.modules[module.name], state.remembered.get(module.name)
        if of_module.problem or of_module.ahead or remembered is None or remembered.version != module.version:
            return False
        if remembered.permissions not in (None, {*module.permissions}):
            return False
        if wanted.runnable(module.name, of_module.pending):
            return False
        if {*remembered.links} != {link for link in module.links if _target(link) in state.remembered}:
            return False
        if roles and (not state.roles or module.name not in state.roles or not remembered.has_rights):
            return False
    return True


def _present_links(wanted: Sequence[ModuleMigrations], state: DatabaseState) -> tuple[LinkReport, ...]:
    return tuple(
        LinkReport(
            m.name, links.shown(m.name, link), "present" if _target(link) in state.remembered else "waiting"
        )
        for m in wanted
        for link in m.links
    )


def _waiting(revisions: Sequence[Revision]) -> tuple[WaitingRevision, ...]:
    return tuple(WaitingRevision(revision.id, revision.phase) for revision in revisions)


def _target(link: Link) -> str:
    return link.target.partition(".")[0]


class _Upgrade:
    """One run under the lock."""

    def __init__(
        self,
        url: str,
        connection: psycopg.Connection[Any],
        wanted: Goal,
        installed: Sequence[ModuleMigrations],
        wait_seconds: float,
        progress: Progress,
        observer: Observer | None,
    ) -> None:
        self._url, self._connection, self._wanted, self._installed = url, connection, wanted, installed
        self._wait_seconds, self._progress, self._observer = wait_seconds, progress, observer
        self._reports: dict[str, ModuleReport] = {}

    def run(self, *, roles: bool) -> Report:
        for module in self._wanted.modules:
            began = time.monotonic()
            report = self._module(module)
            self._reports[module.name] = replace(report, duration_seconds=time.monotonic() - began)
        migrated = self._remember()
        link_reports: list[LinkReport] = []
        has_roles: bool | None = None
        notes: list[str] = []
        if migrated:
            state = read_database_sync(self._connection, self._installed)
            ready = frozenset(
                name for name in state.remembered if name in state.modules and state.modules[name].is_ready
            )
            link_reports = links.put_in_place(self._connection, self._wanted.modules, ready, self._retrying)
            if roles:
                has_roles, notes = self._roles([name for name in self._names() if name in state.remembered])
        return Report(tuple(self._reports.values()), tuple(link_reports), has_roles, tuple(notes))

    def _roles(self, names: Sequence[str]) -> tuple[bool, list[str]]:
        try:
            note = database_roles.apply(self._connection, names)
        except MigrationFailed as error:
            self._reports[KERNEL] = replace(self._reports[KERNEL], error=error.message)
            return True, []
        return note is None, [note] if note else []

    def _names(self) -> Sequence[str]:
        return [module.name for module in self._installed]

    def _module(self, module: ModuleMigrations) -> ModuleReport:
        needed = (KERNEL, *module.requires) if module.name != KERNEL else ()
        for name in needed:
            if name in self._reports and not self._reports[name].ok:
                return ModuleReport(module.name, skipped_for=self._reports[name].skipped_for or name)
        try:
            return self._migrate(module)
        except OperationError as error:
            return ModuleReport(module.name, error=error.message)
        except psycopg.Error as error:
            return ModuleReport(module.name, error=words(error))

    def _migrate(self, module: ModuleMigrations) -> ModuleReport:
        revisions = read_revisions(module)
        for schema in module.schemas:
            self._connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        run = Run(self._url, module, revisions, self._wait_seconds, self._progress, self._observer)
        before = run.position(self._connection)
        todo = self._wanted.runnable(module.name, revisions[before:])
        error = None
        try:
            run.up(todo)
        except OperationError as failure:
            error = failure.message
        after = before + len(todo) if error is None else run.position(self._connection)
        if after:
            self._reconcile(module, revisions[:after])
        return ModuleReport(
            module.name,
            run.applied(revisions[before:after]),
            _waiting(revisions[before + len(todo) :]),
            error,
        )

    def _reconcile(self, module: ModuleMigrations, applied: Sequence[Revision]) -> None:
        """Make the ledger say what the version table says, where somebody stamped or edited that one."""
        names = [revision.id for revision in applied]
        self._connection.execute(
            "DELETE FROM platform.migrations WHERE module = %s AND NOT revision = ANY(%s)",
            (module.name, names),
        )
        self._connection.execute(
            "INSERT INTO platform.migrations (module, revision, phase, duration_ms)"
            " SELECT %s, r.id, r.phase, 0 FROM unnest(%s::text[], %s::text[]) AS r(id, phase)"
            " WHERE NOT EXISTS (SELECT FROM platform.migrations m WHERE m.module = %s AND m.revision = r.id)",
            (module.name, names, [revision.phase for revision in applied], module.name),
        )

    def _remember(self) -> Sequence[str]:
        done = [module for module in self._wanted.modules if self._reports[module.name].ok]
        for module in done:
            self._connection.execute(
                "INSERT INTO platform.modules (name, version) VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET version = excluded.version, seen_at = now()",
                (module.name, module.version),
            )
            # not there yet where an upgrade stops at an older revision of the kernel
            with contextlib.suppress(psycopg.errors.UndefinedColumn):
                self._connection.execute(
                    "UPDATE platform.modules SET requires = %s, permissions = %s WHERE name = %s",
                    (list(module.requires), list(module.permissions), module.name),
                )
        return [module.name for module in done]

    def _retrying(self, statement: Callable[[], None]) -> None:
        retry(statement, self._progress, "a link")
