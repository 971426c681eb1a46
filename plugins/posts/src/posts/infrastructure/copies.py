"""Copies of pages in Redis, for those who only read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError

from platform_core.ports import Cache, CacheInvalidation, Copy
from posts.contracts import PostView

_KEPT_SECONDS: Final = 60

_VIEW: Final = TypeAdapter(PostView)


class PageCopies:
    """What everybody who only reads is shown of a published post."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def look(self, post_id: UUID) -> tuple[PostView | None, Copy]:
        """Return the page, if there is a copy, and what `keep` wants to have."""
        copy = await self._cache.look(_key(post_id))
        if copy.value is None:
            return None, copy
        try:
            return _VIEW.validate_json(copy.value), copy
        except ValidationError:  # of another release
            return None, copy

    async def keep(self, view: PostView, copy: Copy) -> None:
        """Keep a page that was read since `look`."""
        await self._cache.keep(_key(view.id), copy, orjson.dumps(view), seconds=_KEPT_SECONDS)


class OutdatedPages:
    """`Copies`: which pages are not to be shown any more as they were."""

    def __init__(self, invalidation: CacheInvalidation) -> None:
        self._invalidation = invalidation

    def outdate(self, post_ids: Iterable[UUID]) -> None:
        self._invalidation.outdate(map(_key, post_ids))


def _key(post_id: UUID) -> str:
    return f"page:{post_id.hex}"
