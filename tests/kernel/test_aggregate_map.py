"""How an aggregate becomes rows and comes back."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from sqlalchemy import Column, Table, Text

from platform_core.db import AggregateMap, aggregate_columns, module_metadata
from platform_core.domain import Aggregate, new_id

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass(frozen=True)
class Colour:
    text: str

    def __post_init__(self) -> None:
        if not self.text.startswith("#"):
            raise ValueError(f"{self.text!r} is no colour")

    def __str__(self) -> str:
        return self.text


@dataclass(eq=False, kw_only=True)
class Shelf(Aggregate):
    colour: Colour | None


SHELVES = AggregateMap(
    Shelf,
    Table("shelves", module_metadata("shelving"), *aggregate_columns(), Column("colour", Text)),
    name="shelving.shelf",
    convert={"colour": (str, Colour)},
)


@pytest.mark.parametrize(("value", "stored"), [(Colour("#fff"), "#fff"), (None, None)])
def test_a_value_object_is_a_column_and_a_missing_one_is_null(
    value: Colour | None, stored: str | None
) -> None:
    shelf = Shelf(id=new_id(), created_at=NOW, updated_at=NOW, colour=value)
    [row] = SHELVES.rows(shelf).values()
    assert row.values["colour"] == stored
    assert SHELVES.build(row.values).colour == value
