"""Many rows by one statement that is always the same: as JSON, which PostgreSQL turns into rows again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Table, TableValuedAlias, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert


def given_rows(table: Table, columns: Iterable[str], **further: Any) -> TableValuedAlias:
    """
    Return what a statement's parameter `rows` holds, as a table: a list of what `row_of` returns.

    Args:
        further: name → type of columns that `table` has not.
    """
    typed = [column(name, further[name] if name in further else table.c[name].type) for name in columns]
    rows = func.jsonb_to_recordset(bindparam("rows", type_=JSONB)).table_valued(*typed)
    return rows.render_derived(name="given", with_types=True)


def bulk_insert(table: Table, columns: Iterable[str]) -> Insert:
    """Return the statement that inserts whatever its parameter `rows` holds."""
    names = tuple(columns)
    given = given_rows(table, names)
    return insert(table).from_select(names, select(*(given.c[name] for name in names)))


def row_of(thing: Any, columns: Iterable[str]) -> Mapping[str, Any]:
    """Return the attributes of these names, as JSON can hold them."""
    return {name: _plain(getattr(thing, name)) for name in columns}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def first_id_at(moment: datetime) -> UUID:
    """Return the lowest UUIDv7 of a moment: what has a lower one was made before, and the primary key finds it."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
