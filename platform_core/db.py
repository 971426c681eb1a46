"""
PostgreSQL for plugins: tables, mappings of plain domain classes, repositories, reads.

Infrastructure rooms import from here. Statements are SQLAlchemy Core; there is no ORM session, because the rows of an
aggregate are compared before and after a command and everything that changed is written by one statement
(`docs/decisions/0004-row-diff-unit-of-work.md`).
"""

from __future__ import annotations

import base64
import copy
import hmac
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar
from uuid import UUID

import orjson
import psycopg
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    column,
    func,
    not_,
    or_,
    select,
    table,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.sql import Executable
from sqlalchemy.sql.dml import UpdateBase

from platform_core._pool import PoolExhausted
from platform_core._pools import Pools, translated
from platform_core.context import current
from platform_core.domain import Aggregate, AllOf, AnyOf, Not, Page, PageRequest, Specification, Where
from platform_core.errors import DomainError, InvalidInput, NotFound, Unavailable

__all__ = [
    "AggregateMap",
    "Children",
    "Cursors",
    "Reads",
    "Repository",
    "Row",
    "UnitOfWork",
    "aggregate_columns",
    "module_metadata",
    "sagas",
    "where",
]

A = TypeVar("A", bound=Aggregate)
V = TypeVar("V")

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Constraint names are part of the code: a violated one is translated into a domain error by its name."""


def module_metadata(module: str) -> MetaData:
    """Return the metadata for a module's tables: its own schema, and names that migrations can rely on."""
    return MetaData(schema=module, naming_convention=NAMING)


def aggregate_columns() -> tuple[Column[Any], ...]:
    """Return the columns that every aggregate's table begins with: identity, version and the three times."""
    return (
        Column("id", Uuid, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("updated_at", DateTime(timezone=True), nullable=False),
        Column("deleted_at", DateTime(timezone=True)),
    )


sagas = table("sagas", column("id", Uuid), column("status", Text), column("steps", JSONB), schema="platform")
"""
What reads of a module may join of the sagas that it has started: how they stand, and each step of them.

`steps` is an array of objects with `name`, `status`, `attempts` and `error`, in order.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One row as the unit of work compares it.

    Attributes:
        table: where it lives.
        key: its primary key, column name → value.
        values: every column including the key.
    """

    table: Table
    key: Mapping[str, Any]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Children:
    """
    A set of plain values that an aggregate holds in a table of its own.

    Attributes:
        attribute: of the aggregate, a set.
        table: has the columns `parent` and `item` as its key.
        parent: column that refers to the aggregate.
        item: column that holds one member of the set.
    """

    attribute: str
    table: Table
    parent: str
    item: str


class AggregateMap(Generic[A]):
    """
    The imperative mapping between one plain aggregate class and its rows.

    Args:
        aggregate: a dataclass derived from `Aggregate`; it knows nothing of this.
        table: columns of the same names as the fields, `aggregate_columns()` among them.
        name: stored with events and in the audit trail: `user_management.user`.
        convert: field → (to the column, from the column), for value objects: `{"url": (str, WebAddress)}` keeps
            `Bookmark.url: WebAddress` as text. Neither is called with None: a value object that is missing is NULL.
        children: sets kept in tables of their own.
        secret: columns whose values the audit trail must not show.
        constraints: constraint or unique index name → the domain error that its violation means.
    """

    def __init__(
        self,
        aggregate: type[A],
        table: Table,
        *,
        name: str,
        convert: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] | None = None,
        children: Sequence[Children] = (),
        secret: Iterable[str] = (),
        constraints: Mapping[str, type[DomainError]] | None = None,
    ) -> None:
        self.aggregate, self.table, self.name = aggregate, table, name
        self.convert = dict(convert or {})
        self.children = tuple(children)
        self.secret = frozenset(secret)
        self.constraints = dict(constraints or {})
        nested = {child.attribute for child in children}
        self.fields = tuple(f.name for f in fields(aggregate) if f.init and f.name not in nested)
        missing = [name for name in self.fields if name not in table.c]
        if missing:
            raise TypeError(
                f"{table.fullname} has no column for {', '.join(missing)} of {aggregate.__name__}"
            )
        self._json = frozenset(c.name for c in table.c if isinstance(c.type, JSONB))

    @cached_property
    def by_identity(self) -> Select[Any]:
        """The statement that reads the aggregate whose id is the parameter `identity`, unless it is deleted."""
        columns = self.table.c
        return self.select().where(columns.id == bindparam("identity"), columns.deleted_at.is_(None))

    def select(self) -> Select[Any]:
        """Return the statement that reads aggregates whole, children as arrays, in one round trip."""
        return self._select

    @cached_property
    def _select(self) -> Select[Any]:
        nested = [
            select(_array_of(child.table.c[child.item]))
            .where(child.table.c[child.parent] == self.table.c.id)
            .scalar_subquery()
            .label(child.attribute)
            for child in self.children
        ]
        return select(*(self.table.c[name] for name in self.fields), *nested)

    def build(self, row: Mapping[str, Any]) -> A:
        """Make the aggregate that a row of `select()` describes."""
        values = {name: row[name] for name in self.fields}
        for name, (_, from_column) in self.convert.items():
            if values[name] is not None:
                values[name] = from_column(values[name])
        for child in self.children:
            values[child.attribute] = set(row[child.attribute] or ())
        aggregate = self.aggregate(**values)
        aggregate.mark_stored()
        return aggregate

    def rows(self, aggregate: A) -> dict[tuple[str, Any], Row]:
        """Return every row that `aggregate` amounts to now, keyed by table and identity."""
        values = {name: getattr(aggregate, name) for name in self.fields}
        for name, (to_column, _) in self.convert.items():
            if values[name] is not None:
                values[name] = to_column(values[name])
        for name in self._json:
            values[name] = copy.deepcopy(values[name])
        rows = {(self.table.fullname, aggregate.id): Row(self.table, {"id": aggregate.id}, values)}
        for child in self.children:
            for item in getattr(aggregate, child.attribute):
                key = {child.parent: aggregate.id, child.item: item}
                rows[(child.table.fullname, item)] = Row(child.table, key, key)
        return rows


