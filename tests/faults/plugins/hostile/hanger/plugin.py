"""Never comes back: from a route, from a handler, from a health check."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from platform_core import hookimpl
from platform_core.declarations import HealthCheck, Retry, Subscription, on
from platform_core.http import Router
from user_management import UserRegistered

router = Router()


@router.get("/hanger", public=True, summary="Hang")
async def hang() -> str:
    await asyncio.Event().wait()
    return "never"


async def hear(event: UserRegistered) -> None:
    await asyncio.Event().wait()


async def check() -> None:
    await asyncio.Event().wait()


@hookimpl
def register_routes() -> Sequence[Router]:
    return [router]


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    retry = Retry(attempts_count=2, first_seconds=0.1)
    return [on(UserRegistered, hear, name="hanger.hear", retry=retry, timeout_seconds=2)]


@hookimpl
def register_health_checks() -> Sequence[HealthCheck]:
    return [HealthCheck(name="hanger", check=check, timeout_seconds=0.5)]
