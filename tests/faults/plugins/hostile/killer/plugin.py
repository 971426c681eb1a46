"""Kills the process that it runs in."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from platform_core import hookimpl
from platform_core.declarations import Retry, Subscription, on
from platform_core.http import Router
from user_management import UserRegistered

router = Router()


@router.post("/killer", public=True, summary="Kill the process that answers")
async def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def hear(event: UserRegistered) -> None:
    if event.username == "victim":
        os.kill(os.getpid(), signal.SIGKILL)


@hookimpl
def register_routes() -> Sequence[Router]:
    return [router]


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    return [on(UserRegistered, hear, name="killer.hear", retry=Retry(attempts_count=3, first_seconds=0.1))]