def _array_of(column: Column[Any]) -> ColumnElement[Any]:
    return func.array_agg(column, type_=ARRAY(column.type))


class UnitOfWork(Protocol):
    """
    Everything that one command reads and writes; the bus commits it, handlers never do.

    Reads before a write run in autocommit, and no connection is held in between. What was tracked or queued is
    written at the end by one statement that is atomic by itself; `begin()` asks for a real transaction where rows
    must stay locked until then.
    """

    async def begin(self) -> None:
        """Open a transaction now, so that `FOR UPDATE` locks hold until the commit."""
        ...

    async def fetch_all(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Read rows on the primary database; `values` are those of its bindparams."""
        ...

    async def fetch_one(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any] | None:
        """Read the first row, or None."""
        ...

    async def execute(self, statement: UpdateBase) -> int:
        """Write at once, inside a transaction opened for it; return the number of rows."""
        ...

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
        """
        Queue an INSERT, UPDATE or DELETE for the commit.

        Args:
            statement: no RETURNING; it runs together with everything else that is written. Made once, at import,
                with `bindparam` where values go, it costs next to nothing; put together at each call, a tenth of a
                millisecond.
            values: for its `bindparam`s.
            expect: how many rows it must touch.
            otherwise: the error to raise, and nothing stored, when it touches another number.
            constraints: constraint name → the error that its violation means.
            resource: type and identity of what is written, for the audit trail.
        """
        ...

    def track(self, mapping: AggregateMap[Any], aggregate: Aggregate, *, new: bool = False) -> None:
        """Compare `aggregate` with its present rows at the commit, and write the difference."""
        ...

    def seen(self, mapping: AggregateMap[Any], identity: UUID) -> Aggregate | None:
        """Return the aggregate that was already loaded here."""
        ...


class Repository(Generic[A]):
    """
    A collection of aggregates, for commands.

    A subclass names its `mapping` and adds finders; each aggregate that it hands out is remembered in the unit of
    work, so that its events are not lost when the handler lets go of it.
    """

    mapping: ClassVar[AggregateMap[Any]]
    missing: ClassVar[type[DomainError]] = NotFound

    def __init__(self, uow: UnitOfWork) -> None:
        self.uow = uow

    def add(self, aggregate: A) -> None:
        """Keep a new aggregate; it is inserted at the commit."""
        self.uow.track(self.mapping, aggregate, new=True)

    async def get(self, identity: UUID) -> A:
        """
        Load one aggregate that is not deleted.

        Raises:
            NotFound: or the subclass's `missing`.
        """
        found = self.uow.seen(self.mapping, identity)
        if found is None:
            row = await self.uow.fetch_one(self.mapping.by_identity, {"identity": identity})
            found = None if row is None else self._remember(row)
        if found is None or found.deleted_at is not None:
            raise self.missing
        return found  # type: ignore[return-value]  # `seen` keys by mapping, so it is an A

    async def find(
        self, *conditions: ColumnElement[bool], deleted: bool = False, lock: bool = False
    ) -> A | None:
        """
        Load the one aggregate that fulfils every condition.

        Args:
            conditions: on the mapped table.
            deleted: also look among soft-deleted ones.
            lock: hold its row until the commit.
        """
        statement = self._where(conditions, deleted=deleted)
        if lock:
            await self.uow.begin()
            statement = statement.with_for_update(of=self.mapping.table)
        row = await self.uow.fetch_one(statement)
        return None if row is None else self._remember(row)

    async def find_all(self, *conditions: ColumnElement[bool], deleted: bool = False) -> list[A]:
        """Load every aggregate that fulfils the conditions; for few, lists are read by queries."""
        return [
            self._remember(row) for row in await self.uow.fetch_all(self._where(conditions, deleted=deleted))
        ]

    def _where(self, conditions: Iterable[ColumnElement[bool]], *, deleted: bool) -> Select[Any]:
        statement = self.mapping.select().where(*conditions)
        return statement if deleted else statement.where(self.mapping.table.c.deleted_at.is_(None))

    def _remember(self, row: Mapping[str, Any]) -> A:
        known = self.uow.seen(self.mapping, row["id"])
        if known is not None:
            return known  # type: ignore[return-value]  # as in `get`
        aggregate: A = self.mapping.build(row)
        self.uow.track(self.mapping, aggregate)
        return aggregate


class Cursors:
    """Signs and checks the opaque `cursor` of a list, so that nobody can ask for arbitrary positions."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encode(self, label: str, values: Sequence[Any]) -> str:
        """Return the cursor that continues after `values` in the list called `label`."""
        body = orjson.dumps(list(values))
        return base64.urlsafe_b64encode(self._sign(label, body) + body).rstrip(b"=").decode()

    def decode(self, label: str, cursor: str, columns: Sequence[ColumnElement[Any]]) -> list[Any]:
        """
        Return the values to continue after, as the types of `columns`.

        Raises:
            InvalidInput: it was not made here, or for another list.
        """
        parse: dict[type, Callable[[Any], Any]] = {
            datetime: datetime.fromisoformat,
            date: date.fromisoformat,
            UUID: UUID,
        }
        return [
            value if value is None else parse.get(column.type.python_type, lambda plain: plain)(value)
            for value, column in zip(self._open(label, cursor), columns, strict=True)
        ]

    def page_of(
        self, label: str, items: Iterable[V], request: PageRequest, key: Callable[[V], str]
    ) -> Page[V]:
        """
        Return one page of what is already in memory, by `key`.

        Args:
            label: tells this list's cursors from others'.
            key: unique, and the order.

        Raises:
            InvalidInput: the cursor was not made here, or for another list.
        """
        after = "" if request.cursor is None else self._open(label, request.cursor)[0]
        rest = sorted((item for item in items if key(item) > after), key=key)
        page = rest[: request.limit]
        return Page(page, self.encode(label, [key(page[-1])]) if len(rest) > len(page) else None)

    def _open(self, label: str, cursor: str) -> list[Any]:
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        signature, body = raw[:16], raw[16:]
        if not hmac.compare_digest(signature, self._sign(label, body)):
            raise InvalidInput.of("cursor", "is not a cursor of this list", "invalid_cursor", where="query")
        values: list[Any] = orjson.loads(body)
        return values

    def _sign(self, label: str, body: bytes) -> bytes:
        return hmac.digest(self._key, label.encode() + b"\0" + body, "sha256")[:16]


class Reads:
    """
    The read side: one statement in autocommit, rows straight to views.

    Answers come from the replica where one is configured, shows everything that the caller has written, and is there.
    Inside a command they come from the primary, because a decision must not rest on data that lags.
    """

    def __init__(self, pools: Pools, module: str, cursors: Cursors) -> None:
        self._pools, self._module, self._cursors = pools, module, cursors

    async def all(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """
        Return every row of one statement.

        Args:
            statement: best made once, at import: putting it together takes longer than PostgreSQL needs to answer.
            values: of its `bindparam`s.
        """
        replica, context = self._pools.replica, current()
        if replica is not None and not context.primary_reads and replica.serves(context):
            try:
                return await self._fetch(statement, values, primary=False)
            except psycopg.errors.QueryCanceled as error:  # it would take the primary as long
                raise Unavailable("The database is busy.", retry_after_seconds=1) from error
            except (PoolExhausted, psycopg.errors.SerializationFailure):
                pass  # busy, or what it read was cleaned up on the primary meanwhile
            except (psycopg.OperationalError, psycopg.InterfaceError, Unavailable) as error:
                replica.lost(error)
        with translated():
            return await self._fetch(statement, values, primary=True)

    async def _fetch(
        self, statement: Executable, values: Mapping[str, Any] | None, *, primary: bool
    ) -> Sequence[Mapping[str, Any]]:
        async with self._pools.reads(self._module, primary=primary).connect() as connection:
            return await connection.fetch(statement, values)

    async def one(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any] | None:
        """Return the first row of one statement, or None; arguments as for `all`."""
        rows = await self.all(statement, values)
        return rows[0] if rows else None

    async def page(
        self,
        statement: Select[Any],
        request: PageRequest,
        view: Callable[[Mapping[str, Any]], V],
        *,
        order: Sequence[ColumnElement[Any]],
        ascending: bool = False,
        values: Mapping[str, Any] | None = None,
    ) -> Page[V]:
        """
        Return one page of `statement`, newest first unless `ascending`.

        Args:
            statement: selects `order`'s columns among others, without ORDER BY or LIMIT; best made once, at import.
            request: limit and cursor.
            view: makes one item of a row.
            order: columns that are unique together, such as `(table.c.id,)` for UUIDv7 keys.
            values: of the statement's `bindparam`s.
        """
        label, paged = _paged(statement, tuple(order), ascending, request.cursor is not None)
        position: dict[str, Any] = {_LIMIT: request.limit + 1}
        if request.cursor is not None:
            after = self._cursors.decode(label, request.cursor, order)
            position |= {f"{_AFTER}{index}": value for index, value in enumerate(after)}
        rows = await self.all(paged, {**(values or {}), **position})
        items = [view(row) for row in rows[: request.limit]]
        if len(rows) <= request.limit:
            return Page(items)
        last = rows[request.limit - 1]
        return Page(items, self._cursors.encode(label, [last[str(column.key)] for column in order]))


_LIMIT, _AFTER = "page_limit", "page_after_"


_Order = tuple[ColumnElement[Any], ...]
_pages: weakref.WeakKeyDictionary[Executable, dict[tuple[_Order, bool, bool], tuple[str, Select[Any]]]]
_pages = weakref.WeakKeyDictionary()


def _paged(statement: Select[Any], order: _Order, ascending: bool, further: bool) -> tuple[str, Select[Any]]:
    """Return the list's name in its cursors, and the statement of its first page or of a further one."""
    known = _pages.setdefault(statement, {})
    made = known.get((order, ascending, further))
    if made is None:
        paged = statement.order_by(*(c.asc() if ascending else c.desc() for c in order))
        if further:
            after = tuple_(*(bindparam(f"{_AFTER}{index}", type_=c.type) for index, c in enumerate(order)))
            position = tuple_(*order)
            paged = paged.where(position > after if ascending else position < after)
        made = known[order, ascending, further] = (",".join(map(str, order)), paged.limit(bindparam(_LIMIT)))
    return made


def where(specification: Specification[Any], table: FromClause) -> ColumnElement[bool]:
    """
    Translate a rule of the domain into SQL over a table whose columns have the attributes' names.

    Args:
        table: may be an alias, where one table has two parts in a statement.
    """
    match specification:
        case Where(attribute, operator, value):
            return _compare(table.c[attribute], operator, value)
        case AllOf(parts):
            return and_(true(), *(where(part, table) for part in parts))
        case AnyOf(parts):
            return or_(not_(true()), *(where(part, table) for part in parts))
        case Not(part):
            return not_(where(part, table))
        case _:
            raise TypeError(f"{type(specification).__name__} is not made of Where, &, | and ~")


def _compare(column: ColumnElement[Any], operator: str, value: Any) -> ColumnElement[bool]:
    if operator == "!=":
        return column.is_distinct_from(value)
    if operator == "==" and value is None:
        return column.is_(None)
    comparison: ColumnElement[bool]
    if operator == "in":
        comparison = column.in_(list(value))
    elif operator == "contains":
        comparison = column.icontains(value, autoescape=True)
    else:
        comparison = column == value if operator == "==" else column.op(operator, is_comparison=True)(value)
    # NULL compares to nothing, also under `~`, exactly as None does in Python
    can_be_null = getattr(column, "nullable", True)
    return and_(comparison, column.is_not(None)) if can_be_null else comparison
