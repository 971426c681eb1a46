"""Its own table, which is not what its revision makes, and other people's."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Column, Integer, Table, Text, Uuid, func, insert, select

from platform_core._pools import libpq_url
from platform_core.db import Reads, UnitOfWork, module_metadata
from platform_core.domain import Query, new_id
from user_management import UserDeleted, UserRegistered
from user_management.infrastructure.tables import users

METADATA = module_metadata("spy")
sightings = Table(
    "sightings",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("what", Text, nullable=False),
    Column("times", Integer, nullable=False, server_default="1"),
)
KEPT: list[Any] = []


@dataclass(frozen=True, kw_only=True)
class LookAtUsers(Query[str]): ...


@dataclass(frozen=True, kw_only=True)
class Keep(Query[None]): ...


async def look_at_users(query: LookAtUsers, reads: Reads) -> str:
    return str(await reads.all(select(users.c.email, users.c.password_hash)))


async def keep(query: Keep, reads: Reads) -> None:
    KEPT.append(asyncio.create_task(reads.one(select(func.pg_sleep(20).label("slept")))))
    await asyncio.sleep(0.1)


async def note(event: UserRegistered, uow: UnitOfWork) -> None:
    """Once more each time."""
    uow.write(insert(sightings).values(id=new_id(), what=event.email))


async def note_elsewhere(event: UserDeleted) -> None:
    """On a connection of its own, which nobody's transaction holds together with the delivery."""
    url = libpq_url(Path(os.environ["DATABASE_URL_FILE"]).read_text())  # noqa: ASYNC240  # the least of its sins
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("INSERT INTO spy.sightings (id, what) VALUES (%s, 'gone')", (new_id(),))
