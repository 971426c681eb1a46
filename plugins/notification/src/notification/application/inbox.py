"""The caller's own inbox: what is in it, and that it was read."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from notification.application.ports import Inbox
from notification.contracts import NotificationView, UnreadCountView
from platform_core.domain import Command, Page, PageRequest, Query
from platform_core.ports import Clock
from platform_core.security import Principal


@dataclass(frozen=True, kw_only=True)
class ListNotifications(Query[Page[NotificationView]]):
    """
    Entries of the caller's inbox, newest first.

    Attributes:
        unread: only those that were not read yet.
    """

    page: PageRequest
    unread: bool = False


@dataclass(frozen=True, kw_only=True)
class CountUnread(Query[UnreadCountView]):
    """How many entries of the caller's inbox are unread."""


@dataclass(frozen=True, kw_only=True)
class MarkRead(Command[None]):
    """Note that an entry was read; a second time changes nothing."""

    notification_id: UUID


@dataclass(frozen=True, kw_only=True)
class MarkAllRead(Command[None]):
    """Note that everything was read which is there now; what comes meanwhile stays unread."""


@dataclass(frozen=True, kw_only=True)
class DeleteNotification(Command[None]):
    """Throw an entry away."""

    notification_id: UUID


async def mark_read(command: MarkRead, principal: Principal, inbox: Inbox, clock: Clock) -> None:
    """Handle `MarkRead`; raises NotFound for somebody else's entry as for none."""
    inbox.mark_read(command.notification_id, principal.require_user(), clock.now())


async def mark_all_read(command: MarkAllRead, principal: Principal, inbox: Inbox, clock: Clock) -> None:
    """Handle `MarkAllRead`."""
    inbox.mark_all_read(principal.require_user(), clock.now())


async def delete_notification(
    command: DeleteNotification, principal: Principal, inbox: Inbox, clock: Clock
) -> None:
    """Handle `DeleteNotification`; raises as `mark_read` does."""
    inbox.delete(command.notification_id, principal.require_user(), clock.now())
