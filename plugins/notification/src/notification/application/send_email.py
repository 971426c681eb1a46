"""Sending one mail: rendered at that moment, handed over, and written down whatever came of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from notification.application.account_kinds import LINKED_KINDS
from notification.application.ports import (
    Channels,
    DeviceRepository,
    EmailRepository,
    Rendered,
    TemplateRepository,
)
from notification.application.wording import Wording
from notification.contracts import (
    PUSH,
    SMS,
    ChannelNotConfigured,
    DeliveryDeferred,
    DeliveryRefused,
    OutgoingMessage,
    RecipientGone,
)
from notification.domain import Device, Email, greeting_name
from platform_core.domain import Command, Refused
from platform_core.errors import OperationError
from platform_core.ports import Clock, Jobs
from user_management import MailLinks, UserDirectory, UserProfileView

_log = logging.getLogger(__name__)

RELEASE_EVERY: Final = timedelta(minutes=1)
"""How soon held mails go out once there is a mail server."""

_RELEASED_AT_ONCE: Final = 500
"""So many of each channel; the rest has its turn a minute later."""


class NothingToWrite(OperationError):
    """The mail has lost its point, or no wording for it can be rendered."""


@dataclass(frozen=True, kw_only=True)
class SendEmail(Command[None]):
    """Send a queued mail."""

    email_id: UUID


@dataclass(frozen=True, kw_only=True)
class SendPush(Command[None]):
    """Send a queued message to a device; a task of its own, because its far side is whatever a client named."""

    email_id: UUID


@dataclass(frozen=True, kw_only=True)
class SendText(Command[None]):
    """Send a queued text message; a task of its own, so that a slow gateway delays no mail."""

    email_id: UUID


@dataclass(frozen=True, kw_only=True)
class ReleaseHeldEmails(Command[None]):
    """Send the mails that were queued while there was no mail server."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes one message at the moment of sending, with its link where it has one."""

    templates: TemplateRepository
    wording: Wording
    links: MailLinks

    async def write(self, email: Email, user: UserProfileView) -> tuple[Rendered, str]:
        """
        Return the message and the language that it is in.

        Raises:
            NothingToWrite: its link has ended, the kind is gone, or all its templates are broken.
        """
        secret = await self._secret(email)
        own = await self.templates.of_kinds([email.kind])
        written = self.wording.write(email.kind, email.channel, user, email.data, own, secret)
        if written is None:
            raise NothingToWrite(f"there is no usable template for {email.kind}")
        return written

    async def _secret(self, email: Email) -> Mapping[str, str]:
        kind = LINKED_KINDS.get(email.kind)
        if kind is None:
            return {}
        link = await kind.write(self.links, email.data)
        if link is None and kind.indispensable:
            raise NothingToWrite("its link ended before it could be sent: used, replaced or too old")
        return {"link": link or ""}


def sending(email: Email) -> SendEmail | SendPush | SendText:
    """Return the job that sends a message, by its channel."""
    if email.channel == PUSH:
        return SendPush(email_id=email.id)
    return SendText(email_id=email.id) if email.channel == SMS else SendEmail(email_id=email.id)


async def send_email(
    command: SendEmail | SendPush | SendText,
    emails: EmailRepository,
    users: UserDirectory,
    devices: DeviceRepository,
    writer: Writer,
    channels: Channels,
    clock: Clock,
) -> Refused | None:
    """
    Send a queued message; a repetition carries the same identifier.

    Returns: `Refused` when the attempt is to be repeated, so that the log of it stays.
    """
    email = await emails.get(command.email_id)
    if email.is_over:
        return None
    user = await users.get_profile(email.user_id)
    if user is None or not user.is_active:
        reason = "the account is gone" if user is None else "the account is disabled"
        email.cannot_be_written(clock.now(), reason)
        return None
    device = None
    if email.device_id is not None:
        device = await devices.find_of(user.id, email.device_id)
        if device is None:
            email.cannot_be_written(clock.now(), "the device is gone")
            return None
    try:
        rendered, locale = await writer.write(email, user)
    except NothingToWrite as error:
        email.cannot_be_written(clock.now(), str(error))
        return None
    message = OutgoingMessage(
        id=email.id,
        recipient=email.recipient if device is None else device.address,
        recipient_name=greeting_name(user.full_name, user.username),
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        locale=locale,
        kind=email.kind,
        data=email.data,
    )
    return await _hand_over(message, email, device, channels, clock)


async def _hand_over(
    message: OutgoingMessage, email: Email, device: Device | None, channels: Channels, clock: Clock
) -> Refused | None:
    try:
        message_id = await channels.adapter(email.channel).send(message)
    except ChannelNotConfigured as error:
        if channels.waits(email.channel):
            _log.warning("mail %s waits in the queue: %s", email.id, error)
            email.hold(clock.now(), str(error))
        else:
            email.cannot_be_written(clock.now(), str(error))
    except DeliveryRefused as error:
        _log.warning("mail %s was refused for good: %s", email.id, error)
        email.was_refused(clock.now(), subject=message.subject, reason=str(error))
        if device is not None and isinstance(error, RecipientGone):
            device.delete(clock.now())
    except DeliveryDeferred as error:
        email.was_deferred(clock.now(), subject=message.subject, reason=str(error))
        return Refused(error)
    else:
        email.was_sent(clock.now(), subject=message.subject, message_id=message_id)
    return None


async def release_held_emails(
    command: ReleaseHeldEmails, emails: EmailRepository, channels: Channels, jobs: Jobs, clock: Clock
) -> None:
    """Queue held mails of each channel anew, the oldest first, as soon as its far side answers."""
    waiting: dict[str, list[Email]] = {}
    for email in await emails.held(_RELEASED_AT_ONCE):
        waiting.setdefault(email.channel, []).append(email)
    for channel, held in waiting.items():
        if not await _is_ready(channels, channel, len(held)):
            continue
        for email in held:
            email.release(clock.now())
            # the first job of this mail is done; its key would swallow a second one
            jobs.later(sending(email), key=f"email:{email.id}:{email.version}")


async def _is_ready(channels: Channels, channel: str, waiting_count: int) -> bool:
    try:
        await channels.adapter(channel).check()
    except (ChannelNotConfigured, DeliveryDeferred) as error:
        _log.warning("%d or more messages wait for the channel %s: %s", waiting_count, channel, error)
        return False
    return True
