"""
What became of others' tables while a revision ran: nothing, or it is refused; private to the kernel.

Revisions run with the migrator's rights, because they make tables. PostgreSQL therefore refuses none that reaches for a
neighbour's, and is asked afterwards, in the same transaction: which of them it has locked (every statement that names a
table locks it until the end), in which it has written rows, and of which of them, or of their columns, triggers, rights
and so on, it has written a line of the catalogue, or taken one away.

Others may do all of that meanwhile. A line is the revision's own when the transaction that wrote it is still in
progress, for nobody sees such lines of others; and what is gone was dropped by whoever still holds the lock to drop it.
So it is looked at before each commit, and what an `autocommit_block` does inside is not seen: nothing tells afterwards
whose it was.

Of tables that a link connects with the module's own, locks say nothing: a row that refers to another locks it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, LiteralString, NamedTuple

import psycopg
from sqlalchemy import Connection, event

from platform_core._pools import KERNEL
from platform_core.errors import MigrationFailed

_AUDIT: Final = "audit"


class _Thing(NamedTuple):
    """Something outside of a module's schemas: a table, a function, a type, or a schema itself."""

    name: str
    schema: str
    written_lines: Decimal
    parts: Sequence[int]
    is_locked: bool
    inserted: int
    changed: int
    is_linked: bool
    cascades: bool


class _Look(NamedTuple):
    """What is outside, by kind and oid; and of the transaction itself, what it dropped and deleted."""

    things: Mapping[tuple[str, int], _Thing]
    to_drop: frozenset[int]
    deleted: int


@contextlib.contextmanager
def kept_inside(connection: Connection, module: str, schemas: Sequence[str]) -> Iterator[None]:
    """
    Refuse what a block does to anything outside of a module's schemas.

    Args:
        connection: in the transaction that the block works in; before the block commits, it is looked at too.
        schemas: the module's own.

    Raises:
        MigrationFailed: it was not kept inside; the transaction is to be rolled back.
    """
    before = _look(connection, schemas)

    def refuse(_: Connection) -> None:
        if offences := [*_offences(before, _look(connection, schemas))]:
            raise MigrationFailed(
                f"It reaches outside of {module}: {'; '.join(offences)}. A revision works on its own schema only: ask"
                " the other module for what it knows, hear its events, or declare a link in plugin.toml."
            )

    event.listen(connection, "commit", refuse)
    try:
        yield
    finally:
        event.remove(connection, "commit", refuse)
    refuse(connection)


def _look(connection: Connection, schemas: Sequence[str]) -> _Look:
    # past SQLAlchemy: who watches the revision's statements is not to take this for one of them
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101  # `working_connection` makes no others
    rows = driver.execute(_OUTSIDE, {"own": list(schemas)}).fetchall()
    ((to_drop, deleted),) = driver.execute(_INSIDE, {"own": list(schemas)}).fetchall()
    return _Look({(kind, oid): _Thing(*thing) for kind, oid, *thing in rows}, frozenset(to_drop), deleted)


def _offences(before: _Look, after: _Look) -> Iterator[str]:
    may_cascade = after.deleted > before.deleted
    for key, thing in after.things.items():
        was = before.things.get(key)
        what = _made(thing) if was is None else _done(was, thing, after.to_drop, may_cascade)
        # a key that is there already may be validated
        if what is not None and not (key[0] == "key" and was is not None):
            yield f"{_called(thing)} was {what}"
    for (kind, oid), thing in before.things.items():
        # a link goes with its own table or column
        if (kind, oid) not in after.things and oid in after.to_drop and kind != "key":
            yield f"{_called(thing)} was dropped"


def _made(now: _Thing) -> str | None:
    return "made" if now.written_lines else None


def _done(was: _Thing, now: _Thing, to_drop: frozenset[int], may_cascade: bool) -> str | None:
    if now.written_lines != was.written_lines or not to_drop.isdisjoint({*was.parts}.difference(now.parts)):
        return "altered"
    if now.inserted > was.inserted or (now.changed > was.changed and not (now.cascades and may_cascade)):
        return "written to"
    return (
        "read or locked" if now.is_locked and not (was.is_locked or was.is_linked or now.is_linked) else None
    )


def _called(thing: _Thing) -> str:
    owner = KERNEL if thing.schema == _AUDIT else thing.schema
    return thing.name if owner == thing.schema else f"{thing.name} (of {owner})"


