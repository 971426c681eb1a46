"""
Whether a module's last export still has everything: what was in its tables then is remembered in the database, and
compared when nobody can write to them any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from platform_core.errors import OperationError

Contents = Mapping[str, Sequence[str]]
"""Table → how many rows, and a sum over all of them that does not depend on their order."""

_WRITTEN_ALIKE: Final = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "search_path": "pg_catalog",
}
"""What decides how PostgreSQL writes a value as text: sessions of other machines have other settings."""

_SUM: Final = sql.SQL(
    "SELECT count(*)::text, coalesce(sum(hashtextextended(CAST(ROW(each.*) AS text), 0)), 0)::text FROM {} AS each"
)


def contents(connection: psycopg.Connection[Any], module: str, tables: Sequence[str]) -> Contents:
    """Return what a module's tables hold, as far as this transaction sees them; every row is read."""
    found = {}
    with connection.transaction(force_rollback=True):  # it takes the settings back, and there is nothing else
        for setting, value in _WRITTEN_ALIKE.items():
            connection.execute("SELECT set_config(%s, %s, true)", (setting, value))
        for name in tables:
            row = connection.execute(_SUM.format(sql.Identifier(module, name))).fetchone()
            assert row is not None  # noqa: S101  # an aggregate without GROUP BY has one row
            found[name] = list(row)
    return found


def remember(connection: psycopg.Connection[Any], module: str, path: Path, written: Contents) -> None:
    """Store that a module was exported, where to, and what was in its tables."""
    connection.execute(
        "UPDATE platform.modules SET exported = jsonb_build_object('file', %s::text, 'at',"
        " to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC', 'tables', %s::jsonb) WHERE name = %s",
        (path.name, Jsonb(written), module),
    )


def check(connection: psycopg.Connection[Any], module: str, tables: Sequence[str]) -> None:
    """
    Refuse to go on where a module was exported, and its tables hold something else now.

    Args:
        connection: in a transaction in which nobody else can write to the tables.

    Raises:
        OperationError: they do.
    """
    row = connection.execute("SELECT exported FROM platform.modules WHERE name = %s", (module,)).fetchone()
    if row is None or row[0] is None:
        return
    then, now = row[0]["tables"], contents(connection, module, tables)
    changed = [
        f"{name} ({_rows(then.get(name))} then, {_rows(now.get(name))} now)"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    if changed:
        raise OperationError(
            f"{module} was exported to {row[0]['file']} at {row[0]['at']}, and has changed since: {', '.join(changed)}."
            " Nothing was dropped. Export what is there now (--purge --export ANOTHER.zip), or give up what is not in"
            " that file with --discard."
        )


def _rows(held: Sequence[str] | None) -> str:
    return "no table" if held is None else f"{held[0]} {'row' if held[0] == '1' else 'rows'}"
