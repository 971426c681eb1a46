"""
Copies in Redis of what is costly to find out: the ports `Cache` and `CacheInvalidation`.

    look ──► a copy, or nothing and a ticket ──► read the database ──► keep, unless the ticket is void by now
    outdate ──► commit ──► the ticket of every reader is void, the copy is gone

So nothing that was read before a commit is kept after it. A reader that looks shortly after is shown by the replica
only what it has replayed since: being outdated counts like a write of the caller's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Final

from redis.exceptions import RedisError

from platform_core._uow import SqlUnitOfWork
from platform_core.cache import Redis, RedisAway, Script
from platform_core.context import bound
from platform_core.domain import new_id
from platform_core.ports import Copy

__all__ = ["ModuleCache", "UowCache", "outdate"]

_MARK_MS: Final = 120_000
"""How long it is remembered that something was outdated: longer than anybody takes from `look` to `keep`."""

_LOOK: Final = Script("""
local mark = redis.call('GET', KEYS[2])
return {redis.call('GET', KEYS[1]) or '', mark or '', mark and redis.call('PTTL', KEYS[2]) or 0}
""")
_KEEP: Final = Script("""
if (redis.call('GET', KEYS[2]) or '') == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
""")


class ModuleCache:
    """
    `Cache`, as one module sees it.

    Args:
        module: a part of every key, so that modules do not meet.
    """

    def __init__(self, redis: Redis, module: str) -> None:
        self._redis, self._module = redis, module

    async def look(self, key: str) -> Copy:
        try:
            value, mark, left_ms = await self._redis.evaluate(_LOOK, _keys(self._module, key), ())
        except (RedisAway, RedisError):
            return Copy(None, None)
        context = bound()
        if mark and context is not None and context.last_write is not None:
            outdated_at = time.monotonic() - (_MARK_MS - left_ms) / 1000
            context.last_write.at = max(context.last_write.at, outdated_at)
        return Copy(value or None, mark)

    async def keep(self, key: str, copy: Copy, value: bytes, *, seconds: int) -> None:
        if copy.ticket is not None:
            with contextlib.suppress(RedisAway, RedisError):
                await self._redis.evaluate(_KEEP, _keys(self._module, key), (copy.ticket, value, seconds))


class UowCache:
    """`CacheInvalidation` of one unit of work."""

    def __init__(self, uow: SqlUnitOfWork, module: str) -> None:
        self._uow, self._module = uow, module

    def outdate(self, keys: Iterable[str]) -> None:
        self._uow.outdated += ((self._module, key) for key in keys)


async def outdate(redis: Redis, outdated: Iterable[tuple[str, str]]) -> None:
    """Void copies right after the commit, before anybody hears of it; with Redis away they end by themselves."""
    commands: list[tuple[str | bytes | int, ...]] = []
    for module, key in dict.fromkeys(outdated):
        copy, mark = _keys(module, key)
        commands += [("SET", mark, new_id().bytes, "PX", _MARK_MS), ("DEL", copy)]
    await asyncio.gather(*(redis.call(*command) for command in commands), return_exceptions=True)


def _keys(module: str, key: str) -> tuple[str, str]:
    copy = f"platform:cache:{module}:{key}"
    return copy, f"{copy}:outdated"
