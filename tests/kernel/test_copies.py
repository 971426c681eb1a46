"""Copies in Redis: what was read before a commit is not kept after it."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator

import pytest

from platform_core.cache import Redis
from platform_core.context import Context, LastWrite, bind
from platform_core.copies import ModuleCache, outdate
from platform_core.testing import PlatformFactory, RunningPlatform


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform() as running:
        yield running


async def test_a_copy_is_kept_for_its_module_until_it_is_outdated(p: RunningPlatform) -> None:
    one, other = ModuleCache(p.kernel.redis, "one"), ModuleCache(p.kernel.redis, "other")
    await one.keep("key", await one.look("key"), b"value", seconds=60)
    assert (await one.look("key")).value == b"value"
    assert (await other.look("key")).value is None
    await outdate(p.kernel.redis, [("one", "key")])
    assert (await one.look("key")).value is None


async def test_what_was_read_before_is_not_kept_after_it_was_outdated(p: RunningPlatform) -> None:
    """Red when `_KEEP` does not compare the ticket."""
    cache = ModuleCache(p.kernel.redis, "one")
    late = await cache.look("key")
    await outdate(p.kernel.redis, [("one", "key")])
    fresh = await cache.look("key")
    await cache.keep("key", late, b"before", seconds=60)
    assert (await cache.look("key")).value is None
    await cache.keep("key", fresh, b"after", seconds=60)
    assert (await cache.look("key")).value == b"after"


async def test_who_looks_after_it_was_outdated_is_shown_what_there_is_since_then(p: RunningPlatform) -> None:
    """A replica that lags would fill the cache with what was there before."""
    cache, last_write = ModuleCache(p.kernel.redis, "one"), LastWrite(-math.inf)
    with bind(Context(last_write=last_write)):
        await cache.look("key")
        assert last_write.at == -math.inf
        before = time.monotonic()
        await outdate(p.kernel.redis, [("one", "key")])
        await cache.look("key")
        assert before - 0.1 < last_write.at <= time.monotonic()


async def test_without_redis_there_is_no_copy_and_nothing_fails(p: RunningPlatform) -> None:
    away = Redis(type(p.kernel.settings.redis_url)("redis://127.0.0.1:1/0"))
    cache = ModuleCache(away, "one")
    copy = await cache.look("key")
    assert (copy.value, copy.ticket) == (None, None)
    await cache.keep("key", copy, b"value", seconds=60)
    await outdate(away, [("one", "key")])
    await away.close()
