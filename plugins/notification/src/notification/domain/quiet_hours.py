"""When somebody does not want to be disturbed, by the clock on their wall."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta

from notification.contracts import QuietHours
from platform_core.errors import FieldError


def quiet_until(quiet_hours: Mapping[str, str] | None, now: datetime) -> datetime | None:
    """
    Return when quiet hours end that go on at `now`; None when there are none.

    What counts is the wall clock where the user is. An end that the clocks jump over in spring comes as much later as
    they jump; one that they show twice in autumn ends each of both times.

    Args:
        quiet_hours: `start`, `end` (`HH:MM`) and `timezone`, as preferences keep them.
    """
    if quiet_hours is None:
        return None
    try:
        zone = zoneinfo.ZoneInfo(quiet_hours["timezone"])
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None  # time zones are abolished now and then: better a noise than a message that never comes
    local = now.astimezone(zone)
    wall, start, end = local.strftime("%H:%M"), quiet_hours["start"], quiet_hours["end"]
    is_quiet = start <= wall < end if start < end else wall >= start or wall < end
    if not is_quiet:
        return None
    day = local.date() if wall < end else local.date() + timedelta(days=1)
    for fold in (0, 1):
        ends_at = datetime.combine(day, time.fromisoformat(end), zone).replace(fold=fold).astimezone(UTC)
        if ends_at > now:
            return ends_at
    return now + timedelta(minutes=1)  # a zone whose clocks did something else: look again soon


def quiet_hours_problems(quiet_hours: QuietHours | None) -> list[FieldError]:
    """Return what is wrong with quiet hours that somebody asks for."""
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
