"""Statements: written by SQLAlchemy once, sent by psycopg."""

import gc
import weakref

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, bindparam, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from platform_core._statements import _constants, numbered, written
from platform_core.errors import PlatformError

things = Table("things", MetaData(), Column("id", Integer), Column("size", Integer), Column("more", JSONB))


def test_parameters_are_numbered_by_name_and_percent_signs_stay() -> None:
    sql, names = numbered("SELECT %(a)s, %(b)s, %(a)s WHERE x LIKE '50%%'")
    assert (sql, names) == ("SELECT $1, $2, $1 WHERE x LIKE '50%'", ("a", "b"))


def test_a_statement_made_once_takes_its_values_with_each_call() -> None:
    statement = select(things.c.id).where(things.c.size == bindparam("size"))
    first, second = written(statement, {"size": 1}), written(statement, {"size": 2})
    assert first.sql == second.sql
    assert (first.values["size"], second.values["size"]) == (1, 2)
    assert first.columns == ("id",)


def test_statements_that_differ_in_their_literals_only_are_the_same_text() -> None:
    first, second = (written(select(things.c.id).where(things.c.size == size)) for size in (1, 2))
    assert first.sql == second.sql
    assert (list(first.values.values()), list(second.values.values())) == ([1], [2])


def test_a_list_of_values_has_a_parameter_for_each() -> None:
    ready = written(select(things.c.id).where(things.c.id.in_([4, 5, 6])))
    sql, names = numbered(ready.sql)
    assert "IN ($1" in sql
    assert [ready.values[name] for name in names] == [4, 5, 6]


def test_values_are_converted_as_their_columns_say() -> None:
    ready = written(insert(things).values(id=1, more={"a": 1}))
    assert type(ready.values["more"]).__name__ == "Jsonb"
    assert written(update(things).values(size=things.c.size + 1)).sql.startswith("UPDATE things SET size=")


def test_plain_text_takes_values_by_name() -> None:
    assert written(text("SELECT :a"), {"a": 1}).values == {"a": 1}


def test_a_default_that_python_would_have_to_make_is_refused() -> None:
    made = Table("made", MetaData(), Column("id", Integer), Column("kind", Integer, default=lambda: 1))
    with pytest.raises(PlatformError, match="give the value, or a server default"):
        written(insert(made).values(id=1))


def test_a_statement_made_for_one_call_is_forgotten_with_it() -> None:
    statement = select(things.c.id).where(things.c.size == 987, things.c.id == 1)
    written(statement)
    gone, before = weakref.ref(statement), len(_constants)
    del statement
    gc.collect()
    assert gone() is None
    assert len(_constants) < before
