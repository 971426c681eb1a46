"""`GET /permissions` is a list like every other."""

from collections.abc import AsyncIterator

import pytest

from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import essentials, sign_up


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(["user_management"], seed=essentials) as running:
        yield running


async def test_permissions_come_in_pages_by_name(p: RunningPlatform) -> None:
    ada = await sign_up(p, "ada")
    whole = (await ada.client.get("/api/v1/permissions", params={"limit": 200})).json()
    names = [permission["name"] for permission in whole["items"]]
    assert names == sorted(names)
    assert {"users:read", "platform:read"} <= set(names)
    assert whole["next_cursor"] is None

    found: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await ada.client.get("/api/v1/permissions", params=params)).json()
        found += [permission["name"] for permission in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == names


async def test_a_cursor_of_another_list_is_refused(p: RunningPlatform) -> None:
    ada = await sign_up(p, "ada", permissions={"platform:read"})
    modules = (await ada.client.get("/api/v1/platform/modules", params={"limit": 1})).json()
    assert [module["name"] for module in modules["items"]] == ["platform"]
    answer = await ada.client.get("/api/v1/permissions", params={"cursor": modules["next_cursor"]})
    assert answer.status_code == 422
