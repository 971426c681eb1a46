"""
What other modules may import of `notification`: how to contribute channels, kinds and wording, and how to ask for one.

Views of the HTTP answers are here too. Nothing here does anything: `notification.hookspecs` has the hooks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol
from uuid import UUID

from annotated_types import Len

from platform_core.domain import Event
from platform_core.errors import DomainError, Kind, OperationError

__all__ = [
    "EMAIL",
    "FALLBACK_LOCALE",
    "IN_APP",
    "PUSH",
    "SMS",
    "Channel",
    "ChannelNotConfigured",
    "DeliveryDeferred",
    "DeliveryRefused",
    "DeviceView",
    "EmailLogView",
    "InvalidTemplate",
    "NotificationChannel",
    "NotificationKind",
    "NotificationRequested",
    "NotificationView",
    "OutgoingMessage",
    "PreferencesView",
    "PreviewView",
    "PushKeyView",
    "QuietHours",
    "RecipientGone",
    "TemplateSource",
    "TemplateTaken",
    "TemplateView",
    "UnreadCountView",
]

EMAIL: Final = "email"
IN_APP: Final = "in_app"
PUSH: Final = "push"
SMS: Final = "sms"
"""The names of the shipped channels; `in_app` is the inbox, which needs no adapter."""

FALLBACK_LOCALE: Final = "en"
"""The language of last resort; every kind has wording in it."""

_KIND: Final = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_CHANNEL: Final = re.compile(r"[a-z][a-z0-9_]*")
_LOCALE: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")


# ── Contributions ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """
    One rendered message on its way to one person.

    Attributes:
        id: the same for every attempt, so that a receiver can tell a repetition.
        recipient: an address as the channel understands it; for e-mail `local@domain`.
        recipient_name: for display, may be empty.
        subject: one line.
        html: None where there is only text.
        locale: the language it was written in, `en` or `de-at`.
        kind, data: what it is about, for a receiver that is a program.
    """

    id: UUID
    recipient: str
    recipient_name: str
    subject: str
    text: str
    html: str | None
    locale: str
    kind: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class Channel(Protocol):
    """
    A way out of the platform; one instance per process, used by several tasks at once.

    `notification`'s tests have a conformance suite for it.
    """

    async def send(self, message: OutgoingMessage) -> str:
        """
        Hand `message` over.

        Returns: the identifier under which the other side knows it; derived from `message.id` where possible.

        Raises:
            DeliveryDeferred: not now; it is repeated with growing pauses.
            DeliveryRefused: never; it is not repeated.
            ChannelNotConfigured: nobody said where to; it waits, and no attempt counts.
        """
        ...

    async def check(self) -> None:
        """
        Find out within two seconds whether a message could be handed over now.

        Raises:
            DeliveryDeferred: the other side does not answer as it should.
            ChannelNotConfigured: nobody said where to.
        """
        ...


class DeliveryDeferred(OperationError):
    """The other side cannot take the message now."""


class DeliveryRefused(OperationError):
    """The other side will never take the message."""


class RecipientGone(DeliveryRefused):
    """There is no such recipient any more; one of several devices is forgotten."""


class ChannelNotConfigured(OperationError):
    """The channel was not told where to send to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationChannel:
    """
    A way to reach people, contributed by the hook `notification_channels`.

    Attributes:
        name: as in preferences and templates: `email`, `sms`, `push`.
        title: for people.
        adapter: the type of a `Channel` that the contributing plugin's services provide, one per process.
        address: `UserProfileView` → where this channel reaches them; None: it does not.
        on_by_default: for users who never said what they want.
        waits: whether messages wait while nobody has configured the channel; what is stale by then has failed instead.
    """

    name: str
    title: str
    adapter: type[Any]
    address: Callable[[Any], str | None]
    on_by_default: bool = False
    waits: bool = True

    def __post_init__(self) -> None:
        if not _CHANNEL.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for a channel; lower case letters, digits and _")


