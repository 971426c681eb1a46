"""Row 47, the owner's part of it: everything that somebody made, asked for by them and by another member."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from attacks import API, Operation, operations
from test_authorization import ANYBODY, TABLE

from courses.testing import make_course
from file_management.testing import begin_upload, make_folder, picture, upload
from notification.testing import announce, register_device
from orders.testing import buy, running_gateway
from platform_core.testing import PlatformFactory, RunningPlatform
from posts.testing import make_post
from project_management.testing import add_comment, make_project, make_task
from user_management.testing import Account, essentials, log_in, sign_up

MODULES = [
    "user_management",
    "notification",
    "file_management",
    "project_management",
    "courses",
    "orders",
    "posts",
]
EVERYBODYS = {"GET /api/v1/courses/{course_id}"}
"""What is there for every member, whoever made it."""

Maker = Callable[[RunningPlatform, Account], Awaitable[Any]]
NUMBERS = itertools.count(1)


async def _notification(p: RunningPlatform, owner: Account) -> Any:
    await announce(p, owner.id)
    return (await owner.client.get(f"{API}/notifications")).json()["items"][0]


async def _session(p: RunningPlatform, owner: Account) -> Any:
    other = await log_in(p, owner.email)
    listed = (await other.client.get(f"{API}/auth/sessions")).json()["items"]
    return next(one for one in listed if one["current"])


async def _task(p: RunningPlatform, owner: Account) -> Any:
    return await make_task(owner.client, await make_project(owner.client))


async def _comment(p: RunningPlatform, owner: Account) -> Any:
    return await add_comment(owner.client, await _task(p, owner))


async def _order(p: RunningPlatform, owner: Account) -> Any:
    return await buy(owner.client, await make_course(p))


async def _course(p: RunningPlatform, owner: Account) -> Any:
    return {"id": (await make_course(p)).id}


async def _upload(p: RunningPlatform, owner: Account) -> Any:
    return {"id": (await begin_upload(owner.client, 50, f"{next(NUMBERS)}.bin")).rpartition("/")[2]}


async def _themselves(p: RunningPlatform, owner: Account) -> Any:
    return {"id": owner.id}


async def _first(p: RunningPlatform, owner: Account) -> Any:
    return {"id": 1}


MAKERS: dict[str, Maker] = {
    "comment_id": _comment,
    "course_id": _course,
    "device_id": lambda p, owner: register_device(owner.client, f"https://push.example.com/{next(NUMBERS)}"),
    "file_id": lambda p, owner: upload(owner.client, f"{next(NUMBERS)}.jpg", picture()),
    "folder_id": lambda p, owner: make_folder(owner.client, f"{next(NUMBERS)}"),
    "notification_id": _notification,
    "number": _first,
    "order_id": _order,
    "post_id": lambda p, owner: make_post(owner.client, publish=False),
    "project_id": lambda p, owner: make_project(owner.client),
    "session_id": _session,
    "task_id": _task,
    "upload_id": _upload,
    "user_id": _themselves,
}
"""Name of a parameter of a path → what makes one that belongs to somebody."""


async def path_to(p: RunningPlatform, owner: Account, operation: Operation) -> str:
    """Return the path to something of the owner's, made anew: the request before may have deleted it."""
    path = operation.template
    for name, maker in MAKERS.items():
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", str((await maker(p, owner))["id"]))
    assert "{" not in path, f"nobody makes one for {operation}"
    return path


async def test_row_47_the_owner_gets_in_and_another_member_finds_nothing(platform: PlatformFactory) -> None:
    """Every route that names something by its id; whoever may not, learns nothing about the body either."""
    async with (
        running_gateway() as gateway,
        platform(MODULES, seed=essentials, settings={"PAYMENT_GATEWAY_URL": gateway.url}) as p,
    ):
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        asked = [
            operation
            for operation in await operations(p)
            if "{" in operation.template and TABLE[str(operation)] == ANYBODY
        ]
        assert len(asked) > 50
        wrong = []
        for operation in asked:
            path = await path_to(p, eve, operation)
            body = {} if operation.body is None else {"json": {"nonsense": 1}}
            if path.endswith("/thumbnail"):
                await p.deliver()
            others = await ben.client.request(operation.method, path, **body)
            owners = await eve.client.request(operation.method, path, **body)
            if (others.status_code in (403, 404)) == (str(operation) in EVERYBODYS):
                wrong.append((str(operation), "another member", others.status_code))
            if owners.status_code in (401, 403, 404) or owners.status_code >= 500:
                wrong.append((str(operation), "the owner", owners.status_code))
        assert wrong == []
