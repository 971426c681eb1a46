"""
What revisions do to a database while they run: locks, rows, sizes; private to the kernel.

Within a transaction locks are kept until it ends, so looking after each statement misses none. Statements that run
outside of one (`CREATE INDEX CONCURRENTLY`, a backfill's batches) have given theirs back by then: for those a second
connection looks every few milliseconds, and what is over sooner than that stopped nobody for longer.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, event

from platform_core._migrations.lock import connect
from platform_core._migrations.revisions import Phase, Revision

LOOK_SECONDS: Final = 0.005

STOPS: Final[Mapping[str, str]] = {
    "ACCESS EXCLUSIVE": "reads and writes",
    "EXCLUSIVE": "writes",
    "SHARE ROW EXCLUSIVE": "writes",
    "SHARE": "writes",
}
"""Mode → what waits for it; the others stop nobody but other migrators. PostgreSQL, "Explicit Locking"."""


@dataclass(frozen=True, slots=True)
class Lock:
    """
    A lock that was held on a table which was there before.

    Attributes:
        stops: `reads and writes`, `writes`, or None: only other migrators wait for it.
        held_ms: from this revision on until the transaction ended, so later revisions of the same module count too.
        taken_by: this revision, or one before it in the same transaction.
    """

    relation: str
    mode: str
    stops: str | None
    held_ms: int
    taken_by: str


@dataclass(frozen=True, slots=True)
class TableChange:
    """
    What became of one table.

    Attributes:
        rewritten: rows that were written anew because the whole table was, about; 0 when it was not.
        bytes_before, bytes_after: with its indexes; 0 while it is not there.
    """

    relation: str
    inserted: int
    updated: int
    deleted: int
    rewritten: int
    bytes_before: int
    bytes_after: int

    @property
    def is_one(self) -> bool:
        """Tell whether anything changed at all."""
        return bool(self.inserted or self.updated or self.deleted or self.rewritten) or (
            self.bytes_before != self.bytes_after
        )


@dataclass(frozen=True, slots=True)
class WatchedRevision:
    """What one revision did."""

    module: str
    revision: str
    phase: Phase
    summary: str
    duration_ms: int
    locks: tuple[Lock, ...]
    tables: tuple[TableChange, ...]


class _Table(NamedTuple):
    name: str
    file: int | None
    bytes: int
    rows: int
    inserted: int
    updated: int
    deleted: int


@dataclass
class _Held:
    revision: str
    relation: str
    mode: str
    since: float
    seen: float
    until: float | None = None


class Watch:
    """
    Looks on while revisions run on one database; an `Observer` of `upgrade`.

    Args:
        url: the database, for the second connection.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._mutex = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._pid = 0
        self._known: dict[int, str] = {}
        self._tables: Mapping[int, _Table] = {}
        self._running = ""
        self._statement_began = self._released = 0.0
        self._locks: list[_Held] = []
        self._began: dict[str, float] = {}
        self._done: dict[str, tuple[str, Revision, int, tuple[TableChange, ...]]] = {}

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Look for as long as the block lasts."""
        with contextlib.closing(connect(self._url)) as connection:
            self._known = {oid: table.name for oid, table in _tables(connection).items()}
        ended = threading.Event()
        looker = threading.Thread(target=self._look, args=(ended,), name="rehearsal", daemon=True)
        looker.start()
        try:
            yield
        finally:
            ended.set()
            looker.join()

    @property
    def revisions(self) -> tuple[WatchedRevision, ...]:
        """Return what was seen so far, in the order in which it was done."""
        return tuple(
            WatchedRevision(module, r.id, r.phase, r.summary, took_ms, self._locks_of(r.id), tables)
            for module, r, took_ms, tables in self._done.values()
        )

    def connected(self, connection: Connection) -> None:
        """See `Observer`."""
        self._connection = _driver(connection)
        self._pid = self._connection.info.backend_pid
        event.listen(connection, "before_cursor_execute", self._before)
        event.listen(connection, "after_cursor_execute", self._after)

    def starting(self, module: str, revision: Revision) -> None:
        """See `Observer`."""
        assert self._connection is not None  # noqa: S101  # `connected` comes first
        self._tables = _tables(self._connection)
        self._running = revision.id

    def finished(self, module: str, revision: Revision, duration_ms: int) -> None:
        """See `Observer`."""
        assert self._connection is not None  # noqa: S101  # `connected` comes first
        changes = tuple(_changes(self._tables, _tables(self._connection)))
        self._running = ""
        self._done[revision.id] = module, revision, duration_ms, changes

    def _before(self, connection: Connection, *_: Any) -> None:
        now = self._statement_began = time.monotonic()
        if _driver(connection).info.transaction_status == TransactionStatus.IDLE:
            self._release_all(now)
        if self._running:
            self._began.setdefault(self._running, now)

    def _after(self, connection: Connection, *_: Any) -> None:
        driver = _driver(connection)
        if driver.info.transaction_status != TransactionStatus.IDLE:
            asked = time.monotonic()
            self._note(driver.execute(_LOCKS, (driver.info.backend_pid,)).fetchall(), asked)

    def _look(self, ended: threading.Event) -> None:
        with contextlib.closing(connect(self._url)) as connection:
            while not ended.wait(LOOK_SECONDS):
                if self._pid:
                    asked = time.monotonic()
                    self._note(connection.execute(_LOCKS, (self._pid,)).fetchall(), asked)

    def _note(self, seen: list[tuple[Any, ...]], asked: float) -> None:
        """Compare what somebody saw who asked then with what is known; two ask, and answers may overtake each other."""
        with self._mutex:
            if asked < self._released:
                return
            held = {(lock.relation, lock.mode): lock for lock in self._locks if lock.until is None}
            there = {(self._known[oid], _MODES.get(mode, mode)) for oid, mode in seen if oid in self._known}
            for key in there - held.keys():
                if self._running:
                    self._locks.append(_Held(self._running, *key, since=self._statement_began, seen=asked))
            for key in there & held.keys():
                held[key].seen = max(held[key].seen, asked)
            for key in held.keys() - there:
                if held[key].seen < asked:
                    held[key].until = asked

    def _release_all(self, now: float) -> None:
        """End what the transaction before this statement held."""
        with self._mutex:
            self._released = now
            for lock in self._locks:
                lock.until = lock.until or now

    def _locks_of(self, revision: str) -> tuple[Lock, ...]:
        now, found = time.monotonic(), dict[tuple[str, str], Lock]()
        began = self._began.get(revision, now)
        for lock in self._locks:
            ended = lock.until or now
            is_inherited = lock.revision != revision and lock.since < began < ended
            if is_inherited or lock.revision == revision:
                held_ms = round((ended - max(lock.since, began)) * 1000)
                one = Lock(lock.relation, lock.mode, STOPS.get(lock.mode), held_ms, lock.revision)
                key = lock.relation, lock.mode
                found[key] = max(found.get(key, one), one, key=lambda lock: lock.held_ms)
        return tuple(sorted(found.values(), key=lambda lock: (lock.relation, -_STRENGTH.index(lock.mode))))


_STRENGTH: Final = (
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
"""Modes as PostgreSQL's manual lists them, the weakest first."""

