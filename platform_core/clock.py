"""The real clock."""

from datetime import UTC, datetime


class SystemClock:
    """`ports.Clock` by the machine's own time, UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)
