"""One message on its way to one person: from the decision to send it until its end."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from notification.domain.text import one_line
from platform_core.domain import Aggregate

ATTEMPTS_COUNT: Final = 24
"""After so many refusals a mail has failed: with the pauses of `SendEmail` that is about seven hours."""

_LONGEST_ERROR: Final = 500


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
        event_id: what brought it about; with kind, user, channel and device it is unique.
        device_id: where the channel reaches several devices of a user, each has a message of its own.
        recipient: the address as it was when the mail was decided on.
        data: what the templates may mention.
        subject: the kind's title until the mail was rendered.
        attempts: how often the mail server was asked.
        held_at: since when it waits for somebody to configure a mail server.
        quiet_until: until when it waits because its recipient does not want to be disturbed.
        digest_id: the message that it became a line of.
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
    device_id: UUID | None = None
    quiet_until: datetime | None = None
    digest_id: UUID | None = None

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
        self.quiet_until = None
        self.touch(now)

    def hold(self, now: datetime, reason: str) -> None:
        """Wait until there is a mail server; that is no attempt."""
        self.held_at, self.error = now, one_line(reason, _LONGEST_ERROR)
        self.touch(now)

    def release(self, now: datetime) -> None:
        """Stop waiting."""
        self.held_at, self.error = None, None
        self.touch(now)

    def stay_quiet(self, now: datetime, until: datetime) -> None:
        """Go on waiting: other quiet hours have begun."""
        self.quiet_until = until
        self.touch(now)

    def wake(self, now: datetime) -> None:
        """Stop waiting for the end of quiet hours, to be sent."""
        self.quiet_until = None
        self.touch(now)

    def merge_into(self, digest_id: UUID, now: datetime) -> None:
        """Become a line of a digest; the log shows that one instead."""
        self.quiet_until, self.digest_id = None, digest_id
        self.delete(now)

    def _attempted(self, now: datetime, status: Status, reason: str | None) -> None:
        self.attempts += 1
        self.status, self.held_at = status, None
        self.error = None if reason is None else one_line(reason, _LONGEST_ERROR)
        self.touch(now)
