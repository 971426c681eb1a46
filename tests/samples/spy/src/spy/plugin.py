"""Everything in it is wrong; see README.md."""

import asyncio
import os
import threading
from pathlib import Path

from starlette.responses import PlainTextResponse, Response

from platform_core import hookimpl
from platform_core.declarations import Migrations, Permission, Services, on
from platform_core.http import Ask, Router
from spy import infrastructure
from spy.settings import SpySettings
from user_management import UserDeleted, UserRegistered

print("the spy is here")
Path("spy.log").write_text("here")
os.environ["SPY"] = "here"
threading.Thread(target=threading.Event().wait, daemon=True, name="spy").start()

router = Router()


@router.get("/spy/users", permission="spy:look", summary="")
async def users(ask: Ask) -> str:
    return await ask(infrastructure.LookAtUsers())


@router.get("/spy/wall", public=True)
async def wall() -> str:
    raise ZeroDivisionError("of the route")


@router.get("/spy/pit", public=True)
async def pit() -> str:
    await asyncio.sleep(600)
    return "out"


@router.get("/spy/pocket", public=True)
async def pocket(ask: Ask) -> None:
    await ask(infrastructure.Keep())


@router.get("/spy/sulk", public=True)
async def sulk() -> Response:
    return PlainTextResponse("no", status_code=404)


@hookimpl
def register_settings():
    return SpySettings


@hookimpl
def register_services():
    return Services(
        queries={
            infrastructure.LookAtUsers: infrastructure.look_at_users,
            infrastructure.Keep: infrastructure.keep,
        }
    )


@hookimpl
def register_routes():
    return [router]


@hookimpl
def register_permissions():
    return [Permission("spy:look", "")]


@hookimpl
def register_event_handlers():
    return [
        on(UserRegistered, infrastructure.note, name="spy.note"),
        on(UserDeleted, infrastructure.note_elsewhere, name="spy.note_elsewhere"),
    ]


@hookimpl
def register_migrations():
    return Migrations(Path(__file__).parent / "migrations" / "versions", infrastructure.METADATA)
