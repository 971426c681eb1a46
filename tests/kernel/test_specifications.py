"""A rule means the same asked of an object and translated to SQL, NULLs and negations included."""

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Integer, MetaData, Table, Text, create_engine, insert, select

from platform_core.db import where
from platform_core.domain import Specification, Where

METADATA = MetaData()
things = Table(
    "things",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("maybe", Integer),
    # compared by code point, as Python compares
    Column("name", Text(collation="C")),
    Column("flag", Boolean),
)


@dataclass(frozen=True)
class Thing:
    id: int
    number: int
    maybe: int | None
    name: str | None
    flag: bool | None


numbers = st.integers(-3, 3)
names = st.text("abAB%_\\é", max_size=4)
rows = st.lists(
    st.tuples(numbers, st.none() | numbers, st.none() | names, st.none() | st.booleans()),
    min_size=1,
    max_size=8,
)
equality = st.sampled_from(["==", "!="])
order = st.sampled_from(["<", "<=", ">", ">="])
leaves: st.SearchStrategy[Specification[Thing]] = st.one_of(
    st.builds(Where, st.sampled_from(["number", "maybe"]), equality | order, numbers),
    st.builds(Where, st.sampled_from(["number", "maybe"]), st.just("in"), st.frozensets(numbers, max_size=3)),
    st.builds(Where, st.just("name"), equality | order | st.just("contains"), names),
    st.builds(Where, st.just("name"), st.just("in"), st.frozensets(names, max_size=3)),
    st.builds(Where, st.just("flag"), equality, st.booleans()),
    st.builds(Where, st.sampled_from(["maybe", "name", "flag"]), equality, st.none()),
)
rules = st.recursive(
    leaves,
    lambda rule: st.one_of(
        st.tuples(rule, rule).map(lambda pair: pair[0] & pair[1]),
        st.tuples(rule, rule).map(lambda pair: pair[0] | pair[1]),
        rule.map(lambda inner: ~inner),
    ),
    max_leaves=6,
)


def test_a_rule_finds_in_sql_exactly_what_satisfies_it_in_python(fresh_database_url: str) -> None:
    engine = create_engine(fresh_database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        METADATA.create_all(connection)

        @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(rows, rules)
        def agrees(
            values: list[tuple[int, int | None, str | None, bool | None]], rule: Specification[Thing]
        ) -> None:
            candidates = [Thing(number, *value) for number, value in enumerate(values)]
            with connection.begin_nested() as savepoint:
                connection.execute(insert(things), [vars(thing) for thing in candidates])
                found = set(connection.scalars(select(things.c.id).where(where(rule, things))))
                savepoint.rollback()
            assert found == {thing.id for thing in candidates if rule.is_satisfied_by(thing)}

        agrees()
    engine.dispose()
