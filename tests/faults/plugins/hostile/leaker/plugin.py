"""Takes connections to the database and does not give them back for as long as it can."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from platform_core import hookimpl
from platform_core.db import Reads, UnitOfWork
from platform_core.declarations import Retry, Services, Subscription, on
from platform_core.domain import Command, Query
from platform_core.http import Ask, Execute, Router
from user_management import UserRegistered

SLEEP = select(func.pg_sleep(6).label("slept"))

router = Router()
kept: list[asyncio.Task[object]] = []


@dataclass(frozen=True, kw_only=True)
class Keep(Query[None]):
    pass


@dataclass(frozen=True, kw_only=True)
class KeepMore(Command[None]):
    pass


async def keep(query: Keep, reads: Reads) -> None:
    await reads.one(SLEEP)


async def keep_more(command: KeepMore, uow: UnitOfWork) -> None:
    await uow.fetch_one(SLEEP)


@router.get("/leaker", public=True, summary="Keep a connection for reading")
async def read(ask: Ask) -> None:
    await ask(Keep())


@router.post("/leaker", public=True, summary="Keep a connection for writing")
async def write(execute: Execute) -> None:
    await execute(KeepMore())


async def hear(event: UserRegistered, reads: Reads) -> None:
    kept.extend(asyncio.create_task(reads.one(SLEEP)) for _ in range(100))


@hookimpl
def register_services() -> Services:
    return Services(commands={KeepMore: keep_more}, queries={Keep: keep})


@hookimpl
def register_routes() -> Sequence[Router]:
    return [router]


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    return [on(UserRegistered, hear, name="leaker.hear", retry=Retry(attempts_count=2, first_seconds=0.1))]
