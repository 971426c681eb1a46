"""
Taking a module out: what it would mean, what still waits for it, its end, and the proof that nothing is left.

Everything that a module has in a database is known from the database: its schema, its role, its links in both
directions, who requires it, its lines in the kernel's registries. So it can be taken out when its package is gone, too.
What it has told others stays: events and the trail are history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from platform_core._manifest import KERNEL, Plugin
from platform_core._migrations import links, roles
from platform_core._migrations.lock import migration_lock
from platform_core._migrations.run import retry
from platform_core._pools import role_name
from platform_core.errors import OperationError

Progress = Callable[[str], None]

_WAIT_SECONDS: Final = 60.0

_HIS: Final[LiteralString] = "split_part({column}, '.', 1) = %(module)s"
"""Stored names begin with their module's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalPlan:
    """
    What taking a module out means.

    Attributes:
        version: the latest that was migrated here.
        is_installed: whether its package is here, so that it can work off what waits for it.
        tables: table → rows, counted.
        size_bytes: of all of them, with indexes.
        waiting: handler → deliveries that are pending.
        sagas: status → its runs that have not ended.
        links: foreign keys from and to it.
        dependents: modules that require it; while there is one, it stays.
        permissions: that it declared when it was migrated last; a purge takes them out of others' tables.
        history: what stays for good: events, and lines of the trail about its rows.
    """

    module: str
    version: str
    is_installed: bool
    tables: Mapping[str, int]
    size_bytes: int
    waiting: Mapping[str, int]
    sagas: Mapping[str, int]
    links: Sequence[str]
    dependents: Sequence[str]
    permissions: Sequence[str]
    history: Mapping[str, int]

    def check(self) -> None:
        """Raise OperationError while somebody else stands on it."""
        if self.dependents:
            raise OperationError(
                f"{self.module} is required by {', '.join(self.dependents)}. Take those out first; what of them is in"
                " this database counts, installed or not."
            )


def plan(connection: psycopg.Connection[Any], module: str, installed: Sequence[Plugin]) -> RemovalPlan:
    """
    Return what taking a module out means; nothing is changed.

    Args:
        installed: every plugin that is here.

    Raises:
        OperationError: it is the kernel, or no such module was ever migrated here.
    """
    if module == KERNEL:
        raise OperationError("The kernel cannot be taken out; drop the database.")
    row = connection.execute(
        "SELECT version, permissions FROM platform.modules WHERE name = %s", (module,)
    ).fetchone()
    if row is None:
        raise OperationError(
            f"No module {module} was ever migrated in this database, so there is nothing to take out."
        )
    return RemovalPlan(
        module=module,
        version=row[0],
        is_installed=any(plugin.name == module for plugin in installed),
        tables={name: _count(connection, module, name) for name in tables(connection, module)},
        size_bytes=_size(connection, module),
        waiting=waiting(connection, module),
        sagas=_counts(
            connection,
            "SELECT status, count(*) FROM platform.sagas WHERE {his} AND finished_at IS NULL GROUP BY 1",
            module,
        ),
        links=[
            links.shown(owner, link)
            for owner, link in links.in_place(connection)
            if module in (owner, link.target.partition(".")[0])
        ],
        dependents=_dependents(connection, module, installed),
        permissions=row[1],
        history=_counts(
            connection,
            "SELECT 'events', count(*) FROM audit.domain_events WHERE {his} HAVING count(*) > 0",
            module,
        ),
    )


def tables(connection: psycopg.Connection[Any], module: str) -> list[str]:
    """Return the names of a module's tables, without the one that holds its revision."""
    rows = connection.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> %s ORDER BY 1",
        (module, roles.VERSION_TABLE),
    )
    return [name for (name,) in rows]


def waiting(connection: psycopg.Connection[Any], module: str) -> Mapping[str, int]:
    """Return handler → how many deliveries are pending for it."""
    return _counts(
        connection,
        "SELECT handler, count(*) FROM platform.deliveries WHERE {his} AND status = 'pending' GROUP BY 1 ORDER BY 1",
        module,
        column="handler",
    )


def unsubscribe(connection: psycopg.Connection[Any], module: str) -> None:
    """
    From now on nothing that happens is kept for this module, and others' sagas go on without its steps.

    Its read models are made anew when it comes back.
    """
    connection.execute(_RELEASE_SAGAS, {"module": module})
    connection.execute("DELETE FROM platform.subscriptions WHERE module = %s", (module,))
    connection.execute("DELETE FROM platform.projections WHERE module = %s", (module,))


def purge(
    url: str,
    module: str,
    *,
    progress: Progress,
    last: Callable[[psycopg.Connection[Any]], None] | None = None,
    forget: Callable[[], None] | None = None,
) -> Sequence[str]:
    """
    Take away everything that a module has in this database.

    It stays switched off, because processes that have it loaded may be running; the first one that starts without it
    drops the switch.

    Args:
        last: called with the connection that drops its tables, in that transaction and when nobody can read or write
            them any more; what it raises keeps them. It may be called again, where another lock was missing.
        forget: called when they are dropped, for what other modules keep under its names.

    Returns: what is left nevertheless, a line each; nothing, as a rule.

    Raises:
        OperationError: something outside of the module hangs on its tables.
        MigrationFailed: the database does not answer, or another migrator does not end.
    """
    with migration_lock(url, wait_seconds=_WAIT_SECONDS, waiting=progress) as connection:
        role = roles.of_module(connection, module)
        links.remove_links(connection, module, lambda statement: retry(statement, progress, "a link"))
        retry(lambda: _drop(connection, module, last), progress, module)
        notes = [] if role is None else [roles.drop(connection, role)]
        if forget is not None:
            forget()
        # last: who was interrupted before can run this again, and it still knows the role and the permissions
        connection.execute("DELETE FROM platform.modules WHERE name = %s", (module,))
        return [*filter(None, notes), *traces(connection, module)]


