"""
The unit of work: what one command reads and writes, and the one statement that stores it; private to the kernel.

Rows of tracked aggregates are compared with what was loaded. Inserts, updates, deletes, events, their deliveries, jobs,
the audit line and the idempotent answer become common table expressions of a single statement, which PostgreSQL runs
atomically without BEGIN and COMMIT. `begin()` opens a transaction for those who need locks; the same statement then
runs inside it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import Executable
from sqlalchemy.sql.dml import UpdateBase

from platform_core._pool import Connection, Pool
from platform_core._pools import translated
from platform_core._statements import written
from platform_core.context import Context
from platform_core.db import AggregateMap, Row
from platform_core.domain import Aggregate, Command, Event, new_id
from platform_core.errors import ConcurrentUpdate, DomainError, PlatformError
from platform_core.ports import Clock

UNEXPECTED_COUNT = "P0409"
"""SQLSTATE raised by `platform.expect` (the kernel's first revision): a write touched another number of rows."""


_DELIVERIES_MADE = "(SELECT array_agg(id) FROM made_deliveries) AS deliveries"
_JOBS_MADE = "(SELECT array_agg(id) FROM made_jobs) AS jobs"


@dataclass(slots=True)
class Write:
    """
    One part of the final statement.

    Attributes:
        sql: an INSERT, UPDATE or DELETE without RETURNING; parameters are named `%(name)s`.
        params: their values.
        expect: how many rows it must touch.
        error: raised when it touches another number.
    """

    sql: str
    params: Mapping[str, Any]
    expect: int | None = None
    error: Exception | type[Exception] = ConcurrentUpdate


@dataclass(slots=True)
class _Tracked:
    mapping: AggregateMap[Any]
    aggregate: Aggregate
    before: dict[tuple[str, Any], Row]


@dataclass(slots=True)
class _StoredEvent:
    event: Event
    aggregate_type: str
    aggregate_id: UUID


@dataclass(slots=True)
class _Job:
    id: UUID
    handler: str
    payload: Any
    after_seconds: float
    key: str | None


@dataclass(slots=True)
class Changes:
    """What a unit of work did, as the audit trail tells it."""

    resource: tuple[str, UUID] | None = None
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)


