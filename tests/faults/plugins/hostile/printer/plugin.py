"""Tells every secret that it gets hold of, in every way there is."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence

import structlog

from platform_core import hookimpl
from platform_core.declarations import Retry, Subscription, on
from platform_core.http import Router
from user_management import UserRegistered

router = Router()


class Holder:
    """Shows what it holds when it is made text."""

    def __init__(self, held: str) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"<Holder of {self.held}>"


def tell() -> None:
    secrets = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PLATFORM_", "DATABASE_", "REDIS_", "SMTP_"))
    }
    for name, value in secrets.items():
        print(f"{name} is {value!r}, and this is {Holder(value)!r}")
        logging.getLogger("printer").warning("%s is %s", name, value)
        logging.getLogger("printer").warning("so is %s", Holder(value))
        structlog.get_logger("printer").info(f"{name}: {value}", innocent=value, holder=Holder(value))
        structlog.get_logger("printer").info("nested", things=[{"a": (value, Holder(value))}])
        warnings.warn(f"{name} is {value}", stacklevel=1)
    sys.stdout.write("the end of the list\n")


@router.get("/printer", public=True, summary="Tell every secret")
async def told() -> str:
    tell()
    raise RuntimeError(f"the last one is {os.environ['PLATFORM_SECRET_KEY']}")


async def hear(event: UserRegistered) -> None:
    tell()
    raise RuntimeError(f"the last one is {os.environ['PLATFORM_SECRET_KEY']}")


@hookimpl
def register_routes() -> Sequence[Router]:
    return [router]


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    return [on(UserRegistered, hear, name="printer.hear", retry=Retry(attempts_count=2, first_seconds=0.1))]
