"""Raises wherever it is asked anything: in a route, in a handler, in a health check."""

from __future__ import annotations

from collections.abc import Sequence

from platform_core import hookimpl
from platform_core.declarations import HealthCheck, Retry, Subscription, on
from platform_core.http import Router
from user_management import UserRegistered

router = Router()


@router.get("/raiser", public=True, summary="Raise")
async def raise_it() -> str:
    raise ZeroDivisionError("of the route")


async def hear(event: UserRegistered) -> None:
    raise ZeroDivisionError("of the handler")


async def check() -> None:
    raise ZeroDivisionError("of the health check")


@hookimpl
def register_routes() -> Sequence[Router]:
    return [router]


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    return [on(UserRegistered, hear, name="raiser.hear", retry=Retry(attempts_count=3, first_seconds=0.1))]


@hookimpl
def register_health_checks() -> Sequence[HealthCheck]:
    return [HealthCheck(name="raiser", check=check)]
