"""A module of ordinary size, written by a program: one table, five routes, three event handlers."""

from __future__ import annotations

from typing import Final

from platform_core.testing import PluginSource

_MANIFEST: Final = 'title = "Generated"\nboot = "optional"\npaths = ["/NAME"]\nconsumes = ["NAME"]\n'

_PLUGIN: Final = """
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar
from uuid import UUID

from annotated_types import Len
from sqlalchemy import Column, Table, Text, bindparam, delete, insert, select, update, Uuid

from platform_core import hookimpl
from platform_core.db import Reads, UnitOfWork, module_metadata
from platform_core.declarations import Migrations, Services, on
from platform_core.domain import Command, Event, Page, PageRequest, Query, new_id
from platform_core.errors import NotFound
from platform_core.http import Ask, Execute, PageParams, Router
from platform_core.ports import Outbox

METADATA = module_metadata("NAME")
things = Table("things", METADATA, Column("id", Uuid, primary_key=True), Column("text", Text, nullable=False))
ONE = select(things).where(things.c.id == bindparam("id"))
ALL = select(things)


@dataclass(frozen=True)
class ThingView:
    id: UUID
    text: str


@dataclass(frozen=True, kw_only=True)
class Made(Event):
    wire_name: ClassVar[str] = "NAME.made"
    thing_id: UUID


@dataclass(frozen=True, kw_only=True)
class Changed(Event):
    wire_name: ClassVar[str] = "NAME.changed"
    thing_id: UUID


@dataclass(frozen=True, kw_only=True)
class Removed(Event):
    wire_name: ClassVar[str] = "NAME.removed"
    thing_id: UUID


@dataclass(frozen=True, kw_only=True)
class Make(Command[ThingView]):
    text: Annotated[str, Len(1, 200)]


@dataclass(frozen=True, kw_only=True)
class Change(Command[ThingView]):
    thing_id: UUID
    text: Annotated[str, Len(1, 200)]


@dataclass(frozen=True, kw_only=True)
class Remove(Command[None]):
    thing_id: UUID


@dataclass(frozen=True, kw_only=True)
class Get(Query[ThingView]):
    thing_id: UUID


@dataclass(frozen=True, kw_only=True)
class List(Query[Page[ThingView]]):
    page: PageRequest


async def make(command: Make, uow: UnitOfWork, outbox: Outbox) -> ThingView:
    view = ThingView(new_id(), command.text)
    uow.write(insert(things).values(id=view.id, text=view.text))
    outbox.emit(Made(thing_id=view.id), aggregate_type="NAME.thing", aggregate_id=view.id)
    return view


async def change(command: Change, uow: UnitOfWork, outbox: Outbox) -> ThingView:
    statement = update(things).where(things.c.id == command.thing_id).values(text=command.text)
    uow.write(statement, expect=1, otherwise=NotFound)
    outbox.emit(Changed(thing_id=command.thing_id), aggregate_type="NAME.thing", aggregate_id=command.thing_id)
    return ThingView(command.thing_id, command.text)


async def remove(command: Remove, uow: UnitOfWork, outbox: Outbox) -> None:
    uow.write(delete(things).where(things.c.id == command.thing_id), expect=1, otherwise=NotFound)
    outbox.emit(Removed(thing_id=command.thing_id), aggregate_type="NAME.thing", aggregate_id=command.thing_id)


async def get(query: Get, reads: Reads) -> ThingView:
    row = await reads.one(ONE, {"id": query.thing_id})
    if row is None:
        raise NotFound
    return ThingView(**row)


async def list_(query: List, reads: Reads) -> Page[ThingView]:
    return await reads.page(ALL, query.page, lambda row: ThingView(**row), order=(things.c.id,))


async def after_made(event: Made, uow: UnitOfWork) -> None:
    pass


async def after_changed(event: Changed, uow: UnitOfWork) -> None:
    pass


async def after_removed(event: Removed, uow: UnitOfWork) -> None:
    pass


router = Router()


@router.get("/NAME")
async def list_route(page: PageParams, ask: Ask) -> Page[ThingView]:
    return await ask(List(page=page))


@router.get("/NAME/{thing_id}", raises=(NotFound,))
async def get_route(thing_id: UUID, ask: Ask) -> ThingView:
    return await ask(Get(thing_id=thing_id))


@router.post("/NAME", status_code=201)
async def make_route(command: Make, execute: Execute) -> ThingView:
    return await execute(command)


@router.put("/NAME/{thing_id}", raises=(NotFound,))
async def change_route(thing_id: UUID, command: Make, execute: Execute) -> ThingView:
    return await execute(Change(thing_id=thing_id, text=command.text))


@router.delete("/NAME/{thing_id}", raises=(NotFound,))
async def remove_route(thing_id: UUID, execute: Execute) -> None:
    await execute(Remove(thing_id=thing_id))


@hookimpl
def register_services():
    return Services(commands={Make: make, Change: change, Remove: remove}, queries={Get: get, List: list_})


@hookimpl
def register_routes():
    return [router]


@hookimpl
def register_event_handlers():
    return [
        on(Made, after_made, name="NAME.after_made"),
        on(Changed, after_changed, name="NAME.after_changed"),
        on(Removed, after_removed, name="NAME.after_removed"),
    ]


@hookimpl
def register_migrations():
    return Migrations(Path(__file__).parent / "migrations" / "versions", METADATA)
"""

_REVISION: Final = '''"""
create things
"""

import sqlalchemy as sa
from alembic import op

revision = "NAME_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "things",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_things")),
        schema="NAME",
    )


def downgrade() -> None:
    op.drop_table("things", schema="NAME")
'''


def module(number: int) -> PluginSource:
    """Return the nth generated module."""
    name = f"module_{number:03}"
    files = {
        "plugin.py": _PLUGIN,
        f"migrations/versions/20261125_0900_{name}_create_things.py": _REVISION,
    }
    return PluginSource(
        name=name,
        files={path: text.replace("NAME", name) for path, text in files.items()},
        manifest=_MANIFEST.replace("NAME", name),
    )
