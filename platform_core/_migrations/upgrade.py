"""
Migrations over all modules: the kernel orders modules, Alembic orders the revisions of one; private to the kernel.

    platform db upgrade ─┐                            ┌─ one module after the other: own schema, own version table,
    alembic upgrade head ┼─ lock ─ what is pending? ──┤  own transaction; who fails takes only its dependents along
    platform dev ────────┘                            └─ then links across modules, then database roles

`read_database` is the cheap half: one query, no Alembic. Start-up and readiness live on it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from platform_core import __version__, _links, _roles
from platform_core._engines import KERNEL, libpq_url
from platform_core._links import LinkReport
from platform_core._migration_lock import connect, migration_lock, working_connection
from platform_core._revisions import ModuleMigrations, Phase, Revision, alembic_directory, read_revisions
from platform_core.declarations import Link
from platform_core.errors import MigrationFailed, OperationError

__all__ = [
    "AppliedRevision",
    "DatabaseState",
    "ModuleMigrations",
    "ModuleReport",
    "ModuleState",
    "Report",
    "kernel_migrations",
    "read_database",
    "read_database_sync",
    "state_of",
    "upgrade",
]

logger = logging.getLogger(__name__)

LOCK_ATTEMPTS_COUNT: Final = 10
WAIT_SECONDS: Final = 300.0
VERSION_TABLE: Final = "alembic_version"

Progress = Callable[[str], None]


# ── What is in the database ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ModuleState:
    """
    One module's revisions against what one database has seen.

    Attributes:
        pending: not applied yet, oldest first.
        ahead: (revision, phase) that this build does not know: the database is newer.
        problem: the revision files could not be read.
    """

    name: str
    pending: tuple[Revision, ...] = ()
    ahead: tuple[tuple[str, str], ...] = ()
    problem: str | None = None

    @property
    def is_ready(self) -> bool:
        """
        Whether this build's code may work on this database.

        Pending contract revisions only remove what older builds need; expand revisions of a newer build add what
        this one does not see.
        """
        return (
            self.problem is None
            and all(revision.phase == "contract" for revision in self.pending)
            and all(phase == "expand" for _, phase in self.ahead)
        )

    def __str__(self) -> str:
        if self.problem:
            return self.problem
        told = [f"pending: {', '.join(revision.id for revision in self.pending)}"] if self.pending else []
        if self.ahead:
            told.append(f"newer than this build: {', '.join(revision for revision, _ in self.ahead)}")
        return f"{self.name}: {'; '.join(told) or 'up to date'}"


@dataclass(frozen=True, slots=True)
class _Remembered:
    version: str
    role: str | None
    may_take_role: bool
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """
    What one query tells of a database.

    Attributes:
        modules: state per module of this build, in plugin order.
        roles: module → database role that this login may take; empty when roles are off. For `Engines`.
        uninstalled: modules that were migrated here and are not part of this build; their tables stay.
    """

    modules: Mapping[str, ModuleState]
    roles: Mapping[str, str]
    uninstalled: tuple[str, ...]
    remembered: Mapping[str, _Remembered] = field(repr=False)

    @property
    def not_ready(self) -> tuple[ModuleState, ...]:
        """Modules whose code must not run on this database yet, or no longer."""
        return tuple(state for state in self.modules.values() if not state.is_ready)


_STATE: Final[LiteralString] = (
    "SELECT 'revision' AS kind, module, revision AS value, phase AS detail, NULL::jsonb AS links, false AS usable"  # noqa: S608  # constants
    " FROM platform.migrations"
    " UNION ALL SELECT 'module', m.name, m.version, m.role, m.links,"
    f" coalesce(pg_has_role(session_user, r.oid, {_roles.MAY_TAKE}), false)"
    " FROM platform.modules m LEFT JOIN pg_roles r ON r.rolname = m.role"
)


async def read_database(
    database: str | AsyncConnection, modules: Sequence[ModuleMigrations]
) -> DatabaseState:
    """
    Return what is pending, and the roles; one query.

    Args:
        database: an address, for a process that starts; or a connection of the kernel's pool, for readiness.

    Raises:
        psycopg.OperationalError, sqlalchemy.exc.OperationalError: the database does not answer.
    """
    if not isinstance(database, str):
        try:
            result = await database.exec_driver_sql(_STATE)
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
                return state_of((), modules)
            raise
        return state_of([tuple(row) for row in result], modules)
    async with await psycopg.AsyncConnection.connect(
        libpq_url(database), autocommit=True, connect_timeout=10
    ) as own:
        try:
            cursor = await own.execute(_STATE)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return state_of((), modules)
        return state_of(await cursor.fetchall(), modules)


def read_database_sync(
    database: str | psycopg.Connection[Any], modules: Sequence[ModuleMigrations]
) -> DatabaseState:
    """Return the same as `read_database`, for commands."""
    if isinstance(database, str):
        with connect(database) as connection:
            return read_database_sync(connection, modules)
    try:
        return state_of(database.execute(_STATE).fetchall(), modules)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return state_of((), modules)


def state_of(rows: Iterable[Sequence[Any]], modules: Sequence[ModuleMigrations]) -> DatabaseState:
    """Turn the rows of the one query into a state; a module whose files are wrong has its `problem` said."""
    applied: dict[str, dict[str, str]] = {}
    remembered: dict[str, _Remembered] = {}
    for kind, module, value, detail, links, usable in rows:
        if kind == "revision":
            applied.setdefault(module, {})[value] = detail
        else:
            stored = tuple(Link(x["table"], x["column"], x["target"], x["on_delete"]) for x in links)
            remembered[module] = _Remembered(value, detail, usable, stored)
    states = {module.name: _state(module, applied.get(module.name, {})) for module in modules}
    roles = {name: m.role for name, m in remembered.items() if m.role is not None and m.may_take_role}
    uninstalled = sorted(name for name in applied if name not in states)
    return DatabaseState(states, roles, tuple(uninstalled), remembered)


def _state(module: ModuleMigrations, applied: Mapping[str, str]) -> ModuleState:
    try:
        revisions = read_revisions(module)
    except MigrationFailed as error:
        return ModuleState(module.name, problem=error.message)
    known = {revision.id for revision in revisions}
    return ModuleState(
        module.name,
        tuple(revision for revision in revisions if revision.id not in applied),
        tuple((revision, phase) for revision, phase in applied.items() if revision not in known),
    )


# ── Reports ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AppliedRevision:
    """One revision that was run; `duration_ms` is the time of its own statements."""

    revision: str
    phase: Phase
    duration_ms: int


@dataclass(frozen=True, slots=True)
class ModuleReport:
    """
    What became of one module.

    Attributes:
        applied: revisions that were run and are kept, in this order.
        waiting: revisions that the asked-for phase leaves for later.
        error: why it failed; None when it is as it should be.
        skipped_for: the failed module that it needs; nothing of it was tried.
    """

    name: str
    applied: tuple[AppliedRevision, ...] = ()
    waiting: tuple[str, ...] = ()
    error: str | None = None
    skipped_for: str | None = None
    duration_seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.error is None and self.skipped_for is None


@dataclass(frozen=True, slots=True)
class Report:
    """
    What a run over all modules did.

    Attributes:
        roles: whether the modules have database roles; None when they were not asked for or not looked at.
        notes: what an operator should know though nothing failed.
    """

    modules: tuple[ModuleReport, ...]
    links: tuple[LinkReport, ...] = ()
    roles: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> Mapping[str, str]:
        """Module → why it is not as it should be, dependents and links included."""
        reasons = {
            m.name: m.error or f"skipped, because {m.skipped_for} failed" for m in self.modules if not m.ok
        }
        for link in self.links:
            if link.state == "failed":
                reasons.setdefault(link.module, f"link {link.link}: {link.detail}")
        return reasons

    @property
    def ok(self) -> bool:
        return not self.failed

    @property
    def applied_count(self) -> int:
        """How many revisions were run."""
        return sum(len(module.applied) for module in self.modules)

    def raise_for_failures(self) -> None:
        """
        Turn failures into one error, for callers that need all or nothing.

        Raises:
            MigrationFailed: with every module that failed and why.
        """
        if self.failed:
            raise MigrationFailed("; ".join(f"{name}: {reason}" for name, reason in self.failed.items()))


# ── Up ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def kernel_migrations() -> ModuleMigrations:
    """Return the kernel's own revisions, the first of every plan."""
    from platform_core._tables import AUDIT, PLATFORM

    return ModuleMigrations(
        name=KERNEL,
        version=__version__,
        directory=alembic_directory() / "versions",
        metadata=(PLATFORM, AUDIT),
    )


