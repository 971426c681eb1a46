"""A clock that tests hold in their hands; private to the test kit, published as `platform_core.testing.ManualClock`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class ManualClock:
    """
    `ports.Clock` that stands still until a test moves it.

    Only what asks the port `Clock` sees it. Leases, back-off and retention are measured by PostgreSQL with its own
    clock, so that machines need not agree; `RunningPlatform.deliver(skip_waits=True)` gets past those.

    Example:
        clock = ManualClock()
        clock.advance(minutes=16)

    Args:
        start: the first moment; the real present by default.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self.set(start or datetime.now(UTC))

    def now(self) -> datetime:
        return self._now

    def set(self, moment: datetime) -> None:
        """
        Go to `moment`, backwards too.

        Raises:
            ValueError: it has no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone; the platform's times all have one")
        self._now = moment.astimezone(UTC)

    def advance(
        self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> datetime:
        """Let time pass and return the new present."""
        self._now += timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        return self._now
