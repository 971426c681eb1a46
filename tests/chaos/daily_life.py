"""What people do all day, as operations: marks, own marks, changed profiles, and now and then somebody new."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from platform_core.testing.chaos import Operation, Rig
from user_management.testing import Account, log_in, sign_up

TALLY = Path(__file__).parents[1] / "faults" / "plugins" / "tally"
MODULES = ["user_management", "notification"]
SETTINGS = {"PLATFORM_USER_MANAGEMENT_ACCESS_TOKEN_MINUTES": "60"}
EFFECTS = {"tally.note": "SELECT event_id FROM tally.effects"}

_PEOPLE_COUNT = 25
_RENEWED_SECONDS = 20 * 60
"""A third of what a token lives, so that one may fail."""


class DailyLife:
    """
    Example:
        async with DailyLife.of(rig) as life:
            await rig.run(life.operation, effects=EFFECTS)
    """

    def __init__(self, people: Sequence[Account]) -> None:
        self._people = list(people)

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, rig: Rig) -> AsyncIterator[DailyLife]:
        """Sign everybody up, and see to it that they stay logged in for the length of the block."""
        life = cls([await sign_up(rig.p, f"person{number}") for number in range(_PEOPLE_COUNT)])
        renewing = asyncio.create_task(life._stay_logged_in(rig), name="renewing")
        try:
            yield life
        finally:
            renewing.cancel()

    async def _stay_logged_in(self, rig: Rig) -> None:
        """Long runs outlast tokens; whoever logs in is another session, through a connection without faults."""
        while True:
            await asyncio.sleep(_RENEWED_SECONDS)
            for number, person in enumerate(self._people):
                with contextlib.suppress(AssertionError):  # PostgreSQL is down just now; the token lives on
                    self._people[number] = await log_in(rig.p, person.email)

    def operation(self, number: int) -> Operation:
        """Of twenty, one registers, four change their profile, five make marks of their own, ten make marks."""
        match number % 20:
            case 0:
                return _register(number)
            case 1 | 6 | 11 | 16:
                return self._update_me(number)
            case odd if odd % 4 == 3:
                return mark(number, self._somebody(number))
            case _:
                return mark(number)

    def _update_me(self, number: int) -> Operation:
        return Operation(
            method="PATCH",
            path="/api/v1/users/me",
            body={"full_name": f"Person of {number}"},
            headers=_authorized(self._somebody(number)),
            command="user_management.update_me",
        )

    def _somebody(self, number: int) -> Account:
        return self._people[number % len(self._people)]


def mark(number: int, by: Account | None = None) -> Operation:
    """Make a mark, which is one row, one event, one delivery, one effect."""
    return Operation(
        path="/api/v1/tally/own-marks" if by else "/api/v1/tally/marks",
        body={"text": f"mark {number}"},
        headers=_authorized(by) if by else {},
        command="tally.make_mark",
        events=["tally.marked"],
        table="tally.marks",
    )


async def everybody_new_was_welcomed_once(rig: Rig) -> None:
    """Of the mail's log: one line for each registration, sent."""
    lines = await rig.sql("SELECT user_id, status FROM notification.email_logs")
    new = await rig.sql(
        "SELECT aggregate_id AS id FROM audit.domain_events WHERE name = 'user_management.user_registered'"
    )
    assert {line["status"] for line in lines} <= {"sent"}
    assert Counter(line["user_id"] for line in lines) == Counter(row["id"] for row in new)


async def the_books_balance(rig: Rig) -> None:
    """Nothing is there that nobody has asked for: rows, trail, events and effects are equally many."""
    [counts] = await rig.sql(
        "SELECT (SELECT count(*) FROM tally.marks) AS rows,"
        " (SELECT count(*) FROM audit.audit_logs WHERE action = 'tally.make_mark' AND outcome = 'done') AS trail,"
        " (SELECT count(*) FROM audit.domain_events WHERE name = 'tally.marked') AS events,"
        " (SELECT count(*) FROM tally.effects) AS effects"
    )
    assert len(set(counts.values())) == 1, counts


def _register(number: int) -> Operation:
    return Operation(
        path="/api/v1/users/register",
        body={
            "email": f"new{number}@example.com",
            "username": f"new{number}",
            "password": "a long enough sentence",
        },
        command="user_management.register_user",
        events=["user_management.user_registered"],
        table="user_management.users",
    )


def _authorized(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.access_token}"}
