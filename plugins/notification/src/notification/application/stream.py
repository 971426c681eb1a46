"""What comes into the caller's inbox, as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from notification.contracts import NotificationView
from platform_core.domain import Query

INBOX_TOPIC: Final = "notification.inbox"
"""Signalled by the user's id when there is something new in an inbox."""


@dataclass(frozen=True, kw_only=True)
class FollowInbox(Query[AsyncGenerator[NotificationView, None]]):
    """
    Entries of the caller's inbox, as they come; it does not end by itself.

    Attributes:
        after: the last entry that the caller has; None begins with what comes from now on.
    """

    after: UUID | None = None
