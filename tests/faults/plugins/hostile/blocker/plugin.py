"""Keeps the event loop to itself: for a moment in a route and a handler, and for ever where somebody is called so."""

from __future__ import annotations

import time
from collections.abc import Sequence

from platform_core import hookimpl
from platform_core.declarations import Retry, Subscription, on
from platform_core.http import Router
from user_management import UserRegistered

router = Router()


@router.get("/blocker/{identity}", public=True, summary="Block for a moment")
async def block(identity: str) -> str:
    time.sleep(0.5)  # noqa: ASYNC251  # that is the crime
    return identity


async def hear(event: UserRegistered) -> None:
    end = time.monotonic() + (600 if event.username == "forever" else 0.5)
    while time.monotonic() < end:
        pass


@hookimpl
def register_routes() -> Sequence[Router]:
    return [router]


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    return [on(UserRegistered, hear, name="blocker.hear", retry=Retry(attempts_count=2, first_seconds=0.1))]