class SqlUnitOfWork:
    """
    See `platform_core.db.UnitOfWork` for what handlers may call; the rest is the bus's.

    Args:
        pool: the module's, on the primary.
        clock: stamps events and untouched changes.
        context: who acts, and the identifiers that events carry on.

    Attributes:
        job_names: wire names of the commands that are to be executed later.
    """

    def __init__(self, pool: Pool, clock: Clock, context: Context) -> None:
        self._pool, self._clock, self.context = pool, clock, context
        self._connection: Connection | None = None
        self._tracked: dict[tuple[str, UUID], _Tracked] = {}
        self._writes: list[Write] = []
        self._events: list[_StoredEvent] = []
        self._jobs: list[_Job] = []
        self._notes: list[tuple[str, str]] = []
        self._constraints: dict[str, type[DomainError]] = {}
        self._is_repeatable = False
        self.changes = Changes()
        self.job_names: set[str] = set()
        self.revoked: list[Any] = []
        self.signals: list[tuple[str, tuple[UUID, ...]]] = []
        self.outdated: list[tuple[str, str]] = []

    # ── for handlers and adapters ────────────────────────────────────────────────────────────────

    async def begin(self) -> None:
        if self._connection is None:
            with translated():
                connection = await self._pool.take()
                self._connection = connection  # before BEGIN, so that `close` gives it back whatever happens
                await connection.run("BEGIN")

    async def fetch_all(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        with self._refused(), translated():  # `FOR UPDATE` may find itself in a circle of waiters
            return await self._fetch(statement, values)

    async def fetch_one(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any] | None:
        rows = await self.fetch_all(statement, values)
        return rows[0] if rows else None

    async def execute(self, statement: UpdateBase) -> int:
        await self.begin()
        assert self._connection is not None  # noqa: S101  # begun
        with self._refused(), translated():
            return await self._connection.run(statement)

    def write(
        self,
        statement: UpdateBase,
        values: Mapping[str, Any] | None = None,
        *,
        expect: int | None = None,
        otherwise: type[DomainError] | None = None,
        constraints: Mapping[str, type[DomainError]] | None = None,
        resource: tuple[str, UUID] | None = None,
    ) -> None:
        ready = written(statement, values)
        self.append(Write(ready.sql, ready.values, expect, otherwise or ConcurrentUpdate))
        self._constraints.update(constraints or {})
        self.changes.resource = self.changes.resource or resource

    def track(self, mapping: AggregateMap[Any], aggregate: Aggregate, *, new: bool = False) -> None:
        before = {} if new else mapping.rows(aggregate)
        self._tracked[(mapping.name, aggregate.id)] = _Tracked(mapping, aggregate, before)
        self._constraints.update(mapping.constraints)

    def seen(self, mapping: AggregateMap[Any], identity: UUID) -> Aggregate | None:
        tracked = self._tracked.get((mapping.name, identity))
        return tracked.aggregate if tracked else None

    def emit(self, event: Event, *, aggregate_type: str, aggregate_id: UUID) -> None:
        self._events.append(_StoredEvent(event, aggregate_type, aggregate_id))

    def later(self, command: Command[Any], *, after_seconds: float = 0, key: str | None = None) -> None:
        self.job_names.add(command.wire_name)
        self.enqueue(new_id(), command.wire_name, command, after_seconds=after_seconds, key=key)

    # ── for the kernel ───────────────────────────────────────────────────────────────────────────

    def append(self, write: Write) -> None:
        """Queue a ready-made part of the final statement."""
        self._writes.append(write)

    def enqueue(
        self, identity: UUID, handler: str, payload: Any, *, after_seconds: float = 0, key: str | None = None
    ) -> None:
        """Store a delivery that is no event's: a command for later, or a saga."""
        self._jobs.append(_Job(identity, handler, payload, after_seconds, key))

    def notify(self, channel: str, payload: str) -> None:
        """Send a NOTIFY with the commit."""
        self._notes.append((channel, payload))

    def repeatable(self) -> None:
        """
        Say that all of this happens again should it be lost, so that the commit need not wait for the disk.

        What a delivery did and its completion are lost together when PostgreSQL crashes, within a second of the commit.
        """
        self._is_repeatable = True

    def collect(self) -> Changes:
        """
        Turn tracked aggregates into writes and their events into stored ones; once, after the handler.

        Returns: what the audit trail says of it.
        """
        for tracked in self._tracked.values():
            self._collect_rows(tracked)
            for event in tracked.aggregate.release_events():
                self.emit(event, aggregate_type=tracked.mapping.name, aggregate_id=tracked.aggregate.id)
        return self.changes

    @property
    def has_work(self) -> bool:
        """Whether anything is to be written."""
        return bool(self._writes or self._events or self._jobs or self._notes or self._connection)

    async def commit(self) -> list[UUID]:
        """
        Store everything in one statement, and end the transaction where one was begun.

        Returns: the identifiers of the deliveries and jobs that were made.

        Raises:
            DomainError: a constraint or an expected number of rows said no; nothing was stored.
        """
        made: list[UUID] = []
        with self._refused(), translated():
            if self._writes or self._events or self._jobs or self._notes:
                sql, params = self._statement()
                [row] = await self._fetch(sql, params)
                made = [*(row["deliveries"] or ()), *(row["jobs"] or ())]
            if self._connection is not None:
                await self._connection.run("COMMIT")
        await self.close()
        return made

    def within(self, context: Context) -> SqlUnitOfWork:
        """Return a further unit of work in the transaction that was begun here; it is flushed, never committed."""
        inner = SqlUnitOfWork(self._pool, self._clock, context)
        inner._connection, inner.outdated = self._connection, self.outdated
        return inner

    async def flush(self) -> None:
        """
        Store rows in the transaction that goes on.

        Raises:
            PlatformError: there is more than rows; whoever replays what happened must make nothing happen.
        """
        self.collect()
        if self._events or self._jobs or self._notes:
            raise PlatformError("a projection writes its own tables, and makes no events, jobs or notes")
        if self._writes:
            with self._refused(), translated():
                await self._fetch(*self._statement())

    async def close(self) -> None:
        """Give the connection back; what was not committed is rolled back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.give_back(connection)

    async def _fetch(
        self, statement: Executable | str, values: Mapping[str, Any] | None
    ) -> list[dict[str, Any]]:
        """
        Run one statement on the transaction's connection, or on one of the pool.

        Nothing is held while a handler hashes, talks to a mail server or waits for somebody else.
        """
        if self._connection is not None:
            return await self._connection.fetch(statement, values)
        async with self._pool.connect() as connection:
            return await connection.fetch(statement, values)

    def _refused(self) -> _Refusals:
        return _Refusals(self._constraints, self._writes)

    def _collect_rows(self, tracked: _Tracked) -> None:
        mapping, aggregate = tracked.mapping, tracked.aggregate
        after = mapping.rows(aggregate)
        changed = {
            key
            for key in after.keys() | tracked.before.keys()
            if _values(after, key) != _values(tracked.before, key)
        }
        if not changed:
            return
        root = (mapping.table.fullname, aggregate.id)
        if tracked.before and aggregate.version == aggregate.stored_version:
            aggregate.touch(self._clock.now())
            after = mapping.rows(aggregate)
            changed.add(root)
        for key in sorted(changed, key=lambda key: key != root):
            self._difference(tracked.before.get(key), after.get(key), aggregate, mapping, is_root=key == root)
        self.changes.resource = self.changes.resource or (mapping.name, aggregate.id)

    def _difference(
        self,
        before: Row | None,
        after: Row | None,
        aggregate: Aggregate,
        mapping: AggregateMap[Any],
        *,
        is_root: bool,
    ) -> None:
        if after is None:
            assert before is not None  # noqa: S101  # a key comes from one of both
            self.append(_delete(before))
            self._note(before.table, mapping, before.values, {})
        elif before is None:
            self.append(_insert(after))
            self._note(after.table, mapping, {}, after.values)
        else:
            changed = {name: value for name, value in after.values.items() if value != before.values[name]}
            self.append(_update(after, changed, aggregate.stored_version if is_root else None))
            self._note(after.table, mapping, {name: before.values[name] for name in changed}, changed)

    def _note(
        self, table: Table, mapping: AggregateMap[Any], before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        noted = self.changes.rows.setdefault(table.name, {})
        for name in before.keys() | after.keys():
            pair = [before.get(name), after.get(name)]
            if name in mapping.secret:
                pair = ["[secret]" if value is not None else None for value in pair]
            if name in noted and table is not mapping.table:  # several children: gather them
                pair = [[*_as_list(noted[name][side]), *_as_list(pair[side])] for side in (0, 1)]
            noted[name] = pair

    def _statement(self) -> tuple[str, dict[str, Any]]:
        params: dict[str, Any] = {}
        for index, write in enumerate(self._writes):
            for name, value in write.params.items():
                params[f"w{index}_{name}"] = value
        if self._events:
            params.update(self._event_params())
        if self._jobs:
            params.update(self._job_params())
        for index, (channel, payload) in enumerate(self._notes):
            params[f"n{index}_channel"], params[f"n{index}_payload"] = channel, payload
        shape = tuple((write.sql, write.expect) for write in self._writes)
        counts = len(self._events), len(self._jobs), len(self._notes)
        return _one_statement(shape, *counts, self._is_repeatable), params

    def _event_params(self) -> dict[str, Any]:
        context, now = self.context, self._clock.now()
        params: dict[str, Any] = {
            "e_actor": context.principal.user_id,
            "e_correlation": context.correlation_id,
            "e_causation": context.causation_id,
            "e_trace": context.traceparent,
            "e_now": now,
        }
        for index, stored in enumerate(self._events):
            params |= {
                f"e{index}_id": new_id(),
                f"e{index}_name": stored.event.wire_name,
                f"e{index}_version": stored.event.wire_version,
                f"e{index}_type": stored.aggregate_type,
                f"e{index}_aggregate": stored.aggregate_id,
                f"e{index}_payload": dumps(stored.event),
            }
        return params

    def _job_params(self) -> dict[str, Any]:
        context = self.context
        params: dict[str, Any] = {
            "j_context": dumps(
                {
                    "actor_id": context.principal.user_id,
                    "label": context.principal.label,
                    "correlation_id": context.correlation_id,
                    "traceparent": context.traceparent,
                }
            )
        }
        for index, job in enumerate(self._jobs):
            params |= {
                f"j{index}_id": job.id,
                f"j{index}_handler": job.handler,
                f"j{index}_command": dumps(job.payload),
                f"j{index}_after": job.after_seconds,
                f"j{index}_key": job.key,
            }
        return params


class _Refusals:
    """Translates what PostgreSQL refused into the domain's own words, by constraint name."""

    def __init__(self, constraints: Mapping[str, type[DomainError]], writes: Sequence[Write]) -> None:
        self._constraints, self._writes = constraints, writes

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, psycopg.IntegrityError):
            refusal = self._constraints.get(error.diag.constraint_name or "")
            if refusal is not None:
                raise refusal from error
        if isinstance(error, psycopg.Error) and error.sqlstate == UNEXPECTED_COUNT:
            raise self._writes[int(error.diag.message_primary or 0)].error from error
        if isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
            raise ConcurrentUpdate from error


