"""The caller's inbox."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query

from notification.application.inbox import (
    CountUnread,
    DeleteNotification,
    ListNotifications,
    MarkAllRead,
    MarkRead,
)
from notification.contracts import NotificationView, UnreadCountView
from platform_core.domain import Page
from platform_core.errors import NotFound
from platform_core.http import Ask, Execute, PageParams, Router

router = Router()


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
