"""Row 66: nobody's files have more bytes than they may, however many come at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from file_management.application.tasks import PurgeFiles
from file_management.testing import upload
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import Account, essentials, sign_up

API = "/api/v1/files"
LIMIT = 1_000_000


@pytest.fixture
async def small(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    settings = {
        "PLATFORM_FILE_MANAGEMENT_QUOTA_BYTES": str(LIMIT),
        "PLATFORM_FILE_MANAGEMENT_MAX_FILE_BYTES": str(LIMIT),
    }
    async with platform(["user_management", "file_management"], settings=settings, seed=essentials) as p:
        yield p


@pytest.fixture
async def owner(small: RunningPlatform) -> Account:
    return await sign_up(small, "owner")


async def used(person: Account) -> int:
    answer = (await person.client.get(f"{API}/quota")).json()
    assert answer["limit"] == LIMIT
    count: int = answer["used"]
    return count


async def test_row_66_of_twenty_at_once_only_those_get_in_that_fit(
    small: RunningPlatform, owner: Account
) -> None:
    await upload(owner.client, "first", bytes(LIMIT - 100))
    answers = await asyncio.gather(
        *(owner.client.post(f"{API}/upload", files={"file": (f"{n}", bytes(40))}) for n in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 201] + [413] * 18
    refused = next(answer for answer in answers if answer.status_code == 413)
    assert refused.json()["type"] == "/problems/quota-exceeded"
    assert await used(owner) == LIMIT - 20
    assert len(await small.kernel.storage.objects("file_management")) == 3


async def test_what_does_not_fit_is_refused_before_it_is_sent(small: RunningPlatform, owner: Account) -> None:
    await upload(owner.client, "first", bytes(LIMIT - 100))
    answer = await owner.client.post(f"{API}/upload", files={"file": ("a", bytes(200_000))})
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/quota-exceeded")
    assert (answer.json()["used"], answer.json()["limit"]) == (LIMIT - 100, LIMIT)
    assert answer.headers["connection"] == "close"


async def test_room_comes_back_when_a_deleted_file_is_gone_for_good(
    small: RunningPlatform, owner: Account
) -> None:
    file = await upload(owner.client, "a", bytes(1000))
    path = f"{API}/{file['id']}"
    await owner.client.post(f"{path}/versions", files={"file": ("a", bytes(500))})
    await owner.client.post(f"{path}/versions/1/restore")
    other = await upload(owner.client, "b", bytes(300))
    assert await used(owner) == 1800
    for gone in (path, f"{API}/{other['id']}"):
        await owner.client.delete(gone)
    assert await used(owner) == 1800
    small.clock.advance(days=31)
    await small.execute(PurgeFiles())
    await small.deliver()
    assert await small.sql("SELECT id FROM file_management.files") == []
    assert await small.sql("SELECT used_bytes FROM file_management.file_usage") == [{"used_bytes": 0}]
    assert await small.kernel.storage.objects("file_management") == []


async def test_a_file_that_is_too_large_is_413(owner: Account) -> None:
    answer = await owner.client.post(f"{API}/upload", files={"file": ("a", bytes(LIMIT + 1))})
    assert answer.status_code == 413
