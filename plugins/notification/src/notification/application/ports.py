"""What the use cases of `notification` need from the outside."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from notification.contracts import Channel, TemplateSource
from notification.domain import Device, Email, Notification, Preferences, Template
from user_management import UserProfileView

Wordings: TypeAlias = Mapping[tuple[str, str, str], TemplateSource]
"""By kind, channel and locale."""


class Inbox(Protocol):
    """Everybody's inboxes; each method queues one statement for the commit."""

    def add(self, notifications: Sequence[Notification]) -> None:
        """Store entries; one that is there already, for the same event, kind and user, stays as it is."""
        ...

    def mark_read(self, notification_id: UUID, user_id: UUID, now: datetime) -> None:
        """Note that an entry was read; the commit raises NotFound when the user has none such."""
        ...

    def mark_all_read(self, user_id: UUID, now: datetime) -> None:
        """Note that everything was read that is there at the commit."""
        ...

    def delete(self, notification_id: UUID, user_id: UUID, now: datetime) -> None:
        """Throw an entry away; the commit raises as for `mark_read`."""
        ...

    def forget(self, user_id: UUID) -> None:
        """Delete an inbox for good."""
        ...

    def purge(self, before: datetime, limit: int) -> None:
        """Delete entries that are older for good."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """
    Where a channel reaches somebody.

    Attributes:
        text: as the channel understands it.
        device_id: of whose several devices it is one.
    """

    user_id: UUID
    text: str
    device_id: UUID | None = None


class AddressBook(Protocol):
    """Where the channels reach people."""

    async def of(self, channel: str, users: Sequence[UserProfileView]) -> Sequence[Address]:
        """Return where the channel reaches those of the users that it reaches."""
        ...


class EmailRepository(Protocol):
    """Mails and what became of them."""

    async def get(self, identity: UUID) -> Email: ...

    def add_all(self, emails: Sequence[Email]) -> None:
        """Store new messages, all by one statement."""
        ...

    async def known(self, event_id: UUID, kind: str) -> Collection[tuple[UUID, str, UUID | None]]:
        """Return user, channel and device of what this event brought about already."""
        ...

    def purge(self, before: datetime, limit: int) -> None:
        """Delete the log of older messages whose end is known."""
        ...

    async def quiet_over(self, now: datetime, limit: int) -> Sequence[Email]:
        """Return messages whose quiet hours are over, by user, channel and device, the oldest of each first."""
        ...

    def settle(self, emails: Sequence[Email]) -> None:
        """Store what was decided on messages that `quiet_over` returned; raises when somebody else decided before."""
        ...

    def end_quiet(self, user_id: UUID, now: datetime) -> None:
        """Let what waits for the end of a user's quiet hours be looked at anew."""
        ...

    async def held(self, limit_per_channel: int) -> Sequence[Email]:
        """Return mails that wait for a mail server, the oldest of each channel, so that none is in another's way."""
        ...


class DeviceRepository(Protocol):
    """Devices that messages are pushed to."""

    def add(self, aggregate: Device) -> None: ...
    async def get(self, identity: UUID) -> Device: ...

    async def around(self, user_id: UUID, endpoint: str) -> Sequence[Device]:
        """Load the user's devices, and the one with this endpoint, whosever it is."""
        ...

    async def find_of(self, user_id: UUID, device_id: UUID) -> Device | None:
        """Load one device, if it is the user's."""
        ...

    def forget(self, user_id: UUID) -> None:
        """Delete all devices of a user for good."""
        ...

    def purge(self, removed_before: datetime) -> None:
        """Delete devices for good that were removed before."""
        ...


class PreferencesRepository(Protocol):
    """What users want to hear of."""

    def forget(self, user_id: UUID) -> None:
        """Delete what a user said for good."""
        ...

    async def held(self, fresh: Preferences) -> Preferences:
        """
        Return what a user said, held until the commit, so that whoever changes it too waits.

        Args:
            fresh: is put in for a user who never said anything.
        """
        ...

    async def of_users(self, user_ids: Iterable[UUID]) -> Mapping[UUID, Preferences]:
        """Return what those of the users said who said something, to read it."""
        ...


class TemplateRepository(Protocol):
    """The administrators' own wording."""

    def add(self, aggregate: Template) -> None: ...
    async def get(self, identity: UUID) -> Template: ...

    async def of_kinds(self, kinds: Iterable[str]) -> Wordings:
        """Return own wording of these kinds, for every channel and language."""
        ...


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template made of its variables."""

    subject: str
    text: str
    html: str | None


class Renderer(Protocol):
    """Turns wording into text; templates come from people and are not trusted."""

    def check(self, source: TemplateSource, known: Collection[str], secret: Collection[str] = ()) -> None:
        """
        Insist that a template can be rendered with the named variables.

        Args:
            known: names that may be mentioned everywhere.
            secret: names that may be mentioned in the body only, because subjects are stored.

        Raises:
            InvalidTemplate: each problem with its line.
        """
        ...

    def render(
        self, source: TemplateSource, variables: Mapping[str, Any], secret: Mapping[str, str] | None = None
    ) -> Rendered:
        """
        Render a template.

        Raises:
            InvalidTemplate: it cannot be rendered with these variables.
        """
        ...


class Channels(Protocol):
    """The adapters of the contributed channels."""

    def waits(self, name: str) -> bool:
        """Tell whether messages wait while a channel is not configured."""
        ...

    def adapter(self, name: str) -> Channel:
        """
        Return the adapter of a channel.

        Raises:
            ChannelNotConfigured: no installed module contributes the channel.
        """
        ...
