"""The caller's inbox."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Final
from uuid import UUID

from fastapi import Header, Query, Response
from pydantic import TypeAdapter

from notification.application.inbox import (
    CountUnread,
    DeleteNotification,
    ListNotifications,
    MarkAllRead,
    MarkRead,
)
from notification.application.stream import FollowInbox
from notification.contracts import NotificationView, UnreadCountView
from platform_core.domain import Page
from platform_core.errors import NotFound, RateLimited
from platform_core.http import (
    EVENT_STREAM,
    Ask,
    Execute,
    PageParams,
    Router,
    ServerSentEvent,
    event_stream,
)

router = Router()
_JSON: Final = TypeAdapter(NotificationView)


@router.get("/notifications", summary="List your notifications")
async def list_notifications(
    page: PageParams,
    ask: Ask,
    unread: Annotated[bool, Query(description="Only those that you have not read.")] = False,
) -> Page[NotificationView]:
    return await ask(ListNotifications(page=page, unread=unread))


@router.get("/notifications/unread-count", summary="Count your unread notifications")
async def count_unread(ask: Ask) -> UnreadCountView:
    return await ask(CountUnread())


@router.get(
    "/notifications/stream",
    response_class=Response,
    responses=EVENT_STREAM,
    raises=(RateLimited,),
    summary="Hear of your notifications as they come",
)
async def follow_inbox(
    ask: Ask,
    last_event_id: Annotated[
        UUID | None,
        Header(description="The last notification that you have; what came after it is told first."),
    ] = None,
) -> Response:
    entries = await ask(FollowInbox(after=last_event_id))
    return event_stream(_events(entries))


async def _events(entries: AsyncGenerator[NotificationView, None]) -> AsyncGenerator[ServerSentEvent, None]:
    async with contextlib.aclosing(entries):
        async for entry in entries:
            data = _JSON.dump_json(entry).decode()
            yield ServerSentEvent(id=str(entry.id), name="notification", data=data)


@router.post("/notifications/read-all", status_code=204, summary="Mark all your notifications as read")
async def mark_all_read(execute: Execute) -> None:
    await execute(MarkAllRead())


@router.post(
    "/notifications/{notification_id}/read",
    status_code=204,
    raises=(NotFound,),
    summary="Mark a notification as read",
)
async def mark_read(notification_id: UUID, execute: Execute) -> None:
    await execute(MarkRead(notification_id=notification_id))


@router.delete("/notifications/{notification_id}", raises=(NotFound,), summary="Delete a notification")
async def delete_notification(notification_id: UUID, execute: Execute) -> None:
    await execute(DeleteNotification(notification_id=notification_id))
