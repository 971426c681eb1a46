"""The rules of `notification`: what becomes of a mail, who wants to hear of what, an administrator's own wording."""

from __future__ import annotations

import enum
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from notification.contracts import NotificationKind, QuietHours, TemplateSource
from platform_core.domain import Aggregate
from platform_core.errors import FieldError, InvalidInput

ATTEMPTS_COUNT: Final = 24
"""After so many refusals a mail has failed: with the pauses of `SendEmail` that is about seven hours."""

DEFAULT_CHANNELS: Final = {"email": True, "sms": False, "push": False, "in_app": True}
"""The channels of the HTTP contract, and what holds for who never said anything."""

_LONGEST_ERROR: Final = 500
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_ADDRESS_LIKE: Final = re.compile(r"[:/@<>\[\]\\]|\w\.\w")


class Status(enum.StrEnum):
    """
    What became of a mail.

    `failed` is every "no" that the mail server said to us, or that we said ourselves; `bounced` is for mail that was
    accepted and came back, as a delivery report tells it (no shipped channel reads those).
    """

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    BOUNCED = "bounced"


@dataclass(eq=False, kw_only=True)
class Email(Aggregate):
    """
    One mail to one person, from the decision to send it until its end; it holds no text and no secret.

    A message by another contributed channel is one, too: what matters is that it goes to an address.

    Attributes:
        event_id: what brought it about; with kind, user and channel it is unique.
        recipient: the address as it was when the mail was decided on.
        data: what the templates may mention.
        subject: the kind's title until the mail was rendered.
        attempts: how often the mail server was asked.
        held_at: since when it waits for somebody to configure a mail server.
    """

    event_id: UUID
    kind: str
    user_id: UUID
    channel: str
    recipient: str
    data: dict[str, Any] = field(default_factory=dict)
    subject: str
    status: str = Status.QUEUED
    attempts: int = 0
    error: str | None = None
    message_id: str | None = None
    sent_at: datetime | None = None
    held_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing may be sent any more; a failed one may, if an operator repeats its dead letter."""
        return self.status in (Status.SENT, Status.BOUNCED)

    def was_sent(self, now: datetime, *, subject: str, message_id: str) -> None:
        """Note that the mail server took it."""
        self.subject, self.message_id, self.sent_at = subject, message_id, now
        self._attempted(now, Status.SENT, None)

    def was_deferred(self, now: datetime, *, subject: str, reason: str) -> None:
        """Note that the mail server cannot take it now; the last allowed attempt makes it a failure."""
        self.subject = subject
        last = self.attempts + 1 >= ATTEMPTS_COUNT
        self._attempted(now, Status.FAILED if last else Status.QUEUED, reason)

    def was_refused(self, now: datetime, *, subject: str, reason: str) -> None:
        """Note that the mail server will never take it."""
        self.subject = subject
        self._attempted(now, Status.FAILED, reason)

    def cannot_be_written(self, now: datetime, reason: str) -> None:
        """Give up before the mail server was asked: nobody to write to any more, or nothing to write."""
        self.status, self.error, self.held_at = Status.FAILED, one_line(reason, _LONGEST_ERROR), None
        self.touch(now)

    def hold(self, now: datetime, reason: str) -> None:
        """Wait until there is a mail server; that is no attempt."""
        self.held_at, self.error = now, one_line(reason, _LONGEST_ERROR)
        self.touch(now)

    def release(self, now: datetime) -> None:
        """Stop waiting."""
        self.held_at, self.error = None, None
        self.touch(now)

    def _attempted(self, now: datetime, status: Status, reason: str | None) -> None:
        self.attempts += 1
        self.status, self.held_at = status, None
        self.error = None if reason is None else one_line(reason, _LONGEST_ERROR)
        self.touch(now)


@dataclass(eq=False, kw_only=True)
class Preferences(Aggregate):
    """
    What one user wants to hear of, and how.

    Attributes:
        channels: channel → on or off; the defaults hold for those that are not mentioned.
        kinds: kind → channel → on or off; on for those that are not mentioned.
        quiet_hours: as `QuietHours`, for channels that make a noise.
    """

    user_id: UUID
    channels: dict[str, bool] = field(default_factory=dict)
    kinds: dict[str, dict[str, bool]] = field(default_factory=dict)
    quiet_hours: dict[str, str] | None = None

    def change(
        self,
        now: datetime,
        *,
        channels: Mapping[str, bool],
        kinds: Mapping[str, Mapping[str, bool]],
        quiet_hours: QuietHours | None,
    ) -> None:
        """Replace everything."""
        self.channels = dict(channels)
        self.kinds = {kind: dict(choice) for kind, choice in kinds.items()}
        self.quiet_hours = (
            None
            if quiet_hours is None
            else {"start": quiet_hours.start, "end": quiet_hours.end, "timezone": quiet_hours.timezone}
        )
        self.touch(now)


def wanted_channels(
    kind: NotificationKind, preferences: Preferences | None, defaults: Mapping[str, bool]
) -> tuple[str, ...]:
    """
    Decide on which channels a user hears of `kind`.

    Args:
        preferences: None for a user who never said anything.
        defaults: every channel there is → whether it is on by default.

    Returns: in the order of `kind.channels`; an essential kind uses all of them, whatever the preferences say.
    """
    possible = tuple(name for name in kind.channels if name in defaults)
    if kind.essential:
        return possible
    channels = dict(defaults) | (preferences.channels if preferences else {})
    choice = preferences.kinds.get(kind.name, {}) if preferences else {}
    return tuple(name for name in possible if channels[name] and choice.get(name, True))


def check_preferences(
    *,
    channels: Mapping[str, bool],
    kinds: Mapping[str, Mapping[str, bool]],
    quiet_hours: QuietHours | None,
    known_channels: Iterable[str],
    known_kinds: Iterable[str],
) -> None:
    """
    Insist that preferences speak of things that exist.

    Raises:
        InvalidInput: with every unknown channel and kind, and what is wrong with the quiet hours.
    """
    names, kind_names = set(known_channels), set(known_kinds)
    found = [_unknown(f"channels/{name}", "channel") for name in channels if name not in names]
    for kind, choice in kinds.items():
        if kind not in kind_names:
            found.append(_unknown(f"kinds/{_pointer(kind)}", "kind"))
        found += [
            _unknown(f"kinds/{_pointer(kind)}/{_pointer(n)}", "channel") for n in choice if n not in names
        ]
    found += _quiet_hours_problems(quiet_hours)
    if found:
        raise InvalidInput("The preferences speak of things that do not exist.", fields=found)


def _quiet_hours_problems(quiet_hours: QuietHours | None) -> list[FieldError]:
    if quiet_hours is None:
        return []
    found = [
        FieldError(f"/body/quiet_hours/{name}", "is no time of day such as 22:00", "invalid_time")
        for name in ("start", "end")
        if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", getattr(quiet_hours, name))
    ]
    if not found and quiet_hours.start == quiet_hours.end:
        found.append(FieldError("/body/quiet_hours/end", "is the same as the start", "invalid_time"))
    try:
        zoneinfo.ZoneInfo(quiet_hours.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        message = "is no time zone such as Europe/Berlin"
        found.append(FieldError("/body/quiet_hours/timezone", message, "unknown_timezone"))
    return found


def _unknown(pointer: str, thing: str) -> FieldError:
    return FieldError(f"/body/{pointer}", f"there is no such {thing}", f"unknown_{thing}")


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


@dataclass(eq=False, kw_only=True)
class Template(Aggregate):
    """An administrator's own wording of one kind, in one channel and language."""

    kind: str
    channel: str
    locale: str
    subject: str
    text: str
    html: str | None

    @property
    def source(self) -> TemplateSource:
        """The same as a contribution."""
        return TemplateSource(
            kind=self.kind,
            channel=self.channel,
            locale=self.locale,
            subject=self.subject,
            text=self.text,
            html=self.html,
        )

    def replace(self, source: TemplateSource, now: datetime) -> None:
        """Say it differently."""
        self.kind, self.channel, self.locale = source.key
        self.subject, self.text, self.html = source.subject, source.text, source.html
        self.touch(now)


def locale_chain(locale: str | None, fallback: str) -> tuple[str, ...]:
    """`de-AT` → `de-at`, `de`, and the fallback: in which order wording is looked for."""
    parts = (locale or "").replace("_", "-").lower().split("-")
    chain = ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return tuple(dict.fromkeys([*(name for name in chain if name), fallback]))


def one_line(text: str, longest: int) -> str:
    """Return `text` without line breaks, control and direction characters, cut to `longest` characters."""
    return " ".join(_CONTROL.sub(" ", text).split())[:longest]


def greeting_name(full_name: str | None, username: str) -> str:
    """
    Return how a mail may address somebody; empty when neither name is fit for it.

    Anybody can register a stranger's address under a name like "You won: http://…", so what looks like a link or an
    address is not repeated in mails.
    """
    for name in (full_name, username):
        clean = one_line(name or "", 80)
        if clean and not _ADDRESS_LIKE.search(clean):
            return clean
    return ""