_MODES: Final = {f"{mode.title().replace(' ', '')}Lock": mode for mode in _STRENGTH}

_LOCKS: Final[LiteralString] = (
    "SELECT relation::bigint, mode FROM pg_locks WHERE pid = %s AND granted AND locktype = 'relation'"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

_TABLES: Final[LiteralString] = (
    "SELECT c.oid::bigint, n.nspname || '.' || c.relname, pg_relation_filenode(c.oid)::bigint,"
    " pg_total_relation_size(c.oid), greatest(c.reltuples, 0)::bigint,"
    # what is counted already, and what this session has not handed in yet
    " coalesce(s.n_tup_ins, 0) + pg_stat_get_xact_tuples_inserted(c.oid),"
    " coalesce(s.n_tup_upd, 0) + pg_stat_get_xact_tuples_updated(c.oid),"
    " coalesce(s.n_tup_del, 0) + pg_stat_get_xact_tuples_deleted(c.oid)"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid"
    " WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    " AND NOT (c.relname = 'alembic_version' OR (n.nspname = 'platform' AND c.relname = 'migrations'))"
)
"""Every table but those in which the migrator keeps its own books."""


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101  # `working_connection` makes no others
    return driver


def _tables(connection: psycopg.Connection[Any]) -> Mapping[int, _Table]:
    return {row[0]: _Table(*row[1:]) for row in connection.execute(_TABLES).fetchall()}


def _changes(before: Mapping[int, _Table], after: Mapping[int, _Table]) -> Iterator[TableChange]:
    nothing = _Table("", None, 0, 0, 0, 0, 0)
    for oid in sorted({*before, *after}, key=lambda oid: (after.get(oid) or before[oid]).name):
        old, new = before.get(oid, nothing), after.get(oid)
        if new is None:
            yield TableChange(old.name, 0, 0, 0, 0, old.bytes, 0)
            continue
        is_rewritten = oid in before and old.file != new.file
        change = TableChange(
            new.name,
            new.inserted - old.inserted,
            new.updated - old.updated,
            new.deleted - old.deleted,
            old.rows if is_rewritten else 0,
            old.bytes,
            new.bytes,
        )
        if change.is_one:
            yield change
