"""Inboxes over PostgreSQL; every statement is made once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import DateTime, Integer, Uuid, bindparam, delete, func, select, update

from notification.application.inbox import CountUnread, ListNotifications
from notification.contracts import NotificationView, UnreadCountView
from notification.domain import Notification
from notification.infrastructure.bulk import bulk_insert, first_id_at, row_of
from notification.infrastructure.tables import notifications
from platform_core.db import Reads, UnitOfWork
from platform_core.domain import Page
from platform_core.errors import NotFound
from platform_core.security import Principal

_COLUMNS: Final = (
    "id",
    "version",
    "created_at",
    "updated_at",
    "event_id",
    "kind",
    "user_id",
    "title",
    "body",
    "data",
    "is_read",
)
_SHOWN: Final = tuple(NotificationView.__dataclass_fields__)
_RESOURCE: Final = "notification.notification"

_ADD: Final = bulk_insert(notifications, _COLUMNS).on_conflict_do_nothing(
    index_elements=["event_id", "kind", "user_id"]
)

_IS_THERE: Final = notifications.c.deleted_at.is_(None)
_OWN: Final = (notifications.c.user_id == bindparam("owner", type_=Uuid), _IS_THERE)
_NOW: Final = bindparam("now", type_=DateTime(timezone=True))
_CHANGED: Final = {"updated_at": _NOW, "version": notifications.c.version + 1}
_READ: Final = {**_CHANGED, "is_read": True, "read_at": func.coalesce(notifications.c.read_at, _NOW)}

_MARK_READ: Final = (
    update(notifications).where(notifications.c.id == bindparam("identity"), *_OWN).values(_READ)
)
_MARK_ALL_READ: Final = update(notifications).where(notifications.c.is_read.is_(False), *_OWN).values(_READ)
_DELETE: Final = (
    update(notifications)
    .where(notifications.c.id == bindparam("identity"), *_OWN)
    .values({**_CHANGED, "deleted_at": _NOW})
)

_FORGET: Final = delete(notifications).where(notifications.c.user_id == bindparam("owner", type_=Uuid))
_PURGED: Final = (
    select(notifications.c.id)
    .where(notifications.c.id < bindparam("before", type_=Uuid))
    .order_by(notifications.c.id)
    .limit(bindparam("most", type_=Integer))
)
_PURGE: Final = delete(notifications).where(notifications.c.id.in_(_PURGED))

_LIST: Final = select(*(notifications.c[name] for name in _SHOWN), notifications.c.position).where(*_OWN)
_LIST_UNREAD: Final = _LIST.where(notifications.c.is_read.is_(False))
_COUNT_UNREAD: Final = (
    select(func.count().label("count"))
    .select_from(notifications)
    .where(notifications.c.is_read.is_(False), *_OWN)
)


class SqlInbox:
    """`Inbox`: entries are changed where they lie, none is loaded before."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    def add(self, entries: Sequence[Notification]) -> None:
        if entries:
            self._uow.write(_ADD, values={"rows": [_row(entry) for entry in entries]})

    def mark_read(self, notification_id: UUID, user_id: UUID, now: datetime) -> None:
        self._change(_MARK_READ, notification_id, user_id, now)

    def mark_all_read(self, user_id: UUID, now: datetime) -> None:
        self._uow.write(_MARK_ALL_READ, values={"owner": user_id, "now": now})

    def delete(self, notification_id: UUID, user_id: UUID, now: datetime) -> None:
        self._change(_DELETE, notification_id, user_id, now)

    def forget(self, user_id: UUID) -> None:
        self._uow.write(_FORGET, values={"owner": user_id})

    def purge(self, before: datetime, limit: int) -> None:
        self._uow.write(_PURGE, values={"before": first_id_at(before), "most": limit})

    def _change(self, statement: Any, notification_id: UUID, user_id: UUID, now: datetime) -> None:
        self._uow.write(
            statement,
            values={"identity": notification_id, "owner": user_id, "now": now},
            expect=1,
            otherwise=NotFound,
            resource=(_RESOURCE, notification_id),
        )


def _row(entry: Notification) -> dict[str, Any]:
    unset = {"version": 1, "updated_at": entry.created_at.isoformat(), "is_read": False}
    return {**row_of(entry, (name for name in _COLUMNS if name not in unset)), **unset}


async def list_notifications(
    query: ListNotifications, principal: Principal, reads: Reads
) -> Page[NotificationView]:
    """Return the caller's entries, newest first."""
    return await reads.page(
        _LIST_UNREAD if query.unread else _LIST,
        query.page,
        notification_view,
        order=(notifications.c.position,),
        values={"owner": principal.require_user()},
    )


async def count_unread(query: CountUnread, principal: Principal, reads: Reads) -> UnreadCountView:
    """Count the caller's unread entries."""
    row = await reads.one(_COUNT_UNREAD, {"owner": principal.require_user()})
    return UnreadCountView(row["count"] if row else 0)


def notification_view(row: Any) -> NotificationView:
    """Return a row as its owner sees it."""
    return NotificationView(**{name: row[name] for name in _SHOWN})
