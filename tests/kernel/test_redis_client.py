"""What talks to Redis outlives every way in which Redis can be away."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from platform_core.cache import Redis, RedisAway
from platform_core.domain import new_id
from platform_core.embedded.programs import find_redis
from platform_core.embedded.tcp import free_port
from platform_core.errors import StartupFailed
from platform_core.settings import read_settings
from platform_core.tasks import Bell
from platform_core.testing import PlatformFactory, eventually
from platform_core.testing.chaos import Address, through
from platform_core.testing.chaos import proxy as proxied

NOBODY_THERE = "redis://127.0.0.1:1"


class Rotating(SecretStr):
    """An address that changes between connections, as a mounted file's may."""

    def __init__(self, *addresses: str) -> None:
        super().__init__(addresses[0])
        self.addresses = list(addresses)

    def get_secret_value(self) -> str:
        return self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]


async def test_an_address_that_is_wrong_for_a_moment_does_not_keep_redis_away_for_good(
    fresh_redis_url: str,
) -> None:
    redis = Redis(Rotating(NOBODY_THERE, "no address at all", fresh_redis_url), cooldown_seconds=0.02)
    answers = []
    for _ in range(3):
        try:
            answers.append(await redis.call("PING"))
        except RedisAway:
            answers.append("away")
        await asyncio.sleep(0.05)
    await redis.close()
    assert answers == ["away", "away", b"PONG"]


async def test_what_nobody_can_be_told_does_not_pile_up_while_redis_is_away() -> None:
    settings = read_settings(
        {"DATABASE_URL": "postgresql:///", "REDIS_URL": NOBODY_THERE, "PLATFORM_SECRET_KEY": "-" * 32}
    )
    bell = Bell(settings)
    for _ in range(500):
        bell.ring([new_id() for _ in range(10)])
    assert len(bell._waiting) <= 100


async def test_that_redis_is_away_is_told_once_and_not_with_every_try(fresh_redis_url: str) -> None:
    with proxied(Address.of(fresh_redis_url)) as between:
        url = through(fresh_redis_url, between.port)
        settings = read_settings(
            {"DATABASE_URL": "postgresql:///", "REDIS_URL": url, "PLATFORM_SECRET_KEY": "-" * 32}
        )
        bell = Bell(settings, on_ring=lambda: None)
        await bell.start()

        async def is_reachable() -> bool:
            return bell.is_reachable

        try:
            with capture_logs() as told:
                await eventually(is_reachable)
                between.refuse()
                await asyncio.sleep(1.6)  # three tries
                between.heal()
                await eventually(is_reachable)
        finally:
            await bell.stop()
    assert [line["event"] for line in told] == ["redis is away; workers poll"]


@pytest.fixture
def cluster_url(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = [find_redis(), "--port", str(port), "--cluster-enabled", "yes", "--save", "", "--dir", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        yield f"redis://127.0.0.1:{port}"
        server.terminate()


async def test_a_cluster_is_refused_at_the_start_with_what_to_do(
    platform: PlatformFactory, cluster_url: str
) -> None:
    redis = Redis(SecretStr(cluster_url), cooldown_seconds=0.02)
    async with asyncio.timeout(10):
        while True:
            if await redis.is_cluster():
                break
            await asyncio.sleep(0.05)  # it has just been started
    await redis.close()
    with pytest.raises(StartupFailed) as refused:
        async with platform(settings={"REDIS_URL": cluster_url}):
            pass
    [problem] = refused.value.exceptions
    assert "REDIS_URL names a node of a Redis Cluster" in str(problem)
    assert "docs/operations/redis.md" in str(problem)


async def test_one_server_is_no_cluster_and_neither_is_one_that_is_away(fresh_redis_url: str) -> None:
    for url in (fresh_redis_url, NOBODY_THERE):
        redis = Redis(SecretStr(url))
        assert not await redis.is_cluster()
        await redis.close()
