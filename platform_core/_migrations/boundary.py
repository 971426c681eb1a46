"""
What became of others' tables while a revision ran: nothing, or it is refused; private to the kernel.

Revisions run with the migrator's rights, because they make tables. PostgreSQL therefore refuses none that reaches for a
neighbour's, and is asked afterwards, in the same transaction: which of them it has locked (every statement that names a
table locks it until the end), in which it has written rows, and which of them, or of their columns, triggers, rights
and so on, have another line in the catalogue than before.

Of tables that a link connects with the module's own, locks say nothing: a row that refers to another locks it. What
was committed in between (`autocommit_block`) cannot be taken back; it is told where it shows in the catalogue.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from platform_core._pools import KERNEL
from platform_core.errors import MigrationFailed

_AUDIT: Final = "audit"


class _Thing(NamedTuple):
    """Something outside of a module's schemas: a table, a function, a type, or a schema itself."""

    name: str
    schema: str
    line: Decimal
    is_locked: bool
    inserted: int
    changed: int
    is_linked: bool
    cascades: bool


@contextlib.contextmanager
def kept_inside(connection: Connection, module: str, schemas: Sequence[str]) -> Iterator[None]:
    """
    Refuse what a block does to anything outside of a module's schemas.

    Args:
        connection: in the transaction that the block works in.
        schemas: the module's own.

    Raises:
        MigrationFailed: it was not kept inside; the transaction is to be rolled back.
    """
    before = _look(connection, schemas)
    yield
    after = _look(connection, schemas)
    if offences := [*_offences(before, after)]:
        raise MigrationFailed(
            f"It reaches outside of {module}: {'; '.join(offences)}. A revision works on its own schema only: ask the"
            " other module for what it knows, hear its events, or declare a link in plugin.toml. Where somebody else"
            " did that meanwhile, run this again."
        )


def _look(connection: Connection, schemas: Sequence[str]) -> Mapping[tuple[str, int], _Thing]:
    rows: Sequence[Any] = connection.execute(_OUTSIDE, {"own": list(schemas)}).all()
    return {(row.kind, row.oid): _Thing(*row[2:]) for row in rows}


def _offences(
    before: Mapping[tuple[str, int], _Thing], after: Mapping[tuple[str, int], _Thing]
) -> Iterator[str]:
    for key, thing in after.items():
        if (what := _offence(before.get(key), thing)) is not None:
            yield f"{_called(thing)} was {what}"
    for key, thing in before.items():
        if key not in after and key[0] != "key":
            yield f"{_called(thing)} was dropped"


def _offence(was: _Thing | None, now: _Thing) -> str | None:
    if was is None:
        return "made"
    if now.line != was.line:
        return "altered"
    if now.inserted > was.inserted or (now.changed > was.changed and not now.cascades):
        return "written to"
    return (
        "read or locked" if now.is_locked and not (was.is_locked or was.is_linked or now.is_linked) else None
    )


def _called(thing: _Thing) -> str:
    owner = KERNEL if thing.schema == _AUDIT else thing.schema
    return thing.name if owner == thing.schema else f"{thing.name} (of {owner})"


_OUTSIDE: Final = text("""
WITH outside AS (
    SELECT oid, nspname, xmin FROM pg_namespace
    WHERE nspname <> ALL(:own) AND nspname !~ '^pg_' AND nspname <> 'information_schema'
), extension AS (
    SELECT objid FROM pg_depend WHERE deptype = 'e'
), relation AS (
    SELECT c.oid, c.xmin, c.relname, o.nspname FROM pg_class c JOIN outside o ON o.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.oid NOT IN (SELECT objid FROM extension)
), line AS (
    SELECT oid, 'c' AS kind, oid AS part, xmin FROM relation
    UNION ALL SELECT attrelid, 'a' || attnum, 0, a.xmin FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid
    UNION ALL SELECT adrelid, 'd', d.oid, d.xmin FROM pg_attrdef d JOIN relation r ON r.oid = d.adrelid
    UNION ALL SELECT conrelid, 'k', k.oid, k.xmin FROM pg_constraint k JOIN relation r ON r.oid = k.conrelid
    UNION ALL SELECT indrelid, 'i', indexrelid, i.xmin FROM pg_index i JOIN relation r ON r.oid = i.indrelid
    UNION ALL SELECT ev_class, 'r', w.oid, w.xmin FROM pg_rewrite w JOIN relation r ON r.oid = w.ev_class
    UNION ALL SELECT polrelid, 'p', p.oid, p.xmin FROM pg_policy p JOIN relation r ON r.oid = p.polrelid
    UNION ALL SELECT tgrelid, 't', t.oid, t.xmin FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid
        WHERE NOT tgisinternal
), hashed AS (
    SELECT oid, sum(hashtextextended(kind || part || ' ' || CAST(xmin AS text), 0)) AS line FROM line GROUP BY oid
), linked AS (
    SELECT oid, bool_or(cascades) AS cascades FROM (
        SELECT f.conrelid AS oid, f.confdeltype <> 'a' AND f.confdeltype <> 'r' AS cascades
        FROM pg_constraint f JOIN pg_class c ON c.oid = f.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY(:own)
        UNION ALL SELECT f.confrelid, false
        FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY(:own)
    ) AS f GROUP BY oid
), locked AS (
    SELECT DISTINCT relation AS oid FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
)
SELECT 'relation' AS kind, oid, nspname || '.' || relname, nspname, line, locked.oid IS NOT NULL,
    pg_stat_get_xact_tuples_inserted(oid),
    pg_stat_get_xact_tuples_updated(oid) + pg_stat_get_xact_tuples_deleted(oid),
    linked.oid IS NOT NULL, coalesce(cascades, false)
FROM relation JOIN hashed USING (oid) LEFT JOIN linked USING (oid) LEFT JOIN locked USING (oid)
UNION ALL SELECT 'function', p.oid, nspname || '.' || proname || '()', nspname, CAST(CAST(p.xmin AS text) AS numeric),
    false, 0, 0, false, false FROM pg_proc p JOIN outside o ON o.oid = pronamespace
    WHERE p.oid NOT IN (SELECT objid FROM extension)
UNION ALL SELECT 'type', t.oid, nspname || '.' || typname, nspname, CAST(CAST(t.xmin AS text) AS numeric),
    false, 0, 0, false, false FROM pg_type t JOIN outside o ON o.oid = typnamespace
    WHERE typtype IN ('d', 'e', 'r') AND t.oid NOT IN (SELECT objid FROM extension)
UNION ALL SELECT 'schema', oid, 'the schema ' || nspname, nspname, CAST(CAST(xmin AS text) AS numeric),
    false, 0, 0, false, false FROM outside
UNION ALL SELECT 'key', f.oid, 'the foreign key ' || conname || ' to ' || o.nspname || '.' || b.relname, o.nspname, 0,
    false, 0, 0, false, false
    FROM pg_constraint f JOIN pg_class a ON a.oid = conrelid JOIN pg_namespace n ON n.oid = a.relnamespace
    JOIN pg_class b ON b.oid = confrelid JOIN outside o ON o.oid = b.relnamespace WHERE n.nspname = ANY(:own)
""")
"""
Every table and view, function, type and schema outside, but for what extensions bring; and keys that point there.

A link that goes with its own table or column is no offence, so keys count only when they are made.
"""
