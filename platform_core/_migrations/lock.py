"""
One migrator at a time: the advisory locks and the connections of those who change tables; private to the kernel.

The lock is held by a connection of its own, because what migrates commits in between. It is polled, never waited for:
a session that waits inside PostgreSQL holds a snapshot, and `CREATE INDEX CONCURRENTLY` of whoever has the lock would
wait for that snapshot for ever.

A killed migrator loses its lock at once, but the statement it had sent may still be running. So the connection that
migrates holds a second lock, and the next migrator begins when both are free.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from platform_core._pools import libpq_url
from platform_core.errors import MigrationFailed

LOCK_TIMEOUT_MS: Final = 2000
"""A statement that waits longer for a lock gives up, because everybody who comes after it waits behind it."""

LOCK_NAMESPACE: Final = 0x706C_6174  # "plat"
_MIGRATOR: Final = 1
_WORKING: Final = 2
SEEDER_LOCK: Final = 3
"""Of whoever runs seeds (`_seeds.py`)."""

_POLL_SECONDS: Final = 0.1


def connect(url: str, *, search_path: str | None = None, autocommit: bool = True) -> psycopg.Connection[Any]:
    """
    Return a connection for changing tables.

    Args:
        search_path: the schema that unqualified names of a revision mean.

    Raises:
        MigrationFailed: the database does not answer.
    """
    options = [
        f"-c lock_timeout={LOCK_TIMEOUT_MS}",
        "-c statement_timeout=0",
        "-c idle_in_transaction_session_timeout=0",
        "-c jit=off",  # compiling the statements that look at the catalogue takes longer than they do
    ]
    if search_path:
        options.append(f"-c search_path={search_path},public")
    try:
        connection = psycopg.connect(
            libpq_url(url),
            autocommit=True,
            application_name="platform/migrations",
            connect_timeout=10,
            options=" ".join(options),
            keepalives_idle=30,
        )
    except psycopg.OperationalError as error:
        raise MigrationFailed(
            f"The database does not answer: {' '.join(str(error).split())} Check DATABASE_URL and that PostgreSQL is"
            " running."
        ) from error
    # the server then notices within seconds that its client was killed, and rolls back; not every system can
    with contextlib.suppress(psycopg.Error):
        connection.execute("SELECT set_config('client_connection_check_interval', '2s', false)")
    connection.autocommit = autocommit
    return connection


@contextlib.contextmanager
def migration_lock(
    url: str, *, wait_seconds: float, waiting: Callable[[str], None]
) -> Iterator[psycopg.Connection[Any]]:
    """
    Hold the right to migrate for as long as the block lasts.

    Args:
        wait_seconds: give up after this.
        waiting: told once that somebody else is migrating.

    Yields: the connection that holds the lock; autocommit, free for small statements.

    Raises:
        MigrationFailed: somebody else migrates for longer than `wait_seconds`.
    """
    with _closing(connect(url)) as connection:
        _take(connection, _MIGRATOR, wait_seconds, waiting)
        yield connection


@contextlib.contextmanager
def working_connection(url: str, module: str, *, wait_seconds: float) -> Iterator[Connection]:
    """Yield the connection that runs one module's revisions, once no statement of an earlier migrator runs any more."""

    def create() -> psycopg.Connection[Any]:
        connection = connect(url, search_path=module)
        try:
            _take(connection, _WORKING, wait_seconds, lambda _: None)
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine("postgresql+psycopg://", creator=create, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


@contextlib.contextmanager
def _closing(connection: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    try:
        yield connection
    finally:
        connection.close()


def _take(
    connection: psycopg.Connection[Any], lock: int, wait_seconds: float, waiting: Callable[[str], None]
) -> None:
    deadline, told = time.monotonic() + wait_seconds, False
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_NAMESPACE, lock)).fetchone()
        if row is not None and row[0]:
            return
        if not told:
            waiting(
                f"another process is at it ({_holder(connection, lock)}); waiting up to {wait_seconds:.0f} s"
            )
            told = True
        if time.monotonic() > deadline:
            raise MigrationFailed(
                f"Another process has been at it for more than {wait_seconds:.0f} s: {_holder(connection, lock)}. "
                "Wait for it to end, or look at what it waits for in pg_stat_activity; then run this again."
            )
        time.sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  # spreads waiters, guards nothing


def _holder(connection: psycopg.Connection[Any], lock: int) -> str:
    row = connection.execute(
        "SELECT a.pid, coalesce(a.client_addr::text, 'local'), date_trunc('second', now() - a.backend_start)::text"
        " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted"
        " AND l.classid = %s AND l.objid = %s"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        (LOCK_NAMESPACE, lock),
    ).fetchone()
    return f"server process {row[0]}, from {row[1]}, since {row[2]}" if row else "it has just ended"
