"""Quiet hours by the clock on the wall, across midnight and when the clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from notification.domain import quiet_until


def hours(start: str, end: str, timezone: str = "Europe/Berlin") -> dict[str, str]:
    return {"start": start, "end": end, "timezone": timezone}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        (hours("22:00", "07:00"), "2026-11-23 20:59", None),
        (hours("22:00", "07:00"), "2026-11-23 21:00", "2026-11-24 06:00"),
        (hours("22:00", "07:00"), "2026-11-24 05:59", "2026-11-24 06:00"),
        (hours("22:00", "07:00"), "2026-11-24 06:00", None),
        (hours("12:00", "13:00"), "2026-11-24 11:30", "2026-11-24 12:00"),
        (hours("12:00", "13:00"), "2026-11-24 12:00", None),
        # it is another day there
        (hours("22:00", "07:00", "Pacific/Auckland"), "2026-11-23 12:00", "2026-11-23 18:00"),
        # the night in which clocks go forward is an hour shorter, the one in which they go back an hour longer
        (hours("22:00", "07:00"), "2026-03-28 22:00", "2026-03-29 05:00"),
        (hours("22:00", "07:00"), "2026-10-24 22:00", "2026-10-25 06:00"),
        # half past two does not exist: an hour later, where the clocks jumped
        (hours("22:00", "02:30"), "2026-03-29 00:30", "2026-03-29 01:30"),
        (hours("22:00", "02:30"), "2026-03-29 01:30", None),
        # half past two comes twice, and ends the quiet twice
        (hours("22:00", "02:30"), "2026-10-25 00:15", "2026-10-25 00:30"),
        (hours("22:00", "02:30"), "2026-10-25 00:45", None),
        (hours("22:00", "02:30"), "2026-10-25 01:15", "2026-10-25 01:30"),
        (hours("22:00", "07:00", "Mars/Olympus"), "2026-11-23 22:00", None),
        (None, "2026-11-23 22:00", None),
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall(
    quiet: dict[str, str] | None, now: str, until: str | None
) -> None:
    assert quiet_until(quiet, utc(now)) == (None if until is None else utc(until))


@pytest.mark.parametrize("quiet", [hours("22:00", "02:30"), hours("02:15", "02:45"), hours("23:30", "00:10")])
@pytest.mark.parametrize("night", ["2026-03-28 12:00", "2026-10-24 12:00", "2026-07-01 12:00"])
def test_in_every_minute_of_every_night_the_end_lies_ahead_and_is_not_quiet(
    quiet: dict[str, str], night: str
) -> None:
    now, zone = utc(night), ZoneInfo(quiet["timezone"])
    for _ in range(24 * 60):
        now += timedelta(minutes=1)
        until = quiet_until(quiet, now)
        if until is not None:
            assert timedelta(0) < until - now <= timedelta(hours=6)
            assert quiet_until(quiet, until) is None, until.astimezone(zone)
