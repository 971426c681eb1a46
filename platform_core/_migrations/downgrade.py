"""
Taking revisions back, over all modules, in the order that the ledger remembers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from platform_core._migrations import links, roles
from platform_core._migrations.links import LinkReport
from platform_core._migrations.lock import migration_lock
from platform_core._migrations.plan import UnknownTarget, check_installed
from platform_core._migrations.reports import ModuleReport, Report
from platform_core._migrations.revisions import ModuleMigrations, Revision, read_revisions
from platform_core._migrations.run import Progress, Run, retry, words
from platform_core._migrations.state import read_database_sync
from platform_core._migrations.upgrade import WAIT_SECONDS
from platform_core._pools import KERNEL
from platform_core.errors import MigrationFailed, OperationError


@dataclass(frozen=True, slots=True)
class Step:
    """Revisions of one module to take back, the newest first; a module without any has a schema and a role."""

    module: ModuleMigrations
    revisions: tuple[Revision, ...]

    @property
    def is_last(self) -> bool:
        """Whether nothing of the module is left afterwards."""
        return not self.revisions or self.revisions[-1].down is None


def downgrade(
    database_url: str,
    modules: Sequence[ModuleMigrations],
    target: str = "-1",
    *,
    only: str | None = None,
    wait_seconds: float = WAIT_SECONDS,
    progress: Progress = lambda _: None,
) -> Report:
    """
    Take revisions back; the data that only they had a place for are gone.

    Args:
        modules: every installed module in plugin order, the kernel first.
        target: `-N`, the latest N revisions over all modules; `base`, everything; or a revision, which is kept
            while those after it in its module are taken back.
        only: of this module only.
        wait_seconds: how long to wait for another migrator.
        progress: told a line now and then.

    Returns: what was taken back; it stops at the first failure.

    Raises:
        OperationError: there is nothing to take back, or the target cannot be understood.
        MigrationFailed: the database does not answer, or another migrator does not end.
    """
    with migration_lock(database_url, wait_seconds=wait_seconds, waiting=progress) as connection:
        return _Downgrade(database_url, connection, modules, wait_seconds, progress).run(target, only)


def remove_links(
    database_url: str, module: str, *, wait_seconds: float = WAIT_SECONDS, progress: Progress = lambda _: None
) -> Sequence[LinkReport]:
    """Take away every link from or to `module`, before it leaves; the next upgrade puts them back if it stays."""
    with migration_lock(database_url, wait_seconds=wait_seconds, waiting=progress) as connection:
        return links.remove_links(connection, module, lambda statement: retry(statement, progress, "a link"))


def planned(
    connection: psycopg.Connection[Any], modules: Sequence[ModuleMigrations], target: str, only: str | None
) -> Sequence[Step]:
    """
    Return what `downgrade` would do.

    Raises:
        OperationError: there is nothing to take back, or the target cannot be understood.
    """
    by_name = {module.name: module for module in modules}
    if only is not None:
        check_installed(only, by_name)
    if target == "base":
        steps = _to_base(connection, modules, only)
    elif re.fullmatch(r"-[1-9]\d*", target):
        steps = _latest(connection, by_name, int(target[1:]), only)
    else:
        steps = _to_revision(connection, [by_name[only]] if only else modules, target)
    if not steps:
        raise OperationError("There is nothing to take back: no revision is applied there.")
    return steps


class _Downgrade:
    """One run under the lock."""

    def __init__(
        self,
        url: str,
        connection: psycopg.Connection[Any],
        installed: Sequence[ModuleMigrations],
        wait_seconds: float,
        progress: Progress,
    ) -> None:
        self._url, self._connection, self._installed = url, connection, installed
        self._wait_seconds, self._progress = wait_seconds, progress
        self._links: list[LinkReport] = []
        self._notes: list[str] = []

    def run(self, target: str, only: str | None) -> Report:
        reports: list[ModuleReport] = []
        for step in planned(self._connection, self._installed, target, only):
            reports.append(self._step(step))
            if not reports[-1].ok:
                break
        self._put_links_back()
        return Report(tuple(reports), tuple(self._links), None, tuple(self._notes), is_downgrade=True)

    def _step(self, step: Step) -> ModuleReport:
        began, name, error = time.monotonic(), step.module.name, None
        run = Run(self._url, step.module, read_revisions(step.module), self._wait_seconds, self._progress)
        before = run.position(self._connection)
        try:
            if step.is_last:
                self._check_last(name)
            role = roles.of_module(self._connection, name)
            self._links += links.remove_links(self._connection, name, self._retrying)
            run.down(step.revisions)
            if step.is_last:
                self._clear(step.module, role)
        except OperationError as failure:
            error = failure.message
        except psycopg.Error as failure:
            error = words(failure)
        gone = step.revisions if error is None else step.revisions[: before - run.position(self._connection)]
        return ModuleReport(name, run.applied(gone), (), error, None, time.monotonic() - began)

    def _check_last(self, name: str) -> None:
        """Keep the kernel's tables while others still have theirs."""
        if name != KERNEL:
            return
        rows = self._connection.execute(
            "SELECT DISTINCT module FROM platform.migrations WHERE module <> %s", (KERNEL,)
        )
        if others := sorted(row[0] for row in rows):
            raise MigrationFailed(
                f"{', '.join(others)} still have tables here, which need the kernel's. Take those back first;"
                " a module that is no longer installed has to be installed again for that."
            )

    def _clear(self, module: ModuleMigrations, role: str | None) -> None:
        """Leave nothing of a module that is down to its base, except what somebody else put into its schema."""
        table = sql.Identifier(module.name, "alembic_version")
        self._connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        if module.name != KERNEL:
            self._connection.execute("DELETE FROM platform.modules WHERE name = %s", (module.name,))
        if role is not None and (note := roles.drop(self._connection, role)) is not None:
            self._notes.append(note)
        for schema in module.schemas:
            try:
                self._connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {}").format(sql.Identifier(schema)))
            except psycopg.errors.DependentObjectsStillExist as error:
                self._notes.append(
                    f"the schema {schema} stays, something is left in it: {error.diag.message_detail}"
                )

    def _put_links_back(self) -> None:
        """Restore what was taken away for a moment, where both sides are still there."""
        state = read_database_sync(self._connection, self._installed)
        ready = frozenset(
            name for name in state.remembered if name in state.modules and state.modules[name].is_ready
        )
        if ready:
            self._links += [
                link
                for link in links.put_in_place(self._connection, self._installed, ready, self._retrying)
                if link.state not in ("present", "waiting")
            ]

    def _retrying(self, statement: Callable[[], None]) -> None:
        retry(statement, self._progress, "a link")


