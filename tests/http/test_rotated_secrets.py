"""A mounted secret that is missing, empty or half written for a moment, while somebody replaces it."""

import asyncio

import pytest

from platform_core.errors import InvalidSettings
from platform_core.settings import read_settings
from platform_core.tasks import Bell

HALF_WRITTEN = {"missing": None, "empty": "", "half written": "postgresql"}


@pytest.mark.parametrize("state", HALF_WRITTEN)
async def test_without_the_databases_address_requests_are_503_until_it_is_back(
    build, servers, tmp_path, state
):
    path = tmp_path / "database_url"
    path.write_text(servers.database_url)
    rig = await build(DATABASE_URL_FILE=str(path))
    token = await rig.log_in("widgets:read")
    async with rig.client(token=token) as client:
        assert (await client.get("/widgets")).status_code == 200
        await rig.pools.close()  # the next request needs a connection, and for that the address
        if HALF_WRITTEN[state] is None:
            path.unlink()
        else:
            path.write_text(HALF_WRITTEN[state])
        answer = await client.get("/widgets")
        assert answer.status_code == 503
        assert answer.json()["type"] == "/problems/unavailable"
        assert answer.headers["retry-after"] == "1"
        assert str(tmp_path) not in answer.text
        path.write_text(servers.database_url)
        assert (await client.get("/widgets")).status_code == 200


async def test_the_bell_rings_again_when_the_address_of_redis_is_back(servers, tmp_path):
    path = tmp_path / "redis_url"
    path.write_text(servers.redis_url)
    settings = read_settings(
        {"DATABASE_URL": servers.database_url, "REDIS_URL_FILE": str(path), "PLATFORM_SECRET_KEY": "k" * 40}
    )
    path.unlink()
    bell = Bell(settings, on_ring=lambda: None)
    await bell.start()
    try:
        await asyncio.sleep(0.2)
        path.write_text(servers.redis_url)
        async with asyncio.timeout(60):
            while not bell.is_reachable:  # noqa: ASYNC110  # nothing to wait for is offered
                await asyncio.sleep(0.05)
    finally:
        await bell.stop()


def test_a_file_that_is_empty_at_the_start_is_told_with_its_name(tmp_path):
    path = tmp_path / "key"
    path.write_text("\n")
    source = {"DATABASE_URL": "postgresql://", "REDIS_URL": "redis://", "PLATFORM_SECRET_KEY_FILE": str(path)}
    with pytest.raises(InvalidSettings, match="key cannot be read: the file of a secret is empty"):
        read_settings(source)
