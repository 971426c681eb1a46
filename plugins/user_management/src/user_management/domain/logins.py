"""Logins: how long they last, what a refresh token that comes (again) means, when guessing has to stop."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID


@dataclass(frozen=True)
class Lifetime:
    """
    How long a session lasts.

    Attributes:
        total: from the login on.
        idle: without a refresh; None for no such limit.
    """

    total: timedelta
    idle: timedelta | None = None

    def is_over(self, *, expires_at: datetime, last_seen_at: datetime, now: datetime) -> bool:
        """Tell whether a session has ended by itself."""
        return now >= expires_at or (self.idle is not None and now >= last_seen_at + self.idle)


class Verdict(enum.Enum):
    """What becomes of a refresh token."""

    ROTATE = "rotate"
    SUPERSEDED = "superseded"
    REUSED = "reused"
    DEAD = "dead"


@dataclass(frozen=True, kw_only=True)
class RefreshState:
    """
    What is stored of a refresh token, its session and its user.

    Attributes:
        spent_at: when it was exchanged for the next one.
        may_log_in: the user is active and not deleted.
    """

    session_id: UUID
    user_id: UUID
    spent_at: datetime | None
    revoked_at: datetime | None
    expires_at: datetime
    last_seen_at: datetime
    may_log_in: bool

    def judge(self, lifetime: Lifetime, grace: timedelta, now: datetime) -> Verdict:
        """
        Decide what an attempt to use it means.

        Args:
            grace: a spent token that comes again within this is two tabs or a lost answer; later it is a theft.
        """
        over = lifetime.is_over(expires_at=self.expires_at, last_seen_at=self.last_seen_at, now=now)
        if over or self.revoked_at is not None or not self.may_log_in:
            return Verdict.DEAD
        if self.spent_at is None:
            return Verdict.ROTATE
        return Verdict.SUPERSEDED if now - self.spent_at <= grace else Verdict.REUSED


@dataclass(frozen=True)
class FailureWindow:
    """
    So many failed logins within a time are too many.

    Attributes:
        count: from this many on, nobody gets in.
        seconds: the window's length; it slides.
    """

    count: int
    seconds: int

    def locked_for(self, failures: Sequence[datetime], now: datetime) -> int | None:
        """
        Return for how many seconds more nobody gets in, or None.

        Args:
            failures: moments, oldest first; those outside of the window are ignored.
        """
        window = timedelta(seconds=self.seconds)
        recent = [moment for moment in failures if moment > now - window]
        if len(recent) < self.count:
            return None
        opens_at = recent[len(recent) - self.count] + window
        return max(1, math.ceil((opens_at - now).total_seconds()))