def _to_base(
    connection: psycopg.Connection[Any], modules: Sequence[ModuleMigrations], only: str | None
) -> Sequence[Step]:
    wanted = [module for module in reversed(modules) if only in (None, module.name)]
    applied, remembered = _ledger(connection), read_database_sync(connection, modules).remembered
    steps = []
    for module in wanted:
        names = {revision for owner, revision in applied if owner == module.name}
        revisions = tuple(r for r in reversed(read_revisions(module)) if r.id in names)
        if revisions or module.name in remembered:
            steps.append(Step(module, revisions))
    return steps


def _latest(
    connection: psycopg.Connection[Any],
    by_name: dict[str, ModuleMigrations],
    count: int,
    only: str | None,
) -> Sequence[Step]:
    rows = [row for row in _ledger(connection) if only in (None, row[0])][:count]
    steps: list[Step] = []
    for name, identity in rows:
        if name not in by_name:
            raise OperationError(
                f"The latest revision, {identity}, belongs to {name}, which is not installed. Install it again to take"
                " it back, or name another module with --module."
            )
        revision = _find(by_name[name], identity)
        if steps and steps[-1].module.name == name:
            steps[-1] = Step(steps[-1].module, (*steps[-1].revisions, revision))
        else:
            steps.append(Step(by_name[name], (revision,)))
    return steps


def _to_revision(
    connection: psycopg.Connection[Any], modules: Iterable[ModuleMigrations], target: str
) -> Sequence[Step]:
    for module in modules:
        revisions = read_revisions(module)
        ids = [revision.id for revision in revisions]
        if target in ids:
            applied = {identity for name, identity in _ledger(connection) if name == module.name}
            after = tuple(r for r in reversed(revisions[ids.index(target) + 1 :]) if r.id in applied)
            return [Step(module, after)] if after else []
    raise UnknownTarget(
        f"There is no revision {target}. `platform db history` shows them; -1 and base work too."
    )


def _find(module: ModuleMigrations, identity: str) -> Revision:
    for revision in read_revisions(module):
        if revision.id == identity:
            return revision
    raise OperationError(
        f"{module.name}: the database is newer than this build, which does not know the revision {identity}."
        f" Take it back with the version of {module.name} that brought it."
    )


def _ledger(connection: psycopg.Connection[Any]) -> Sequence[tuple[str, str]]:
    """Return (module, revision) of everything that is applied, the latest first."""
    try:
        return connection.execute(
            "SELECT module, revision FROM platform.migrations ORDER BY id DESC"
        ).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return []
