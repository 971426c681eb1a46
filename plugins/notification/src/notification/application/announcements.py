"""A message from the operators to some people; development seeds and tests use it, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from annotated_types import Len

from notification.application.notify import Notifier
from notification.contracts import NotificationKind
from platform_core.domain import Command

ANNOUNCEMENT: Final = NotificationKind(
    name="notification.announcement",
    title="A message from the operators",
    sample={
        "title": "We are back on Sunday",
        "text": "The platform is away on Saturday night, from ten to two.",
    },
)


@dataclass(frozen=True, kw_only=True)
class Announce(Command[None]):
    """
    Tell people something.

    Attributes:
        announcement_id: made by the caller; who has it already does not get it again.
    """

    announcement_id: UUID
    recipients: Annotated[list[UUID], Len(1, 10_000)]
    title: Annotated[str, Len(1, 200)]
    text: Annotated[str, Len(1, 2000)]


async def announce(command: Announce, notifier: Notifier) -> None:
    """Handle `Announce`."""
    await notifier.notify(
        ANNOUNCEMENT,
        event_id=command.announcement_id,
        recipients=command.recipients,
        data={"title": command.title, "text": command.text},
    )