def _nothing(_: Any) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationKind:
    """
    A sort of notification, contributed by the hook `notification_kinds`.

    Attributes:
        name: stable; by convention the event's wire name: `project_management.task_assigned`.
        title: for people, and the subject shown in the log until the message was rendered.
        event: what brings it about; None when only `NotificationRequested` does.
        recipients: event → ids of the users who should hear of it.
        data: event → what templates may mention; JSON values, and never a secret.
        sample: the same keys with invented values, for previews.
        channels: those it uses unless a user's preferences say otherwise. A text message costs somebody money, so
            `sms` is not among them unless the kind says so.
        essential: about the account's security: no preference turns it off, and it does not wait for quiet hours.
    """

    name: str
    title: str
    event: type[Event] | None = None
    recipients: Callable[[Any], Iterable[UUID]] = field(default=lambda _: ())
    data: Callable[[Any], Mapping[str, Any]] = _nothing
    sample: Mapping[str, Any] = field(default_factory=dict)
    channels: tuple[str, ...] = (IN_APP, EMAIL, PUSH)
    essential: bool = False

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is no name for a kind; it looks like project_management.task_assigned"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSource:
    """
    The wording of one kind in one channel and language, contributed by the hook `notification_templates`.

    Attributes:
        locale: `en`, `de`, `de-at`; lower case.
        subject, text: Jinja2, restricted to names, filters, `if` and `for` over a name.
        html: the same, escaped by itself; put into the common frame unless it begins with a doctype.
    """

    kind: str
    channel: str
    locale: str
    subject: str
    text: str
    html: str | None = None

    def __post_init__(self) -> None:
        for value, pattern in ((self.kind, _KIND), (self.channel, _CHANNEL), (self.locale, _LOCALE)):
            if not pattern.fullmatch(value):
                raise ValueError(f"{value!r} does not fit a template of {self.kind}")

    @property
    def key(self) -> tuple[str, str, str]:
        """What there is one template for: kind, channel, locale."""
        return (self.kind, self.channel, self.locale)


@dataclass(frozen=True, kw_only=True)
class NotificationRequested(Event):
    """
    A module wants people to hear of something; `hookspecs.notify_on` stores it.

    Attributes:
        kind: a contributed one.
        recipients: users; each is asked for their preferences.
        data: what templates may mention; JSON values, never a secret.
        source_id: the event that it is about: a second request about the same one tells nobody twice.
    """

    wire_name: ClassVar[str] = "notification.notification_requested"

    kind: str
    recipients: list[UUID]
    data: dict[str, Any]
    source_id: UUID | None = None


# ── Answers ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class QuietHours:
    """
    When somebody does not want to be disturbed: what is not about the account's security waits until they end.

    The inbox makes no noise and is filled all the same.

    Attributes:
        start, end: `HH:MM`, local; the end may be on the next day.
        timezone: IANA name.
    """

    start: Annotated[str, Len(5, 5)]
    end: Annotated[str, Len(5, 5)]
    timezone: Annotated[str, Len(1, 64)]


@dataclass(frozen=True, slots=True)
class PreferencesView:
    """What somebody wants to hear of, and how: a kind is sent when neither its channel nor the kind itself is off."""

    channels: dict[str, bool]
    kinds: dict[str, dict[str, bool]]
    quiet_hours: QuietHours | None


@dataclass(frozen=True, slots=True)
class NotificationView:
    """
    One entry of the caller's inbox.

    Attributes:
        data: what the event's module says about it, such as the id of the thing.
    """

    id: UUID
    kind: str
    title: str
    body: str
    data: dict[str, Any]
    is_read: bool
    created_at: datetime
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class UnreadCountView:
    """How many entries of the caller's inbox are unread."""

    count: int


@dataclass(frozen=True, slots=True)
class DeviceView:
    """
    A device that messages are pushed to.

    Attributes:
        endpoint: by which a browser recognises its own subscription.
    """

    id: UUID
    name: str | None
    endpoint: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PushKeyView:
    """The `applicationServerKey` that a browser subscribes with: a public key, base64url (RFC 8292)."""

    public_key: str


@dataclass(frozen=True, slots=True)
class TemplateView:
    """Wording that an administrator wrote in place of a built-in one."""

    id: UUID
    kind: str
    channel: str
    locale: str
    subject: str
    text: str
    html: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PreviewView:
    """What a template makes of the sample data of its kind."""

    subject: str
    text: str
    html: str | None


@dataclass(frozen=True, slots=True)
class EmailLogView:
    """
    One mail and what became of it; never its text.

    Attributes:
        subject: the kind's title until the mail was rendered.
        attempts: how often the mail server was asked.
        error: why the last attempt failed; None after a good one.
        message_id: the `Message-ID` header, the same for every attempt.
    """

    id: UUID
    recipient: str
    subject: str
    status: Literal["queued", "sent", "failed", "bounced"]
    attempts: int
    error: str | None
    message_id: str | None
    sent_at: datetime | None


class InvalidTemplate(DomainError, kind=Kind.INVALID):
    """The template cannot be rendered."""


class TemplateTaken(DomainError, kind=Kind.CONFLICT):
    """There is a template for this kind, channel and locale already."""
