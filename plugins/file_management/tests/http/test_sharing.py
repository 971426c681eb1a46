"""Who may do what with files of others: nothing, read, or write; the rest is the owner's. Rows 48 and 49."""

from __future__ import annotations

import importlib
from typing import Any
from uuid import UUID, uuid4

import pytest

from file_management.testing import upload
from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform
from user_management.testing import Account, essentials, sign_up

API = "/api/v1/files"

CALLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", "", {}),
    ("GET", "/content", {}),
    ("GET", "/versions", {}),
    ("GET", "/versions/1/content", {}),
    ("PATCH", "", {"json": {"name": "other.txt"}}),
    ("POST", "/versions", {"files": {"file": ("a", b"other")}}),
    ("POST", "/versions/1/restore", {}),
    ("PATCH", "", {"json": {"folder_id": None}}),
    ("GET", "/permissions", {}),
    ("PUT", "/permissions/{other}", {"json": {"level": "write"}}),
    ("DELETE", "/permissions/{other}", {}),
    ("POST", "/restore", {}),
    ("DELETE", "", {}),
)
READING, WRITING = CALLS[:4], CALLS[4:7]


async def statuses(person: Account, file: dict[str, Any], other: Account) -> list[int]:
    found = []
    for method, path, arguments in CALLS:
        url = f"{API}/{file['id']}{path.replace('{other}', str(other.id))}"
        found.append((await person.client.request(method, url, **arguments)).status_code)
    return found


@pytest.fixture
async def clara(p: RunningPlatform) -> Account:
    return await sign_up(p, "clara")


async def test_row_48_a_file_of_somebody_else_is_404_whatever_is_asked_of_it(
    p: RunningPlatform, eve: Account, ben: Account, clara: Account
) -> None:
    file = await upload(eve.client)
    before = await p.sql("SELECT id FROM audit.domain_events")
    assert await statuses(ben, file, clara) == [404] * len(CALLS)
    assert await p.sql("SELECT id FROM audit.domain_events") == before
    assert (await ben.client.get(API)).json()["items"] == []


async def test_who_may_read_reads_and_changes_nothing(eve: Account, ben: Account, clara: Account) -> None:
    file = await upload(eve.client)
    shared = await eve.client.put(f"{API}/{file['id']}/permissions/{ben.id}", json={"level": "read"})
    assert shared.status_code == 204
    found = await statuses(ben, file, clara)
    assert found[: len(READING)] == [200] * len(READING)
    assert found[len(READING) :] == [403] * (len(CALLS) - len(READING))
    assert [one["id"] for one in (await ben.client.get(API)).json()["items"]] == [file["id"]]


async def test_who_may_write_changes_the_content_and_the_name_and_nothing_else(
    eve: Account, ben: Account, clara: Account
) -> None:
    file = await upload(eve.client)
    path = f"{API}/{file['id']}/permissions"
    await eve.client.put(f"{path}/{ben.id}", json={"level": "read"})
    await eve.client.put(f"{path}/{ben.id}", json={"level": "write"})
    assert (await eve.client.get(path)).json()["items"] == [{"user_id": str(ben.id), "level": "write"}]
    found = await statuses(ben, file, clara)
    assert found[: len(READING) + len(WRITING)] == [200] * len(READING) + [200, 201, 200]
    assert found[len(READING) + len(WRITING) :] == [403] * 6
    quota = (await eve.client.get(f"{API}/quota")).json()["used"]
    assert quota == len(b"hello") + len(b"other"), "it counts for the owner"
    assert (await ben.client.get(f"{API}/quota")).json()["used"] == 0


async def test_sharing_ends_with_the_next_request(eve: Account, ben: Account) -> None:
    file = await upload(eve.client)
    path = f"{API}/{file['id']}/permissions/{ben.id}"
    await eve.client.put(path, json={"level": "write"})
    assert (await ben.client.get(f"{API}/{file['id']}")).status_code == 200
    assert (await eve.client.delete(path)).status_code == 204
    assert (await eve.client.delete(path)).status_code == 204, "again is no error"
    assert (await ben.client.get(f"{API}/{file['id']}")).status_code == 404


async def test_what_makes_no_sense_is_refused(eve: Account) -> None:
    file = await upload(eve.client)
    path = f"{API}/{file['id']}/permissions"
    assert (await eve.client.put(f"{path}/{uuid4()}", json={"level": "read"})).status_code == 404
    assert (await eve.client.put(f"{path}/{eve.id}", json={"level": "read"})).status_code == 422
    for body in ({"level": "own"}, {}, {"level": "read", "by": "me"}):
        assert (await eve.client.put(f"{path}/{uuid4()}", json=body)).status_code == 422


TASKS = {
    "plugin.py": """
from uuid import UUID

from file_management.hookspecs import FileAccessRule
from platform_core import hookimpl
from platform_core.declarations import Services, per_application

OPEN = set()


class Members:
    async def may_read(self, user_id: UUID, file_id: UUID) -> bool:
        if (user_id, "broken") in OPEN:
            raise RuntimeError("the rule is broken")
        return (user_id, file_id) in OPEN


@hookimpl
def register_services():
    return Services(provides=[per_application(Members)])


@hookimpl
def file_access_rules():
    return [FileAccessRule(name="members", adapter=Members)]
""",
}


async def test_row_49_a_rule_of_another_module_opens_a_file_for_reading_as_long_as_it_holds(
    platform: PlatformFactory,
) -> None:
    boards = PluginSource(
        name="boards",
        requires=["platform-core", "platform-plugin-file-management"],
        manifest='title = "Boards"\nboot = "optional"\n',
        files=TASKS,
    )
    async with platform(["user_management", "file_management"], extra=[boards], seed=essentials) as p:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        clara = await sign_up(p, "clara")
        file = await upload(eve.client)
        rules = importlib.import_module("boards.plugin")
        key = (ben.id, UUID(file["id"]))
        rules.OPEN.add(key)
        found = await statuses(ben, file, clara)
        assert found[: len(READING)] == [200] * len(READING)
        assert set(found[len(READING) :]) == {403}
        assert (await ben.client.get(API)).json()["items"] == [], "it is neither theirs nor shared"
        assert (await clara.client.get(f"{API}/{file['id']}")).status_code == 404
        rules.OPEN.discard(key)
        assert (await ben.client.get(f"{API}/{file['id']}")).status_code == 404
        rules.OPEN.add((ben.id, "broken"))
        assert (await ben.client.get(f"{API}/{file['id']}")).status_code == 404