def traces(connection: psycopg.Connection[Any], module: str) -> Sequence[str]:
    """Return where a database still shows that a module was there; history, and a switch, are none."""
    found = connection.execute(
        _TRACES, {"module": module, "role": role_name(connection.info.dbname, module)}
    ).fetchall()
    return [f"{what}: {name}" for what, name in found]


def _drop(
    connection: psycopg.Connection[Any],
    module: str,
    last: Callable[[psycopg.Connection[Any]], None] | None,
) -> None:
    his = [sql.Identifier(module, name) for name in tables(connection, module)]
    listed = sql.SQL(", ").join(his)
    with connection.transaction():
        try:
            if his:  # as DROP needs it: a reader is met here, and not after `last` has read everything
                connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(listed))
            if last is not None:
                last(connection)
            if his:  # not by CASCADE: what somebody else has built upon them is not ours to drop
                connection.execute(sql.SQL("DROP TABLE {}").format(listed))
        except psycopg.errors.DependentObjectsStillExist as error:
            raise OperationError(
                f"Something outside of {module} hangs on its tables: {error.diag.message_detail}. Drop that first."
            ) from error
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(module)))
        for statement in _REGISTRIES:
            connection.execute(statement, {"module": module})


def _count(connection: psycopg.Connection[Any], module: str, table: str) -> int:
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(module, table))
    ).fetchone()
    assert row is not None  # noqa: S101  # an aggregate without GROUP BY has one row
    return int(row[0])


def _size(connection: psycopg.Connection[Any], module: str) -> int:
    row = connection.execute(
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind IN ('r', 'm')",
        (module,),
    ).fetchone()
    assert row is not None  # noqa: S101  # as above
    return int(row[0])


def _counts(
    connection: psycopg.Connection[Any],
    statement: LiteralString,
    module: str,
    *,
    column: LiteralString = "name",
) -> Mapping[str, int]:
    his = sql.SQL(_HIS).format(column=sql.Identifier(column))
    rows = connection.execute(sql.SQL(statement).format(his=his), {"module": module}).fetchall()
    return dict(rows)


def _dependents(
    connection: psycopg.Connection[Any], module: str, installed: Sequence[Plugin]
) -> Sequence[str]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("SELECT name FROM platform.modules WHERE %s = ANY(requires)", (module,))
        migrated = {row["name"] for row in rows}
    return sorted(migrated | {plugin.name for plugin in installed if module in plugin.requires})


_RELEASE_SAGAS: Final[LiteralString] = """
UPDATE platform.deliveries d SET handler = split_part(d.handler, ':', 2), status = 'pending', lease_token = NULL,
    attempts_count = 0, available_at = now(), last_error = NULL, finished_at = NULL
WHERE split_part(d.handler, '.', 1) = %(module)s AND d.status <> 'done'
  AND EXISTS (SELECT FROM platform.sagas s WHERE s.id = d.id AND split_part(s.name, '.', 1) <> %(module)s)
"""
"""A step that waits under its saga's own name is one that nobody will take: the saga leaves it out."""

_REGISTRIES: Final[Sequence[LiteralString]] = (
    _RELEASE_SAGAS,
    "DELETE FROM platform.deliveries WHERE split_part(handler, '.', 1) = %(module)s",
    "DELETE FROM platform.sagas WHERE split_part(name, '.', 1) = %(module)s",
    "DELETE FROM platform.subscriptions WHERE module = %(module)s",
    "DELETE FROM platform.projections WHERE module = %(module)s",
    "DELETE FROM platform.idempotency_keys WHERE module = %(module)s",
    "DELETE FROM platform.seeds WHERE module = %(module)s",
    "DELETE FROM platform.migrations WHERE module = %(module)s",
    "UPDATE platform.modules SET exported = NULL WHERE name = %(module)s",  # there is nothing left to compare
)

_TRACES: Final[LiteralString] = """
SELECT 'schema', nspname::text FROM pg_namespace WHERE nspname = %(module)s
UNION ALL SELECT 'database role', rolname::text FROM pg_roles WHERE rolname = %(role)s
UNION ALL SELECT 'link', x ->> 'target' FROM platform.modules, jsonb_array_elements(links) AS x
    WHERE split_part(x ->> 'target', '.', 1) = %(module)s
UNION ALL SELECT 'module', name FROM platform.modules WHERE name = %(module)s
UNION ALL SELECT 'revision', revision FROM platform.migrations WHERE module = %(module)s
UNION ALL SELECT 'seed', name FROM platform.seeds WHERE module = %(module)s
UNION ALL SELECT 'subscription', handler FROM platform.subscriptions WHERE module = %(module)s
UNION ALL SELECT 'projection', name FROM platform.projections WHERE module = %(module)s
UNION ALL SELECT DISTINCT 'stored answers of', module FROM platform.idempotency_keys WHERE module = %(module)s
UNION ALL SELECT 'delivery', handler FROM platform.deliveries WHERE split_part(handler, '.', 1) = %(module)s
UNION ALL SELECT 'saga', name FROM platform.sagas WHERE split_part(name, '.', 1) = %(module)s
"""