def upgrade(
    database_url: str,
    modules: Sequence[ModuleMigrations],
    *,
    phase: Phase | None = None,
    roles: bool = True,
    only: str | None = None,
    wait_seconds: float = WAIT_SECONDS,
    progress: Progress = lambda _: None,
) -> Report:
    """
    Bring a database to what this build needs: revisions, links, roles. Any number may run this at once.

    Args:
        modules: every installed module in plugin order, the kernel first.
        phase: run only revisions of this kind, and stop before the first of the other.
        roles: give each module a database role of its own, where the migrator may create them.
        only: this module and what it needs.
        wait_seconds: how long to wait for another migrator.
        progress: told a line now and then.

    Returns: what was done, and what failed: one module's failure does not stop those that do not need it.

    Raises:
        MigrationFailed: the database does not answer, or another migrator does not end.
    """
    wanted = _narrowed(modules, only)
    state = read_database_sync(database_url, modules)
    if _is_done(state, wanted, phase, roles):
        return Report(
            tuple(
                ModuleReport(m.name, waiting=tuple(r.id for r in state.modules[m.name].pending))
                for m in wanted
            ),
            _present_links(wanted, state),
            bool(state.roles) if roles else None,
        )
    with migration_lock(database_url, wait_seconds=wait_seconds, waiting=progress) as connection:
        return _Upgrade(database_url, connection, wanted, modules, phase, wait_seconds, progress).run(
            roles=roles
        )