def dumps(value: Any) -> str:
    """Return JSON as the database keeps it: dataclasses as objects, decimals exact, times with zone."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal | UUID | datetime):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, bytes):
        return "[bytes]"
    return str(value)


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _values(rows: Mapping[tuple[str, Any], Row], key: tuple[str, Any]) -> Mapping[str, Any] | None:
    row = rows.get(key)
    return None if row is None else row.values


def _adapted(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: Jsonb(value) if value is not None and isinstance(table.c[name].type, JSONB) else value
        for name, value in values.items()
    }


def _insert(row: Row) -> Write:
    return Write(_insert_sql(row.table.fullname, tuple(row.values)), _adapted(row.table, row.values), 1)


def _update(row: Row, changed: Mapping[str, Any], version: int | None) -> Write:
    sql = _update_sql(row.table.fullname, tuple(changed), tuple(row.key), version is not None)
    params = _adapted(row.table, changed) | {f"key_{name}": value for name, value in row.key.items()}
    return Write(sql, params if version is None else params | {"key_version": version}, 1)


def _delete(row: Row) -> Write:
    return Write(
        _delete_sql(row.table.fullname, tuple(row.key)), {f"key_{n}": v for n, v in row.key.items()}, 1
    )


@functools.lru_cache(maxsize=1024)
def _insert_sql(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({_placeholders(columns)})"  # noqa: S608  # names are the code's


@functools.lru_cache(maxsize=1024)
def _update_sql(table: str, columns: tuple[str, ...], key: tuple[str, ...], versioned: bool) -> str:
    keys = (*key, "version") if versioned else key
    assignments = ", ".join(f"{name} = %({name})s" for name in columns)
    return f"UPDATE {table} SET {assignments} WHERE {_matches(keys)}"  # noqa: S608  # names are the code's


@functools.lru_cache(maxsize=1024)
def _delete_sql(table: str, key: tuple[str, ...]) -> str:
    return f"DELETE FROM {table} WHERE {_matches(key)}"  # noqa: S608  # names are the code's


def _placeholders(names: Iterable[str]) -> str:
    return ", ".join(f"%({name})s" for name in names)


def _matches(names: Iterable[str]) -> str:
    return " AND ".join(f"{name} = %(key_{name})s" for name in names)


@functools.lru_cache(maxsize=1024)
def _one_statement(
    writes: tuple[tuple[str, int | None], ...], events: int, jobs: int, notes: int, is_repeatable: bool
) -> str:
    """Return the final statement of every unit of work of one shape; parts' parameters get the parts' own prefix."""
    parts = [
        f"w{index} AS ({_NAME.sub(rf'%(w{index}_', sql)} RETURNING 1)"
        for index, (sql, _) in enumerate(writes)
    ]
    checks = [
        f"platform.expect({index}, (SELECT count(*) FROM w{index}), {int(expect)})"  # noqa: S608  # numbers only
        for index, (_, expect) in enumerate(writes)
        if expect is not None
    ]
    if events:
        parts.append(_events_sql(events))
    if jobs:
        parts.append(_jobs_sql(jobs))
    columns = [
        _DELIVERIES_MADE if events else "NULL::uuid[] AS deliveries",
        _JOBS_MADE if jobs else "NULL::uuid[] AS jobs",
        *checks,
        *(f"pg_notify(%(n{index}_channel)s, %(n{index}_payload)s)" for index in range(notes)),
        *(["set_config('synchronous_commit', 'off', true)"] if is_repeatable else []),
    ]
    head = f"WITH {', '.join(parts)} " if parts else ""
    return f"{head}SELECT {', '.join(columns)}"


_NAME = re.compile(r"(?<!%)%\((?=[^)]+\)s)")


def _events_sql(count: int) -> str:
    rows = ", ".join(
        f"(%(e{i}_id)s, %(e{i}_name)s, %(e{i}_version)s, %(e{i}_type)s, %(e{i}_aggregate)s, %(e{i}_payload)s::jsonb,"
        " %(e_actor)s::uuid, %(e_correlation)s, %(e_causation)s::uuid, %(e_trace)s, %(e_now)s)"
        for i in range(count)
    )
    return (
        "made_events AS (INSERT INTO audit.domain_events (id, name, version, aggregate_type, aggregate_id, payload,"  # noqa: S608  # numbered placeholders only
        f" actor_id, correlation_id, causation_id, traceparent, occurred_at) VALUES {rows}"
        " RETURNING id, name, position, aggregate_id),"
        " made_deliveries AS (INSERT INTO platform.deliveries (id, handler, event_id, position, aggregate_id)"
        " SELECT platform.uuid7(), s.handler, e.id, e.position, e.aggregate_id"
        " FROM made_events e JOIN platform.subscriptions s ON s.event_name = e.name RETURNING id)"
    )


def _jobs_sql(count: int) -> str:
    rows = ", ".join(
        f"(%(j{i}_id)s, %(j{i}_handler)s, %(j{i}_command)s::jsonb, %(j_context)s::jsonb, %(j{i}_key)s,"
        f" now() + make_interval(secs => %(j{i}_after)s))"
        for i in range(count)
    )
    return (
        "made_jobs AS (INSERT INTO platform.deliveries (id, handler, command, context, job_key, available_at)"  # noqa: S608  # numbered placeholders only
        f" VALUES {rows} ON CONFLICT (job_key) WHERE job_key IS NOT NULL DO NOTHING RETURNING id)"
    )
