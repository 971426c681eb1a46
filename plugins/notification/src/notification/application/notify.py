"""From something that happened to messages that wait to be sent: who hears of it, and on which channels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from notification.application.catalogue import Catalogue
from notification.application.ports import EmailRepository, PreferencesRepository
from notification.application.send_email import SendEmail
from notification.contracts import NotificationKind, NotificationRequested
from notification.domain import Email, wanted_channels
from platform_core.domain import Event, new_id
from platform_core.ports import Clock, EventMetadata, Jobs
from user_management import UserDirectory, UserView


@dataclass(frozen=True, slots=True)
class Notifier:
    """
    Decides who hears of an event and how, and writes that down; one per delivery.

    Nothing is rendered here: a mail is a row and a job, stored by the same statement that finishes the delivery.
    """

    emails: EmailRepository
    preferences: PreferencesRepository
    users: UserDirectory
    catalogue: Catalogue
    jobs: Jobs
    clock: Clock

    async def notify(
        self, kind: NotificationKind, *, event_id: UUID, recipients: Iterable[UUID], data: Mapping[str, Any]
    ) -> None:
        """
        Tell `recipients`, as far as they exist and want to hear of it.

        Args:
            event_id: repeating it for the same kind and recipient changes nothing.
            data: what templates may mention; JSON values, no secret.
        """
        users = await self.users.get_many(set(recipients))
        if not users:
            return
        preferences = await self.preferences.of_users(users)
        known = {(email.user_id, email.channel) for email in await self.emails.of_event(event_id, kind.name)}
        for user in users.values():
            wanted = wanted_channels(kind, preferences.get(user.id), self.catalogue.defaults)
            for channel in wanted:
                if channel in self.catalogue.channels and (user.id, channel) not in known:
                    self._queue(kind, event_id, user, channel, data)

    def _queue(
        self, kind: NotificationKind, event_id: UUID, user: UserView, channel: str, data: Mapping[str, Any]
    ) -> None:
        _, declaration = self.catalogue.channels[channel]
        recipient = declaration.address(user)
        if recipient is None:
            return
        now = self.clock.now()
        email = Email(
            id=new_id(),
            created_at=now,
            updated_at=now,
            event_id=event_id,
            kind=kind.name,
            user_id=user.id,
            channel=channel,
            recipient=recipient,
            data=dict(data),
            subject=kind.title,
        )
        self.emails.add(email)
        self.jobs.later(SendEmail(email_id=email.id), key=f"email:{email.id}")


def announcing(kind: NotificationKind) -> Callable[[Event, Notifier, EventMetadata], Awaitable[None]]:
    """Return the event handler that notifies of one of this module's own kinds."""

    async def announce(event: Event, notifier: Notifier, metadata: EventMetadata) -> None:
        await notifier.notify(
            kind, event_id=metadata.event_id, recipients=kind.recipients(event), data=kind.data(event)
        )

    return announce


async def notify_requested(
    event: NotificationRequested, notifier: Notifier, catalogue: Catalogue, metadata: EventMetadata
) -> None:
    """Notify of what another module asked for."""
    kind = catalogue.kind(event.kind)
    await notifier.notify(kind, event_id=metadata.event_id, recipients=event.recipients, data=event.data)
