from datetime import UTC, datetime, timedelta

import pytest

from platform_core.domain import new_id
from user_management.domain import FailureWindow, Lifetime, RefreshState, Verdict

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WEEK = Lifetime(timedelta(days=7))
GRACE = timedelta(seconds=10)


def a_token(**changes: object) -> RefreshState:
    values: dict[str, object] = {
        "session_id": new_id(),
        "user_id": new_id(),
        "spent_at": None,
        "revoked_at": None,
        "expires_at": NOW + timedelta(days=7),
        "last_seen_at": NOW,
        "may_log_in": True,
    }
    return RefreshState(**values | changes)  # type: ignore[arg-type]  # a test's shorthand


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.ROTATE),
        ({"spent_at": NOW}, Verdict.SUPERSEDED),
        ({"spent_at": NOW - timedelta(seconds=10)}, Verdict.SUPERSEDED),
        ({"spent_at": NOW - timedelta(seconds=10, microseconds=1)}, Verdict.REUSED),
        ({"spent_at": NOW - timedelta(days=2)}, Verdict.REUSED),
        ({"revoked_at": NOW - timedelta(days=1)}, Verdict.DEAD),
        ({"revoked_at": NOW, "spent_at": NOW - timedelta(days=2)}, Verdict.DEAD),
        ({"expires_at": NOW}, Verdict.DEAD),
        ({"expires_at": NOW, "spent_at": NOW - timedelta(days=2)}, Verdict.DEAD),
        ({"may_log_in": False}, Verdict.DEAD),
    ],
)
def test_what_becomes_of_a_refresh_token(changes: dict[str, object], verdict: Verdict) -> None:
    assert a_token(**changes).judge(WEEK, GRACE, NOW) is verdict


def test_an_idle_session_ends_where_the_deployer_says_so() -> None:
    idle = Lifetime(timedelta(days=7), timedelta(minutes=30))
    assert a_token(last_seen_at=NOW - timedelta(minutes=29)).judge(idle, GRACE, NOW) is Verdict.ROTATE
    assert a_token(last_seen_at=NOW - timedelta(minutes=30)).judge(idle, GRACE, NOW) is Verdict.DEAD


def ago(*seconds: float) -> list[datetime]:
    return [NOW - timedelta(seconds=one) for one in seconds]


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        (ago(), None),
        (ago(40, 30, 20, 10), None),
        (ago(50, 40, 30, 20, 10), 250),
        (ago(299.5, 40, 30, 20, 10), 1),
        (ago(300, 40, 30, 20, 10), None),
        (ago(100, 50, 40, 30, 20, 10), 250),
        (ago(0, 0, 0, 0, 0), 300),
    ],
)
def test_five_failures_in_five_minutes_lock_until_the_first_of_them_is_old(
    failures: list[datetime], seconds: int | None
) -> None:
    assert FailureWindow(5, 300).locked_for(failures, NOW) == seconds
