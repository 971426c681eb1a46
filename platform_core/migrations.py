"""
For revision files: operations that do not stop a database in use.

Each works outside the revision's transaction and does nothing twice, so a revision that was interrupted is simply run
again. Give each a revision of its own (`platform db lint` says so): what an `op.…` beside it had done would be
committed, and in the way when the revision is run again. Tables are those of the module, whose schema need not be
named.

    from platform_core.migrations import create_index_concurrently, drop_index_concurrently

    def upgrade() -> None:
        create_index_concurrently("ix_users_phone", "users", ["phone"])

    def downgrade() -> None:
        drop_index_concurrently("ix_users_phone")

A column that must not be empty comes in three steps, three revisions:

1. expand: `op.add_column("users", sa.Column("phone", sa.Text), schema="user_management")`; the new code fills it in
2. expand: `backfill("users", "phone = ''", where="phone IS NULL")`
3. contract, when no old code runs any more: `set_not_null("users", "phone")`
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
from alembic import op
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from platform_core.errors import MigrationFailed

__all__ = [
    "add_foreign_key",
    "backfill",
    "create_index_concurrently",
    "drop_index_concurrently",
    "set_not_null",
]

_BATCH_ATTEMPTS_COUNT: Final = 30
_PASSES_COUNT: Final = 3


def create_index_concurrently(
    name: str,
    table: str,
    expressions: Sequence[str],
    *,
    unique: bool = False,
    using: str = "btree",
    where: str | None = None,
    include: Sequence[str] = (),
    wait_seconds: int = 600,
) -> None:
    """
    Create an index while others read and write the table.

    One of the same name that an aborted run left behind invalid is dropped and built anew; a valid one stays.

    Args:
        expressions: columns, or expressions in their own parentheses: `["(lower(email))", "created_at DESC"]`.
        using: the access method: `gin`, `gist`, `brin`.
        where: predicate of a partial index.
        include: columns that the index carries along.
        wait_seconds: how long to wait for transactions that began before; it blocks nobody meanwhile.

    Example: `create_index_concurrently("uq_users_email", "users", ["(lower(email))"], unique=True)`
    """
    schema = _schema()
    parts = [
        f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY IF NOT EXISTS {_quoted(name)}",
        f"ON {_quoted(schema)}.{_quoted(table)} USING {using} ({', '.join(expressions)})",
        f"INCLUDE ({', '.join(map(_quoted, include))})" if include else "",
        f"WHERE {where}" if where else "",
    ]
    with _outside_of_transactions(wait_seconds) as connection:
        if connection is not None and _is_valid(connection, schema, name) is False:
            op.execute(f"DROP INDEX CONCURRENTLY {_quoted(schema)}.{_quoted(name)}")
        op.execute(" ".join(part for part in parts if part))


def drop_index_concurrently(name: str, *, wait_seconds: int = 600) -> None:
    """
    Drop an index while others read and write its table; none of that name is fine too.

    Example: `drop_index_concurrently("ix_users_phone")`
    """
    with _outside_of_transactions(wait_seconds):
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_quoted(_schema())}.{_quoted(name)}")


def backfill(
    table: str,
    assignments: str,
    *,
    where: str,
    key: str = "id",
    batch_count: int = 1000,
    pause_seconds: float = 0.0,
) -> None:
    """
    Fill in rows, batch by batch in the order of the key, each committed for itself.

    Run again after an interruption, it passes over the rows that are done.

    Args:
        assignments: what an UPDATE sets: `"phone = '', phone_verified = false"`.
        where: the rows that still need it; no row may match after it was set.
        key: a unique column, best the primary key.
        batch_count: rows looked at per statement.
        pause_seconds: between batches, so that replicas and autovacuum keep up.

    Raises:
        MigrationFailed: rows still match afterwards, because the assignments do not change that or because code
            that is running makes new ones.

    Example: `backfill("users", "display_name = username", where="display_name IS NULL")`
    """
    target = f"{_quoted(_schema())}.{_quoted(table)}"
    with _outside_of_transactions(2) as connection:
        if connection is None:
            op.execute(f"UPDATE {target} SET {assignments} WHERE {where}")  # noqa: S608  # a revision is code, not input
            return
        for _ in range(
            _PASSES_COUNT
        ):  # rows that were inserted behind our back get a second pass, and a third
            _fill(connection, target, assignments, where, key, batch_count, pause_seconds)
            query = f"SELECT EXISTS (SELECT FROM {target} WHERE {where})"  # noqa: S608  # as above
            if not connection.exec_driver_sql(query).scalar_one():
                return
        raise MigrationFailed(
            f"some rows of {target} still match `{where}`: either `{assignments}` does not change that, or code that"
            " is running keeps writing such rows. Release the code that fills the column in first."
        )


def set_not_null(table: str, column: str, *, wait_seconds: int = 2) -> None:
    """
    Forbid NULL in a column of a table in use, without reading the table under a lock that stops everybody.

    A CHECK constraint is added unvalidated, validated while others read and write, and then taken as proof.

    Raises:
        MigrationFailed: there are rows without a value; the constraint is taken away again.

    Example: `set_not_null("users", "phone")`
    """
    target, name = f"{_quoted(_schema())}.{_quoted(table)}", _quoted(f"ck_{table}_{column}_not_null")
    with _outside_of_transactions(wait_seconds):
        op.execute(f"ALTER TABLE {target} DROP CONSTRAINT IF EXISTS {name}")
        op.execute(
            f"ALTER TABLE {target} ADD CONSTRAINT {name} CHECK ({_quoted(column)} IS NOT NULL) NOT VALID"
        )
        try:
            op.execute(f"ALTER TABLE {target} VALIDATE CONSTRAINT {name}")
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.CheckViolation):
                raise
            op.execute(f"ALTER TABLE {target} DROP CONSTRAINT {name}")
            raise MigrationFailed(
                f"some rows of {target} have no {column}. Fill them in with `backfill` in a revision before this one,"
                " and make sure that no code is running that leaves it out."
            ) from error
        op.execute(
            f"ALTER TABLE {target} ALTER COLUMN {_quoted(column)} SET NOT NULL, DROP CONSTRAINT {name}"
        )


def add_foreign_key(
    name: str, table: str, column: str, target: str, *, on_delete: str = "NO ACTION", wait_seconds: int = 2
) -> None:
    """
    Add a foreign key within the module to a table in use: unvalidated first, then validated while others work.

    Args:
        target: `"users.id"`, a table of the same module; another module's is a link in `plugin.toml`.
        on_delete: `CASCADE`, `RESTRICT`, `SET NULL` or `NO ACTION`.

    Example: `add_foreign_key("fk_files_folder_id_folders", "files", "folder_id", "folders.id", on_delete="CASCADE")`
    """
    schema = _quoted(_schema())
    other_table, _, other_column = target.partition(".")
    source, quoted = f"{schema}.{_quoted(table)}", _quoted(name)
    with _outside_of_transactions(wait_seconds):
        op.execute(f"ALTER TABLE {source} DROP CONSTRAINT IF EXISTS {quoted}")
        op.execute(
            f"ALTER TABLE {source} ADD CONSTRAINT {quoted} FOREIGN KEY ({_quoted(column)})"
            f" REFERENCES {schema}.{_quoted(other_table)} ({_quoted(other_column)}) ON DELETE {on_delete} NOT VALID"
        )
        op.execute(f"ALTER TABLE {source} VALIDATE CONSTRAINT {quoted}")


def _fill(
    connection: Connection,
    target: str,
    assignments: str,
    where: str,
    key: str,
    batch_count: int,
    pause_seconds: float,
) -> None:
    column = _quoted(key)
    # psycopg reads % as the beginning of a parameter
    assignments, where = assignments.replace("%", "%%"), where.replace("%", "%%")

    def statement(rows: str) -> str:
        return (
            f"WITH batch AS MATERIALIZED (SELECT {column} AS batch_key FROM {target} {rows} ORDER BY {column}"  # noqa: S608  # a revision is code, not input
            f" LIMIT {batch_count}), filled AS (UPDATE {target} AS t SET {assignments} FROM batch"
            f" WHERE t.{column} = batch_key AND ({where})) SELECT batch_key FROM batch ORDER BY batch_key DESC LIMIT 1"
        )

    last = _batch(connection, statement(""), {})
    while last is not None:
        time.sleep(pause_seconds)
        last = _batch(connection, statement(f"WHERE {column} > %(last)s"), {"last": last})


def _batch(connection: Connection, statement: str, parameters: dict[str, Any]) -> Any:
    """Run one batch and return its last key; again, while somebody holds one of its rows."""
    attempt = 1
    while True:
        try:
            return connection.exec_driver_sql(statement, parameters).scalar()
        except DBAPIError as error:
            is_about_locks = isinstance(
                error.orig, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected
            )
            if not is_about_locks or attempt == _BATCH_ATTEMPTS_COUNT:
                raise
            time.sleep(0.2)
            attempt += 1


@contextlib.contextmanager
def _outside_of_transactions(wait_seconds: int) -> Iterator[Connection | None]:
    """Commit what came before and run each statement for itself; yields None while SQL is only written down."""
    context = op.get_context()
    with context.autocommit_block():
        connection = None if context.as_sql else op.get_bind()
        if connection is None:
            yield None
            return
        before = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
        connection.exec_driver_sql(f"SET lock_timeout = '{int(wait_seconds)}s'")
        try:
            yield connection
        finally:
            with contextlib.suppress(DBAPIError):  # the connection may be what failed
                connection.exec_driver_sql(f"SET lock_timeout = '{before}'")


def _is_valid(connection: Connection, schema: str, name: str) -> bool | None:
    """Return whether an index is usable; None when there is none."""
    return connection.execute(
        text(
            "SELECT i.indisvalid AND i.indisready FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema AND c.relname = :name"
        ),
        {"schema": schema, "name": name},
    ).scalar()


def _schema() -> str:
    schema = op.get_context().version_table_schema
    if schema is None:
        raise MigrationFailed(
            "These operations work in revisions that the kernel runs: it knows the module's schema."
        )
    return str(schema)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
