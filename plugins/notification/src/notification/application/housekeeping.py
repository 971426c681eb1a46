"""What is not kept for ever: old entries and logs, and everything of somebody whose account was deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from notification.application.ports import (
    DeviceRepository,
    EmailRepository,
    Inbox,
    PreferencesRepository,
)
from notification.settings import NotificationSettings
from platform_core.domain import Command
from platform_core.ports import Clock
from user_management import UserDeleted

PURGE_EVERY: Final = timedelta(minutes=10)
_BATCH_COUNT: Final = 5000


@dataclass(frozen=True, kw_only=True)
class PurgeOld(Command[None]):
    """Delete what is older than the deployer wants to keep."""


async def purge_old(
    command: PurgeOld,
    inbox: Inbox,
    emails: EmailRepository,
    devices: DeviceRepository,
    settings: NotificationSettings,
    clock: Clock,
) -> None:
    """Delete one batch of each; the next comes soon, and none is so large that anybody waits for it."""
    now = clock.now()
    devices.purge(now - timedelta(days=settings.keep_days))
    inbox.purge(now - timedelta(days=settings.keep_days), _BATCH_COUNT)
    emails.purge(now - timedelta(days=settings.keep_log_days), _BATCH_COUNT)


async def forget_user(
    event: UserDeleted, inbox: Inbox, devices: DeviceRepository, preferences: PreferencesRepository
) -> None:
    """Delete what was somebody's own; the log of mails, which says what the platform did, is purged in time."""
    inbox.forget(event.user_id)
    devices.forget(event.user_id)
    preferences.forget(event.user_id)