def _is_done(
    state: DatabaseState, wanted: Sequence[ModuleMigrations], phase: Phase | None, roles: bool
) -> bool:
    for module in wanted:
        of_module, remembered = state.modules[module.name], state.remembered.get(module.name)
        if of_module.problem or of_module.ahead or remembered is None or remembered.version != module.version:
            return False
        if _runnable(of_module.pending, phase):
            return False
        if {*remembered.links} != {link for link in module.links if _target(link) in state.remembered}:
            return False
        if roles and (not state.roles or module.name not in state.roles):
            return False
    return True


def _present_links(wanted: Sequence[ModuleMigrations], state: DatabaseState) -> tuple[LinkReport, ...]:
    return tuple(
        LinkReport(
            m.name, _links.shown(m.name, link), "present" if _target(link) in state.remembered else "waiting"
        )
        for m in wanted
        for link in m.links
    )


def _target(link: Link) -> str:
    return link.target.partition(".")[0]


def _runnable(pending: Sequence[Revision], phase: Phase | None) -> Sequence[Revision]:
    if phase is None:
        return pending
    other = next((index for index, revision in enumerate(pending) if revision.phase != phase), len(pending))
    return pending[:other]


def _narrowed(modules: Sequence[ModuleMigrations], only: str | None) -> Sequence[ModuleMigrations]:
    if only is None:
        return modules
    by_name = {module.name: module for module in modules}
    _check_installed(only, by_name)
    needed, todo = {KERNEL}, [only]
    while todo:
        name = todo.pop()
        if name not in needed and name in by_name:
            needed.add(name)
            todo += by_name[name].requires
    return [module for module in modules if module.name in needed]


