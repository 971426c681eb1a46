"""
From a SQLAlchemy statement to what goes over the wire; private to the kernel.

SQLAlchemy writes the SQL, psycopg sends it. What lies between them in SQLAlchemy (greenlets, execution contexts, result
objects) took longer than PostgreSQL does, so it is left out (`docs/decisions/0012-sqlalchemy-writes-psycopg-sends.md`).
"""

from __future__ import annotations

import functools
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Float, Numeric
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import LRUCache

from platform_core.errors import PlatformError

Values = Mapping[str, Any]

DIALECT: Any = PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy

_PLACEHOLDER = re.compile(r"%%|%\(([^)]+)\)s")
_COMPILED_COUNT = 1000


@functools.lru_cache(maxsize=4096)
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """
    Turn `%(name)s` into `$1`, as PostgreSQL itself counts.

    Returns: the text, and the names in the order of their numbers.
    """
    names: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        name = found[1]
        return "%" if name is None else f"${names.setdefault(name, len(names) + 1)}"

    return _PLACEHOLDER.sub(number, sql), tuple(names)


@dataclass(slots=True)
class Written:
    """
    A statement that is ready to be sent, or to become a part of a larger one.

    Attributes:
        sql: parameters are named `%(name)s`.
        values: as psycopg takes them.
        columns: names of the columns of its rows; None when only PostgreSQL knows them.
        loaders: what has to be done to some columns of each row.
    """

    sql: str
    values: Values
    columns: tuple[str, ...] | None = None
    loaders: tuple[tuple[str, Callable[[Any], Any]], ...] = ()


class _Compiled:
    """One compiled statement, and everything about it that does not change with its values."""

    def __init__(self, compiled: SQLCompiler) -> None:
        self._compiled = compiled
        self._processors: dict[str, Callable[[Any], Any]] = dict(compiled._bind_processors)  # type: ignore[arg-type]  # flat but for tuples, which no dialect of PostgreSQL has
        self._expands = bool(compiled.post_compile_params or compiled.literal_execute_params)
        columns = compiled._result_columns
        self.columns = tuple(column.keyname for column in columns) or None
        self.loaders = tuple(
            (column.keyname, loader) for column in columns if (loader := _loader(column.type)) is not None
        )
        if compiled.insert_prefetch or compiled.update_prefetch:
            raise PlatformError("a column's default is made by Python; give the value, or a server default")
        # what it was made of is not needed any more, and would keep each statement that was made for one call alive
        compiled.statement = compiled.compile_state = None

    def write(self, values: Values | None, literals: Any) -> Written:
        """Fill in values: those of the call, and the literals that stand in the statement itself."""
        params = self._compiled.construct_params(values, extracted_parameters=literals, escape_names=False)
        sql, processors = self._compiled.string, self._processors
        if self._expands:  # `IN (…)` has as many parameters as values
            expanded = self._compiled._process_parameters_for_postcompile(params)
            sql, params = expanded.statement, {**params, **expanded.parameters}
            processors = {**processors, **expanded.processors}
        for name, process in processors.items():
            if name in params:
                params[name] = process(params[name])
        return Written(sql, params, self.columns, self.loaders)


def _loader(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    if isinstance(kind, Numeric | Float):
        return None  # psycopg gives a Decimal or a float by itself; SQLAlchemy would want to see its cursor
    return kind.dialect_impl(DIALECT).result_processor(DIALECT, None)


_compiled: LRUCache[Any, Any] = LRUCache(_COMPILED_COUNT)
_constants: weakref.WeakKeyDictionary[Executable, tuple[_Compiled, Any]] = weakref.WeakKeyDictionary()


def written(statement: Executable | str, values: Values | None = None) -> Written:
    """
    Return a statement as it is sent.

    One that is made once and given its values by `bindparam` costs next to nothing; one that is put together anew each
    time is compiled once, but making and recognising it takes longer than PostgreSQL needs for an answer.

    Args:
        statement: of SQLAlchemy, or SQL with parameters named `%(name)s`.
    """
    if isinstance(statement, str):
        return Written(statement, values or {})
    known = _constants.get(statement)
    if known is None:
        known = _constants[statement] = _compile(statement)
    compiled, literals = known
    return compiled.write(values, literals)


def _compile(statement: Any) -> tuple[_Compiled, Any]:
    key = statement._generate_cache_key()
    found = _compiled.get(key.key) if key is not None else None
    if found is None:
        # no column keys: what an INSERT or UPDATE sets is in the statement itself, never in the values of the call
        found = _Compiled(statement._compiler(DIALECT, cache_key=key, column_keys=[]))
        if key is not None:
            _compiled[key.key] = found
    return found, None if key is None else key.bindparams


def ordered(names: Sequence[str], values: Values) -> list[Any]:
    """Return the values in the order of their numbers."""
    return [values[name] for name in names]
