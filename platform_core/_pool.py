"""
A bounded pool of psycopg connections in autocommit, and the few things that are done with one; private to the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import psycopg
from psycopg import AsyncRawCursor
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import tuple_row
from sqlalchemy.sql import Executable

from platform_core._statements import Values, numbered, ordered, written
from platform_core.tracing import client_span

_SHOWN_SQL_LENGTH: Final = 2000

Raw = psycopg.AsyncConnection[Any]

Watch = Callable[[str, Sequence[Any]], None]
"""Is told of each statement and its values."""

Denied = Callable[[psycopg.errors.InsufficientPrivilege], Exception]
"""Says whose it is that a statement reached for, and who did."""


class PoolExhausted(Exception):
    """Every connection was in use for too long."""


class Connection:
    """One connection, lent by a pool."""

    __slots__ = ("_denied", "_poll", "_watch", "raw")

    def __init__(self, raw: Raw, watch: Watch, *, denied: Denied) -> None:
        self.raw, self._watch, self._denied = raw, watch, denied
        self._poll = select.poll()
        self._poll.register(raw.fileno(), select.POLLIN)

    async def fetch(self, statement: Executable | str, values: Values | None = None) -> list[dict[str, Any]]:
        """Run one statement and return its rows, by column name."""
        ready = written(statement, values)
        cursor = await self._execute(ready.sql, ready.values)
        columns = ready.columns or _columns(cursor.pgresult)
        rows = [dict(zip(columns, row, strict=True)) for row in await cursor.fetchall()]
        for name, load in ready.loaders:
            for row in rows:
                row[name] = load(row[name])
        return rows

    async def run(self, statement: Executable | str, values: Values | None = None) -> int:
        """Run one statement and return how many rows it touched."""
        ready = written(statement, values)
        return (await self._execute(ready.sql, ready.values)).rowcount

    async def _execute(self, sql: str, values: Values) -> AsyncRawCursor[Any]:
        text, names = numbered(sql)
        given = ordered(names, values)
        self._watch(text, given)
        cursor = AsyncRawCursor(self.raw, row_factory=tuple_row)
        try:
            await cursor.execute(text, given)
        except psycopg.errors.InsufficientPrivilege as error:
            raise self._denied(error) from error
        return cursor

    @property
    def is_fresh(self) -> bool:
        """Whether nothing came in while nobody asked: a server that goes away says goodbye, or closes the socket."""
        return not self.raw.closed and not self._poll.poll(0)


class TracedConnection(Connection):
    """A connection whose statements are spans of whatever trace asks for them."""

    __slots__ = ("_name",)

    def __init__(self, raw: Raw, watch: Watch, *, denied: Denied, name: str) -> None:
        super().__init__(raw, watch, denied=denied)
        self._name = name

    async def _execute(self, sql: str, values: Values) -> AsyncRawCursor[Any]:
        # the text has places for values, never the values
        with client_span(
            self._name, {"db.system.name": "postgresql", "db.query.text": sql[:_SHOWN_SQL_LENGTH]}
        ):
            return await super()._execute(sql, values)


class Pool:
    """
    Lends connections, the latest used first.

    Args:
        connect: opens one.
        size: most at once.
        timeout_seconds: how long somebody waits for one.
        watch: told of each statement.
        kind: what a new connection becomes.

    Attributes:
        size: as given.
        refused_count: callers who waited in vain.
    """

    refused_count = 0

    def __init__(
        self,
        connect: Callable[[], Awaitable[Raw]],
        *,
        size: int,
        timeout_seconds: float,
        watch: Watch,
        kind: Callable[[Raw, Watch], Connection],
    ) -> None:
        self._connect, self._timeout_seconds, self._watch = connect, timeout_seconds, watch
        self.size, self._kind = size, kind
        self._places = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._is_closed = False

    @property
    def used_count(self) -> int:
        """Connections that somebody has now, or waits for PostgreSQL to open."""
        return self.size - self._places._value

    def connect(self) -> Lent:
        """Return a block that has a connection: `async with pool.connect() as connection`."""
        return Lent(self)

    async def take(self) -> Connection:
        """
        Borrow a connection; it has to be given back.

        Raises:
            PoolExhausted: none became free in time.
            psycopg.OperationalError: no new one could be opened.
        """
        if self._places.locked():
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    await self._places.acquire()
            except TimeoutError:
                self.refused_count += 1
                raise PoolExhausted(f"no connection was free for {self._timeout_seconds:g} s")
        else:
            await self._places.acquire()
        try:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_fresh:
                    return connection
                await connection.raw.close()
            return self._kind(await self._connect(), self._watch)
        except BaseException:
            self._places.release()
            raise

    async def give_back(self, connection: Connection) -> None:
        """Take a connection back; what it did not commit is rolled back."""
        raw = connection.raw
        try:
            status = raw.pgconn.transaction_status
            if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                await self._roll_back(raw)
                status = raw.pgconn.transaction_status
            if status == TransactionStatus.IDLE and not self._is_closed:
                self._idle.append(connection)
            else:
                await raw.close()
        finally:
            self._places.release()

    async def close(self) -> None:
        """Close what is idle now, and the rest when it comes back."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.raw.close()

    @staticmethod
    async def _roll_back(raw: Raw) -> None:
        try:
            with contextlib.suppress(psycopg.Error):
                await raw.rollback()
        except BaseException:
            raw.pgconn.finish()  # interrupted: closing is what rolls back then
            raise


def _columns(result: PGresult | None) -> list[str]:
    """Return the names alone; a cursor's `description` looks up every column's type as well."""
    if result is None:
        return []
    return [(result.fname(number) or b"").decode() for number in range(result.nfields)]


class Lent:
    """A connection for the length of a block."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> Connection:
        self._connection = await self._pool.take()
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        await self._pool.give_back(self._connection)
