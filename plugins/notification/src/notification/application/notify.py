"""From something that happened to entries and messages: who hears of it, and on which channels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from uuid import UUID

from annotated_types import Len

from notification.application.catalogue import Catalogue
from notification.application.ports import (
    AddressBook,
    EmailRepository,
    Inbox,
    PreferencesRepository,
    TemplateRepository,
    Wordings,
)
from notification.application.send_email import sending
from notification.application.stream import INBOX_TOPIC
from notification.application.wording import Wording
from notification.contracts import IN_APP, NotificationKind, NotificationRequested
from notification.domain import (
    LONGEST_BODY,
    LONGEST_TITLE,
    Email,
    Notification,
    Preferences,
    quiet_until,
    wanted_channels,
)
from platform_core.domain import Command, Event, new_id
from platform_core.ports import Clock, EventMetadata, Jobs, Signals
from user_management import UserDirectory, UserProfileView

AT_ONCE_COUNT: Final = 200
"""So many recipients are told by one statement; more are split over jobs, so that none is too large or too slow."""


@dataclass(frozen=True, kw_only=True)
class NotifyRecipients(Command[None]):
    """Tell some of the recipients of an event that has very many."""

    kind: Annotated[str, Len(1, 200)]
    event_id: UUID
    recipients: Annotated[list[UUID], Len(1, AT_ONCE_COUNT)]
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notifier:
    """
    Decides who hears of an event and how, and writes that down; one per delivery.

    Whatever the number of recipients: accounts, preferences, own wording and what was written before are read by one
    statement each, and everything is stored by the one that finishes the delivery. Mails are not rendered here: each is
    a row and a job.
    """

    inbox: Inbox
    emails: EmailRepository
    preferences: PreferencesRepository
    templates: TemplateRepository
    addresses: AddressBook
    users: UserDirectory
    catalogue: Catalogue
    wording: Wording
    jobs: Jobs
    signals: Signals
    clock: Clock

    async def notify(
        self, kind: NotificationKind, *, event_id: UUID, recipients: Iterable[UUID], data: Mapping[str, Any]
    ) -> None:
        """
        Tell `recipients`, as far as they have an account that works and want to hear of it.

        Args:
            event_id: repeating it for the same kind and recipient changes nothing.
            data: what templates may mention; JSON values, no secret.
        """
        wanted = list(dict.fromkeys(recipients))
        if len(wanted) > AT_ONCE_COUNT:
            self._split(kind, event_id, wanted, data)
            return
        profiles = await self.users.get_profiles(wanted)
        users = {identity: user for identity, user in profiles.items() if user.is_active}
        if not users:
            return
        preferences = await self.preferences.of_users(users)
        choices = {
            identity: wanted_channels(kind, preferences.get(identity), self.catalogue.defaults)
            for identity in users
        }
        await self._fill_inboxes(
            kind, event_id, [user for user in users.values() if IN_APP in choices[user.id]], data
        )
        await self._queue(kind, event_id, users, choices, preferences, data)

    def _split(
        self, kind: NotificationKind, event_id: UUID, recipients: Sequence[UUID], data: Mapping[str, Any]
    ) -> None:
        for start in range(0, len(recipients), AT_ONCE_COUNT):
            part = NotifyRecipients(
                kind=kind.name,
                event_id=event_id,
                recipients=list(recipients[start : start + AT_ONCE_COUNT]),
                data=dict(data),
            )
            self.jobs.later(part, key=f"notify:{kind.name}:{event_id}:{start}")

    async def _fill_inboxes(
        self,
        kind: NotificationKind,
        event_id: UUID,
        users: Sequence[UserProfileView],
        data: Mapping[str, Any],
    ) -> None:
        if users:
            own = await self.templates.of_kinds([kind.name])
            self.inbox.add([self._entry(kind, event_id, user, data, own) for user in users])
            self.signals.send(INBOX_TOPIC, [user.id for user in users])

    def _entry(
        self,
        kind: NotificationKind,
        event_id: UUID,
        user: UserProfileView,
        data: Mapping[str, Any],
        own: Wordings,
    ) -> Notification:
        written = self.wording.write(kind.name, IN_APP, user, data, own)
        title, body = (written[0].subject, written[0].text.strip()) if written else ("", "")
        return Notification(
            id=new_id(),
            event_id=event_id,
            kind=kind.name,
            user_id=user.id,
            title=(title or kind.title)[:LONGEST_TITLE],
            body=body[:LONGEST_BODY],
            data=dict(data),
            created_at=self.clock.now(),
        )

    async def _queue(
        self,
        kind: NotificationKind,
        event_id: UUID,
        users: Mapping[UUID, UserProfileView],
        choices: Mapping[UUID, Sequence[str]],
        preferences: Mapping[UUID, Preferences],
        data: Mapping[str, Any],
    ) -> None:
        channels = dict.fromkeys(
            channel for choice in choices.values() for channel in choice if channel in self.catalogue.channels
        )
        if not channels:
            return
        known = await self.emails.known(event_id, kind.name)
        now = self.clock.now()
        emails: list[Email] = []
        for channel in channels:
            addressees = [user for user in users.values() if channel in choices[user.id]]
            for address in await self.addresses.of(channel, addressees):
                if (address.user_id, channel, address.device_id) in known:
                    continue
                asleep = preferences[address.user_id].quiet_hours if address.user_id in preferences else None
                emails.append(
                    Email(
                        id=new_id(),
                        created_at=now,
                        updated_at=now,
                        event_id=event_id,
                        kind=kind.name,
                        user_id=address.user_id,
                        channel=channel,
                        device_id=address.device_id,
                        recipient=address.text,
                        data=dict(data),
                        subject=kind.title,
                        quiet_until=None if kind.essential else quiet_until(asleep, now),
                    )
                )
        self.emails.add_all(emails)
        for email in emails:
            if email.quiet_until is None:
                self.jobs.later(sending(email), key=f"email:{email.id}")


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
    source_id = event.source_id or metadata.event_id
    await notifier.notify(kind, event_id=source_id, recipients=event.recipients, data=event.data)


async def notify_recipients(command: NotifyRecipients, notifier: Notifier, catalogue: Catalogue) -> None:
    """Notify a part of the recipients."""
    kind = catalogue.kind(command.kind)
    await notifier.notify(kind, event_id=command.event_id, recipients=command.recipients, data=command.data)
