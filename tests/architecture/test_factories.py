"""The test kit has a factory for each aggregate of each shipped module, and each makes one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from courses.testing import enrol, make_course
from file_management.testing import begin_upload, make_folder, upload
from notification.testing import announce, register_device, set_preferences, write_template
from orders.testing import buy, running_gateway
from platform_core.db import AggregateMap
from platform_core.testing import PlatformFactory
from posts.testing import add_comment as say
from posts.testing import make_post
from project_management.testing import (
    add_comment,
    log_time,
    make_project,
    make_task,
    record_expense,
    set_milestone,
)
from user_management.testing import essentials, make_role, sign_up

SHIPPED = {path.parent.name for path in Path(__file__).parents[2].glob("plugins/*/pyproject.toml")}

MODULES = [
    "user_management",
    "notification",
    "file_management",
    "project_management",
    "courses",
    "orders",
    "posts",
]


def aggregates(module: str) -> Iterator[AggregateMap]:
    """Yield what the infrastructure of a module maps."""
    room = importlib.import_module(f"{module}.infrastructure")
    further = pkgutil.walk_packages(getattr(room, "__path__", ()), f"{room.__name__}.")
    found = [room, *(importlib.import_module(one.name) for one in further)]
    for one in found:
        yield from (value for value in vars(one).values() if isinstance(value, AggregateMap))


@pytest.mark.parametrize("module", sorted(SHIPPED))
def test_each_aggregate_has_a_factory(module: str) -> None:
    testing = importlib.import_module(f"{module}.testing")
    assert testing.FACTORIES.keys() == {mapping.name for mapping in aggregates(module)}


async def test_each_factory_makes_one(platform: PlatformFactory) -> None:
    async with running_gateway() as gateway:
        settings = {"PAYMENT_GATEWAY_URL": gateway.url}
        async with platform(MODULES, seed=essentials, settings=settings) as p:
            root, eve = await sign_up(p, "root", permissions=["*"]), await sign_up(p, "eve")
            await make_role(p, permissions=["users:read"])
            await announce(p, eve.id)
            await set_preferences(eve.client, push=True)
            await write_template(root.client, "user_management.password_changed")
            await register_device(eve.client)
            project = await make_project(eve.client)
            task = await make_task(eve.client, project)
            await add_comment(eve.client, task)
            await log_time(eve.client, task)
            await record_expense(eve.client, project)
            await set_milestone(eve.client, project)
            await upload(eve.client)
            await make_folder(eve.client)
            await begin_upload(eve.client, 5)
            course = await make_course(p)
            await enrol(p, course, root.id)
            await buy(eve.client, course)
            await say(eve.client, await make_post(eve.client))
            for module in MODULES:
                for mapping in aggregates(module):
                    [row] = await p.sql(f"SELECT count(*) FROM {mapping.table.fullname}")
                    assert row["count"] > 0, f"no {mapping.name} was made"
