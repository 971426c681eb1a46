"""
Following an inbox: woken by a signal, read from the table.

Entries are numbered when they are stored, which is not quite when they can be seen: of two statements at the same time
the one with the higher number may be first. So whoever follows an inbox looks a little way back each time and passes
over what they have already.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Uuid, all_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from notification.application.stream import INBOX_TOPIC, FollowInbox
from notification.contracts import NotificationView
from notification.infrastructure.inbox import notification_view
from notification.infrastructure.tables import notifications
from platform_core.context import bind, current
from platform_core.db import Reads
from platform_core.errors import RateLimited, Unavailable
from platform_core.ports import Watches
from platform_core.security import Principal

_AT_ONCE_COUNT: Final = 100
_STREAMS_COUNT: Final = 10
"""Of one user in one process: tabs and devices, not a load generator."""

_SETTLED_SECONDS: Final = 15.0
"""After so long nothing with a lower number appears any more: statements are cut off before."""

_MOST_RECENT_COUNT: Final = 1000
_PAUSE_SECONDS: Final = 2.0

_OF_OWNER: Final = notifications.c.user_id == bindparam("owner", type_=Uuid)
_LATEST: Final = select(func.max(notifications.c.position)).where(_OF_OWNER).scalar_subquery()
_KNOWN: Final = (
    select(notifications.c.position)
    .where(_OF_OWNER, notifications.c.id == bindparam("after", type_=Uuid))
    .scalar_subquery()
)
_START: Final = select(func.coalesce(_KNOWN, _LATEST, 0).label("position"))
_NEWS: Final = (
    select(
        *(notifications.c[name] for name in NotificationView.__dataclass_fields__), notifications.c.position
    )
    .where(
        _OF_OWNER,
        notifications.c.deleted_at.is_(None),
        notifications.c.position > bindparam("floor", type_=BigInteger),
        notifications.c.position != all_(bindparam("recent", type_=ARRAY(BigInteger))),
    )
    .order_by(notifications.c.position)
    .limit(_AT_ONCE_COUNT)
)


async def follow_inbox(
    query: FollowInbox, principal: Principal, reads: Reads, watches: Watches
) -> AsyncGenerator[NotificationView, None]:
    """
    Follow the caller's inbox.

    Raises:
        RateLimited: too many streams of this user are open.
    """
    owner = principal.require_user()
    if watches.count(INBOX_TOPIC, owner) >= _STREAMS_COUNT:
        raise RateLimited(f"At most {_STREAMS_COUNT} streams at once; close one.", retry_after_seconds=5)
    [row] = await _read(reads, _START, {"owner": owner, "after": query.after})
    return _follow(owner, row["position"], reads, watches)


async def _follow(
    owner: UUID, floor: int, reads: Reads, watches: Watches
) -> AsyncGenerator[NotificationView, None]:
    recent: dict[int, float] = {}
    with watches.watch(INBOX_TOPIC, owner) as watcher:
        while True:
            floor = _settle(floor, recent)
            news = await _news(reads, {"owner": owner, "floor": floor, "recent": list(recent)})
            for row in news:
                yield notification_view(row)
                recent[row["position"]] = time.monotonic()
            if not news:
                await watcher.wait()


async def _news(reads: Reads, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    while True:
        try:
            return await _read(reads, _NEWS, values)
        except Unavailable:  # the database comes back; until then there is nothing to tell
            await asyncio.sleep(_PAUSE_SECONDS)


async def _read(reads: Reads, statement: Any, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    # a signal comes sooner than a replica has the row
    with bind(replace(current(), primary_reads=True)):
        return await reads.all(statement, values)


def _settle(floor: int, recent: dict[int, float]) -> int:
    """Raise the floor to what cannot be overtaken any more; forget what lies below."""
    settled = time.monotonic() - _SETTLED_SECONDS
    ripe = [position for position, at in recent.items() if at < settled]
    if len(recent) - len(ripe) > _MOST_RECENT_COUNT:
        ripe = sorted(recent)[:-_MOST_RECENT_COUNT]
    floor = max([floor, *ripe])
    for position in [position for position in recent if position <= floor]:
        del recent[position]
    return floor
