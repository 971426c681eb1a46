"""
Where each module is, by its own version table, and what happened when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from platform_core._migrations.lock import connect
from platform_core._migrations.revisions import ModuleMigrations, Phase, Revision, read_revisions
from platform_core.errors import MigrationFailed


@dataclass(frozen=True, slots=True)
class Current:
    """
    Where one module is.

    Attributes:
        revision: what its version table holds; None before its first.
        head: the newest this build knows; None without revisions.
        pending: not applied yet, oldest first.
        problem: why it cannot be said, or what is wrong; None otherwise.
    """

    module: str
    revision: str | None
    head: str | None
    pending: tuple[str, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One revision of one module; `applied_at` is None while it is pending or taken back."""

    module: str
    revision: str
    down: str | None
    phase: Phase
    summary: str
    file: str
    applied_at: datetime | None


def current(database_url: str, modules: Sequence[ModuleMigrations]) -> Sequence[Current]:
    """Return where each module is, from its own version table."""
    with connect(database_url) as connection:
        return [_current(connection, module) for module in modules]


def applied_revisions(
    database_url: str, modules: Sequence[ModuleMigrations]
) -> Mapping[str, Sequence[Revision]]:
    """
    Return module → revisions that its version table counts, oldest first.

    Raises:
        MigrationFailed: a module is at a revision that this build does not know.
    """
    found: dict[str, Sequence[Revision]] = {}
    with connect(database_url) as connection:
        for module in modules:
            revisions = read_revisions(module)
            found[module.name] = revisions[: position(version(connection, module), module, revisions)]
    return found


def history(database_url: str, modules: Sequence[ModuleMigrations]) -> Sequence[HistoryLine]:
    """Return every revision of every module, oldest first, with when it was applied."""
    with connect(database_url) as connection:
        try:
            rows = connection.execute(
                "SELECT module, revision, applied_at FROM platform.migrations"
            ).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            rows = []
    applied = {(module, revision): moment for module, revision, moment in rows}
    return [
        HistoryLine(m.name, r.id, r.down, r.phase, r.summary, str(r.path), applied.get((m.name, r.id)))
        for m in modules
        for r in read_revisions(m)
    ]


def version(connection: psycopg.Connection[Any], module: ModuleMigrations) -> str | None:
    """Return what a module's version table holds; None before its first revision."""
    try:
        rows = connection.execute(
            sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(module.name, "alembic_version"))
        ).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    if len(rows) > 1:
        raise MigrationFailed(
            f"its version table {module.name}.alembic_version holds {len(rows)} rows, {', '.join(r[0] for r in rows)};"
            " it must hold one. Somebody edited it: delete the older ones."
        )
    return str(rows[0][0]) if rows else None


def position(at: str | None, module: ModuleMigrations, revisions: Sequence[Revision]) -> int:
    """
    Return how many of `revisions` a database at revision `at` has.

    Raises:
        MigrationFailed: this build does not know that revision.
    """
    if at is None:
        return 0
    known = [revision.id for revision in revisions]
    if at in known:
        return known.index(at) + 1
    newest = known[-1] if known else "none"
    raise MigrationFailed(
        f"the database is newer than this build. It is at revision {at}, which version {module.version} of the"
        f" installed package does not know; its newest is {newest}. Install the version of {module.name} that"
        " migrated this database last, or take the newer revisions back with that version."
    )


def _current(connection: psycopg.Connection[Any], module: ModuleMigrations) -> Current:
    at = head = problem = None
    pending: tuple[str, ...] = ()
    try:
        revisions = read_revisions(module)
        head = revisions[-1].id if revisions else None
        at = version(connection, module)
        pending = tuple(revision.id for revision in revisions[position(at, module, revisions) :])
    except MigrationFailed as error:
        problem = error.message
    return Current(module.name, at, head, pending, problem)
