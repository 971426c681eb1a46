"""What a projection may say of itself, and what its handlers may not do; the rest is tested with `posts`."""

from __future__ import annotations

from typing import Any

import pytest

from platform_core._uow import SqlUnitOfWork
from platform_core.clock import SystemClock
from platform_core.context import Context
from platform_core.domain import new_id
from platform_core.errors import PlatformError
from platform_core.testing import PluginSource

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
from sqlalchemy import Column, MetaData, Table, Uuid
from platform_core import hookimpl
from platform_core.declarations import Projection, ProjectionTable, on
from platform_core.domain import Event

@dataclass(frozen=True, kw_only=True)
class Seen(Event):
    wire_name: ClassVar[str] = "birds.seen"

async def show(event: Seen) -> None:
    pass

own = Table("sightings", MetaData(schema="birds"), Column("id", Uuid))
foreign = Table("users", MetaData(schema="people"), Column("id", Uuid))
handler = on(Seen, show, name="birds.show")

@hookimpl
def register_projections():
    return [Projection(PROJECTION)]
"""

GOOD = 'name="birds", tables=[ProjectionTable(table=own, key="id")], handlers=[handler]'


def birds(projection: str) -> PluginSource:
    return PluginSource(
        name="birds",
        manifest='title = "Birds"\nboot = "optional"\n',
        files={"plugin.py": PLUGIN.replace("PROJECTION", projection)},
    )


def test_its_handlers_are_subscriptions_as_any_other(load: Any) -> None:
    kernel = load(birds(GOOD))
    assert list(kernel.replays.projections) == ["birds"]
    assert list(kernel.bus.subscribers) == ["birds.show"]
    [module] = [module for module in kernel.modules() if module.name == "birds"]
    assert (module.contributes["projections"], module.contributes["event_handlers"]) == (1, 1)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('name="birds"', 'name="bees.all"'), "does not begin with its own name"),
        (("table=own", "table=foreign"), "people.users, which is not in its own tables"),
        (('key="id"', 'key="bird"'), "bird, which is not in its own tables"),
        (('[ProjectionTable(table=own, key="id")]', "[]"), "no tables or handlers"),
        (("[handler]", "[]"), "no tables or handlers"),
        (("[handler]", '[handler, on(Seen, show, name="birds.again")]'), "two for the same event"),
    ],
)
def test_a_projection_that_cannot_be_made_anew_is_its_modules_failure(
    load: Any, change: tuple[str, str], problem: str
) -> None:
    kernel = load(birds(GOOD.replace(*change)))
    [plugin] = [plugin for plugin in kernel.plugins if plugin.name == "birds"]
    assert problem in str(plugin.error)
    assert kernel.replays.projections == {}


async def test_nothing_happens_because_it_is_told_again(load: Any) -> None:
    """Red when `flush` takes what is no row."""
    kernel = load(birds(GOOD))
    event = kernel.bus.subscribers["birds.show"].subscription.event()
    uow = SqlUnitOfWork(kernel.pools.commands("birds"), SystemClock(), Context())
    inner = uow.within(Context())
    inner.emit(event, aggregate_type="birds.bird", aggregate_id=new_id())
    with pytest.raises(PlatformError, match="makes no events"):
        await inner.flush()