_OUTSIDE: Final[LiteralString] = """
WITH RECURSIVE outside AS (
    SELECT oid, nspname, xmin FROM pg_namespace
    WHERE nspname <> ALL(%(own)s) AND nspname !~ '^pg_' AND nspname <> 'information_schema'
), extension AS (
    SELECT objid FROM pg_depend WHERE deptype = 'e'
), relation AS (
    SELECT c.oid, c.xmin, c.relname, o.nspname FROM pg_class c JOIN outside o ON o.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.oid NOT IN (SELECT objid FROM extension)
), thing AS (
    SELECT 'relation' AS kind, oid, nspname || '.' || relname AS name, nspname, xmin FROM relation
    UNION ALL SELECT 'function', p.oid, nspname || '.' || proname || '()', nspname, p.xmin
        FROM pg_proc p JOIN outside o ON o.oid = pronamespace WHERE p.oid NOT IN (SELECT objid FROM extension)
    UNION ALL SELECT 'type', t.oid, nspname || '.' || typname, nspname, t.xmin
        FROM pg_type t JOIN outside o ON o.oid = typnamespace
        WHERE typtype IN ('d', 'e', 'r') AND t.oid NOT IN (SELECT objid FROM extension)
    UNION ALL SELECT 'schema', oid, 'the schema ' || nspname, nspname, xmin FROM outside
    UNION ALL SELECT 'key', f.oid, 'the foreign key ' || conname || ' to ' || o.nspname || '.' || b.relname,
            o.nspname, f.xmin
        FROM pg_constraint f JOIN pg_class a ON a.oid = conrelid JOIN pg_namespace n ON n.oid = a.relnamespace
        JOIN pg_class b ON b.oid = confrelid JOIN outside o ON o.oid = b.relnamespace WHERE n.nspname = ANY(%(own)s)
), line AS (
    SELECT kind, oid, '' AS of, 0::oid AS part, xmin FROM thing
    UNION ALL SELECT 'relation', attrelid, 'a' || attnum, 0, a.xmin
        FROM pg_attribute a JOIN relation r ON r.oid = attrelid
    UNION ALL SELECT 'relation', adrelid, 'd', d.oid, d.xmin FROM pg_attrdef d JOIN relation r ON r.oid = adrelid
    UNION ALL SELECT 'relation', conrelid, 'k', k.oid, k.xmin FROM pg_constraint k JOIN relation r ON r.oid = conrelid
    UNION ALL SELECT 'relation', indrelid, 'i', indexrelid, i.xmin FROM pg_index i JOIN relation r ON r.oid = indrelid
    UNION ALL SELECT 'relation', ev_class, 'r', w.oid, w.xmin FROM pg_rewrite w JOIN relation r ON r.oid = ev_class
    UNION ALL SELECT 'relation', polrelid, 'p', p.oid, p.xmin FROM pg_policy p JOIN relation r ON r.oid = polrelid
    UNION ALL SELECT 'relation', tgrelid, 't', t.oid, t.xmin FROM pg_trigger t JOIN relation r ON r.oid = tgrelid
        WHERE NOT tgisinternal
), clock AS (
    SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint) AS ours,
        CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) AS unseen
), dated AS (
    SELECT kind, oid, of, part, ours, unseen,
        ours + ((CAST(CAST(xmin AS text) AS bigint) - ours) & 4294967295) AS writer
    FROM line CROSS JOIN clock
), counted AS (
    SELECT kind, oid, array_agg(part) AS parts,
        coalesce(sum(hashtextextended(of || part || ' ' || writer, 0)) FILTER (WHERE CASE
            WHEN writer - ours >= 2147483648 THEN false
            WHEN writer >= unseen THEN true
            ELSE pg_xact_status(CAST(CAST(writer AS text) AS xid8)) = 'in progress'
        END), 0) AS written_lines
    FROM dated GROUP BY kind, oid
), reached AS (
    SELECT c.oid, false AS is_written, true AS is_deleted
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%(own)s)
    UNION SELECT f.conrelid, f.confdeltype IN ('c', 'n', 'd'), f.confdeltype = 'c'
    FROM pg_constraint f JOIN reached r ON r.oid = f.confrelid WHERE r.is_deleted
), linked AS (
    SELECT oid, bool_or(is_written) AS cascades FROM (
        SELECT oid, is_written FROM reached
        UNION ALL SELECT f.confrelid, false
        FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY(%(own)s)
    ) AS f GROUP BY oid
), locked AS (
    SELECT DISTINCT relation AS oid FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
)
SELECT kind, oid, name, nspname, written_lines, parts, locked.oid IS NOT NULL,
    coalesce(pg_stat_get_xact_tuples_inserted(oid), 0),
    coalesce(pg_stat_get_xact_tuples_updated(oid) + pg_stat_get_xact_tuples_deleted(oid), 0),
    linked.oid IS NOT NULL, coalesce(cascades, false)
FROM thing JOIN counted USING (kind, oid) LEFT JOIN linked USING (oid) LEFT JOIN locked USING (oid)
"""
"""
Every table and view, function, type and schema outside, but for what extensions bring; and keys that point there.

`line`: what the catalogue has of each. `dated`: `xmin` is the lower half of its writer's number; the transaction and
the savepoints in it are the first that end so from `ours` on, while those before lie at least half the circle ahead.
`unseen`: from here on no line of another shows. `reached`: what a deleted row can take with it, from table to table.
`linked`: these, and what the module refers to itself.
"""

_INSIDE: Final[LiteralString] = """
SELECT
    ARRAY(
        SELECT coalesce(relation, objid) FROM pg_locks
        WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock' AND coalesce(relation, objid) IS NOT NULL
    ),
    (
        SELECT coalesce(sum(pg_stat_get_xact_tuples_deleted(c.oid)), 0)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%(own)s) AND relkind = 'r'
    )
"""
"""Which oids it holds the lock to drop; and how many rows of its own it has deleted."""
