"""
What one database has seen of this build's revisions: one query, no Alembic, no lock.

Start-up, readiness and `platform db wait` live on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

import psycopg

from platform_core._migrations import roles
from platform_core._migrations.lock import connect
from platform_core._migrations.revisions import ModuleMigrations, Revision, read_revisions
from platform_core._pool import Connection
from platform_core._pools import libpq_url
from platform_core.declarations import Link
from platform_core.errors import MigrationFailed


@dataclass(frozen=True, slots=True)
class ModuleState:
    """
    One module's revisions against what one database has seen.

    Attributes:
        pending: not applied yet, oldest first.
        ahead: (revision, phase) that this build does not know: the database is newer.
        is_new: the module was never migrated here, so it has no schema and no role yet.
        problem: the revision files could not be read.
    """

    name: str
    pending: tuple[Revision, ...] = ()
    ahead: tuple[tuple[str, str], ...] = ()
    is_new: bool = False
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
            and not self.is_new
            and all(revision.phase == "contract" for revision in self.pending)
            and all(phase == "expand" for _, phase in self.ahead)
        )

    def __str__(self) -> str:
        if self.problem:
            return self.problem
        told = [f"pending: {', '.join(revision.id for revision in self.pending)}"] if self.pending else []
        if self.is_new and not self.pending:
            told.append("never migrated here, so it has no schema and no role yet")
        if self.ahead:
            told.append(f"newer than this build: {', '.join(revision for revision, _ in self.ahead)}")
        return f"{self.name}: {'; '.join(told) or 'up to date'}"


@dataclass(frozen=True, slots=True)
class Remembered:
    """
    What a database knows of a module that was migrated there.

    Attributes:
        has_rights: whether its role may use its schema; in a database that was restored it may not.
        permissions: None before the kernel's revision that keeps them.
    """

    version: str
    role: str | None
    may_take_role: bool
    has_rights: bool
    links: tuple[Link, ...]
    permissions: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """
    What one query tells of a database.

    Attributes:
        modules: state per module of this build, in plugin order.
        roles: module → database role that this login may take; empty when roles are off. For `Pools`.
        uninstalled: modules that were migrated here and are not part of this build; their tables stay.
    """

    modules: Mapping[str, ModuleState]
    roles: Mapping[str, str]
    uninstalled: tuple[str, ...]
    remembered: Mapping[str, Remembered] = field(repr=False)

    @property
    def not_ready(self) -> tuple[ModuleState, ...]:
        """Modules whose code must not run on this database yet, or no longer."""
        return tuple(state for state in self.modules.values() if not state.is_ready)


_STATE: Final[LiteralString] = (
    "SELECT 'revision' AS kind, module, revision AS value, phase AS detail, NULL::jsonb AS links, false AS usable,"  # noqa: S608  # constants
    " false AS has_rights, NULL::jsonb AS permissions"
    " FROM platform.migrations"
    " UNION ALL SELECT 'module', m.name, m.version, m.role, m.links,"
    f" coalesce(pg_has_role(session_user, r.oid, {roles.MAY_TAKE}), false),"
    " coalesce(has_schema_privilege(r.oid, n.oid, 'USAGE'), false),"
    " to_jsonb(m) -> 'permissions'"  # so that it may be missing: this is asked before the kernel's own revisions
    " FROM platform.modules m LEFT JOIN pg_roles r ON r.rolname = m.role LEFT JOIN pg_namespace n ON n.nspname = m.name"
)


async def read_database(database: str | Connection, modules: Sequence[ModuleMigrations]) -> DatabaseState:
    """
    Return what is pending, and the roles; one query.

    Args:
        database: an address, for a process that starts; or a connection of the kernel's pool, for readiness.

    Raises:
        psycopg.OperationalError: the database does not answer.
    """
    if not isinstance(database, str):
        try:
            rows = await database.fetch(_STATE)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return state_of((), modules)
        return state_of([tuple(row.values()) for row in rows], modules)
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
    remembered: dict[str, Remembered] = {}
    for kind, module, value, detail, links, usable, has_rights, permissions in rows:
        if kind == "revision":
            applied.setdefault(module, {})[value] = detail
        else:
            stored = tuple(
                Link(x["table"], x["column"], x["target"], x["on_delete"]) for x in links if x["valid"]
            )
            known = None if permissions is None else frozenset(permissions)
            remembered[module] = Remembered(value, detail, usable, has_rights, stored, known)
    states = {
        module.name: _state(module, applied.get(module.name, {}), is_new=module.name not in remembered)
        for module in modules
    }
    usable_roles = {name: m.role for name, m in remembered.items() if m.role is not None and m.may_take_role}
    uninstalled = sorted(name for name in {*applied, *remembered} if name not in states)
    return DatabaseState(states, usable_roles, tuple(uninstalled), remembered)


def _state(module: ModuleMigrations, applied: Mapping[str, str], *, is_new: bool) -> ModuleState:
    try:
        revisions = read_revisions(module)
    except MigrationFailed as error:
        return ModuleState(module.name, problem=error.message)
    known = {revision.id for revision in revisions}
    return ModuleState(
        module.name,
        tuple(revision for revision in revisions if revision.id not in applied),
        tuple((revision, phase) for revision, phase in applied.items() if revision not in known),
        is_new,
    )