def _check_installed(name: str, installed: Iterable[str]) -> None:
    if name not in installed:
        raise OperationError(f"There is no module {name} here. Installed are: {', '.join(installed)}.")


class _Upgrade:
    """One run under the lock."""

    def __init__(
        self,
        url: str,
        connection: psycopg.Connection[Any],
        wanted: Sequence[ModuleMigrations],
        installed: Sequence[ModuleMigrations],
        phase: Phase | None,
        wait_seconds: float,
        progress: Progress,
    ) -> None:
        self._url, self._connection, self._wanted, self._installed = url, connection, wanted, installed
        self._phase, self._wait_seconds, self._progress = phase, wait_seconds, progress
        self._reports: dict[str, ModuleReport] = {}

    def run(self, *, roles: bool) -> Report:
        for module in self._wanted:
            began = time.monotonic()
            report = self._module(module)
            self._reports[module.name] = replace(report, duration_seconds=time.monotonic() - began)
        migrated = self._remember()
        links: list[LinkReport] = []
        has_roles: bool | None = None
        notes: list[str] = []
        if migrated:
            state = read_database_sync(self._connection, self._installed)
            ready = frozenset(
                name for name in state.remembered if name in state.modules and state.modules[name].is_ready
            )
            links = _links.put_in_place(self._connection, self._wanted, ready, self._retrying)
            if roles:
                note = _roles.apply(
                    self._connection, [name for name in self._names() if name in state.remembered]
                )
                has_roles, notes = note is None, [note] if note else []
        return Report(tuple(self._reports.values()), tuple(links), has_roles, tuple(notes))

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
            return ModuleReport(module.name, error=_words(error))

    def _migrate(self, module: ModuleMigrations) -> ModuleReport:
        revisions = read_revisions(module)
        for schema in module.schemas:
            self._connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        run = _Run(self._url, module, revisions, self._wait_seconds, self._progress)
        before = run.position()
        todo = _runnable(revisions[before:], self._phase)
        error = None
        try:
            run.up(todo)
        except OperationError as failure:
            error = failure.message
        after = before + len(todo) if error is None else run.position()
        if after:
            self._reconcile(module, revisions[:after])
        return ModuleReport(
            module.name,
            run.applied(revisions[before:after]),
            tuple(revision.id for revision in revisions[before + len(todo) :]),
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
        done = [module for module in self._wanted if self._reports[module.name].ok]
        for module in done:
            self._connection.execute(
                "INSERT INTO platform.modules (name, version) VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET version = excluded.version, seen_at = now()",
                (module.name, module.version),
            )
        return [module.name for module in done]

    def _retrying(self, statement: Callable[[], None]) -> None:
        _retry(statement, self._progress, "a link")


class _Run:
    """The revisions of one module, on a connection of its own."""

    def __init__(
        self,
        url: str,
        module: ModuleMigrations,
        revisions: Sequence[Revision],
        wait_seconds: float,
        progress: Progress,
    ) -> None:
        self._url, self._module, self._revisions = url, module, revisions
        self._wait_seconds, self._progress = wait_seconds, progress
        self._running: Revision | None = None
        self._durations_ms: dict[str, int] = {}

    def position(self) -> int:
        """
        Return how many revisions the database has.

        Raises:
            MigrationFailed: it is at one that this build does not know.
        """
        with working_connection(self._url, self._module.name, wait_seconds=self._wait_seconds) as connection:
            return self._position(connection)

    def applied(self, revisions: Sequence[Revision]) -> tuple[AppliedRevision, ...]:
        """Return `revisions` as a report shows them."""
        return tuple(AppliedRevision(r.id, r.phase, self._durations_ms.get(r.id, 0)) for r in revisions)

    def up(self, revisions: Sequence[Revision]) -> None:
        """
        Run `revisions`; those before one that commits in between are kept although a later one fails.

        Raises:
            MigrationFailed: one of them failed.
        """
        _retry(lambda: self._attempt(revisions, upgrade=True), self._progress, self._module.name)

    def down(self, revisions: Sequence[Revision]) -> None:
        """Take `revisions` back, the newest first; raises as `up` does."""
        _retry(lambda: self._attempt(revisions, upgrade=False), self._progress, self._module.name)

    def _position(self, connection: Connection) -> int:
        from platform_core import _alembic

        current = _alembic.current_revision(connection, self._module)
        connection.rollback()  # reading it began a transaction; Alembic begins its own
        if current is None:
            return 0
        known = [revision.id for revision in self._revisions]
        if current in known:
            return known.index(current) + 1
        name, newest = self._module.name, known[-1] if known else "nothing"
        raise MigrationFailed(
            f"the database is newer than this build. It is at revision {current}, of which version"
            f" {self._module.version} of the installed package does not know; its newest is {newest}. Install the"
            f" version of {name} that migrated this database last, or take the newer revisions back with that version."
        )

    def _attempt(self, revisions: Sequence[Revision], *, upgrade: bool) -> None:
        from platform_core import _alembic

        self._running = None
        with working_connection(self._url, self._module.name, wait_seconds=self._wait_seconds) as connection:
            # an attempt before this one may have committed some of them
            there = self._revisions[: self._position(connection)]
            todo = [revision for revision in revisions if (revision in there) is not upgrade]
            if not todo:
                return
            try:
                _alembic.run(
                    connection,
                    self._module,
                    todo,
                    upgrade=upgrade,
                    starting=self._starting,
                    finished=self._finished,
                )
            except Exception as error:
                if _is_about_locks(error):
                    raise
                raise MigrationFailed(self._explained(error)) from error

    def _starting(self, revision: Revision) -> None:
        self._running = revision
        self._progress(f"{self._module.name}: {revision.id} {revision.summary}")

    def _finished(self, revision: Revision, duration_ms: int) -> None:
        self._durations_ms[revision.id] = duration_ms

    def _explained(self, error: Exception) -> str:
        words = _words(error)
        if self._running is None:
            return words
        return (
            f"revision {self._running.id} ({self._running.path.name}) failed: {words} What its transaction had done"
            " is rolled back, and the version table does not count it. Correct the revision or the data, then run this"
            " again."
        )


def _retry(statement: Callable[[], None], progress: Progress, what: str) -> None:
    """Run `statement`; again, after a pause, while others hold the locks that it needs."""
    for attempt in range(1, LOCK_ATTEMPTS_COUNT + 1):
        try:
            statement()
            return
        except (DBAPIError, psycopg.Error) as error:
            if not _is_about_locks(error):
                raise
            if attempt == LOCK_ATTEMPTS_COUNT:
                raise MigrationFailed(
                    f"{what}: somebody holds a lock that a revision needs, {attempt} times for 2 s each:"
                    f" {_words(error)} Look for long transactions in pg_stat_activity, then run this again."
                ) from error
            pause = min(0.25 * 2**attempt, 5.0) * random.uniform(0.75, 1.25)  # noqa: S311  # spreads retries
            progress(
                f"{what}: a table is in use, trying again in {pause:.1f} s ({attempt} of {LOCK_ATTEMPTS_COUNT})"
            )
            time.sleep(pause)


def _is_about_locks(error: Exception) -> bool:
    original = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(original, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected)


def _words(error: Exception) -> str:
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, psycopg.Error) and original.diag.message_primary:
        parts = [original.diag.message_primary, original.diag.message_detail, original.diag.message_hint]
        return " ".join(f"{part.rstrip('.')}." for part in parts if part)
    name = "" if isinstance(original, psycopg.Error | OperationError) else f"{type(original).__name__}: "
    return f"{name}{str(original).strip().rstrip('.')}."
