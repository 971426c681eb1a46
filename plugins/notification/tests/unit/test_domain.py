"""What becomes of a mail, and who wants to hear of what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from notification.contracts import NotificationKind, QuietHours, TemplateSource
from notification.domain import (
    ATTEMPTS_COUNT,
    DEFAULT_CHANNELS,
    Email,
    Preferences,
    check_preferences,
    greeting_name,
    locale_chain,
    one_line,
    wanted_channels,
)
from platform_core.domain import new_id
from platform_core.errors import InvalidInput

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NEWS = NotificationKind(
    name="project_management.task_assigned", title="Task", channels=("email", "in_app", "pager")
)
RESET = NotificationKind(
    name="user_management.password_reset_requested", title="Reset", channels=("email",), essential=True
)


def mail() -> Email:
    return Email(
        id=new_id(),
        created_at=NOW,
        updated_at=NOW,
        event_id=new_id(),
        kind=NEWS.name,
        user_id=new_id(),
        channel="email",
        recipient="maria@example.org",
        subject="Task",
    )


def preferences(**changes: Any) -> Preferences:
    return Preferences(id=new_id(), created_at=NOW, updated_at=NOW, user_id=new_id(), **changes)


def test_a_mail_that_was_taken_is_over_and_forgets_earlier_errors() -> None:
    email = mail()
    email.was_deferred(NOW, subject="Task", reason="451 later")
    email.was_sent(NOW, subject="Task: paint", message_id="<1@x>")
    assert (email.status, email.attempts, email.error, email.sent_at) == ("sent", 2, None, NOW)
    assert email.is_over


def test_a_deferred_mail_stays_queued_until_its_last_attempt() -> None:
    email = mail()
    for _ in range(ATTEMPTS_COUNT - 1):
        email.was_deferred(NOW, subject="Task", reason="451 later")
    assert email.status == "queued"
    email.was_deferred(NOW, subject="Task", reason="451 later")
    assert (email.status, email.error) == ("failed", "451 later")
    assert not email.is_over, "an operator may repeat the dead letter"


def test_a_refused_mail_has_failed_at_once() -> None:
    email = mail()
    email.was_refused(NOW, subject="Task", reason="550 no such user")
    assert (email.status, email.attempts) == ("failed", 1)


def test_waiting_for_a_mail_server_counts_as_no_attempt() -> None:
    email = mail()
    email.hold(NOW, "not configured")
    assert (email.status, email.attempts, email.held_at) == ("queued", 0, NOW)
    email.release(NOW)
    assert email.held_at is None


def test_an_error_is_stored_as_one_short_line() -> None:
    email = mail()
    email.was_refused(NOW, subject="s", reason="550 no\r\nX-Injected: 1" + "x" * 1000)
    assert email.error is not None
    assert len(email.error) == 500
    assert "\n" not in email.error


def test_by_default_mail_and_inbox_are_on_and_unknown_channels_are_left_out() -> None:
    assert wanted_channels(NEWS, None, DEFAULT_CHANNELS) == ("email", "in_app")


def test_a_channel_or_a_kind_that_is_off_is_not_used() -> None:
    assert wanted_channels(NEWS, preferences(channels={"email": False}), DEFAULT_CHANNELS) == ("in_app",)
    off = preferences(kinds={NEWS.name: {"email": False, "in_app": False}})
    assert wanted_channels(NEWS, off, DEFAULT_CHANNELS) == ()


def test_a_kind_cannot_switch_on_a_channel_that_is_off() -> None:
    mixed = preferences(channels={"email": False}, kinds={NEWS.name: {"email": True}})
    assert "email" not in wanted_channels(NEWS, mixed, DEFAULT_CHANNELS)


def test_security_mails_are_sent_whatever_the_preferences_say() -> None:
    off = preferences(channels={"email": False}, kinds={RESET.name: {"email": False}})
    assert wanted_channels(RESET, off, DEFAULT_CHANNELS) == ("email",)


def test_preferences_about_things_that_do_not_exist_are_refused_with_each_place() -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_preferences(
            channels={"email": True, "pigeon": True},
            kinds={"a/b.c~d": {"email": True}, NEWS.name: {"drum": False}},
            quiet_hours=QuietHours("25:00", "07:00", "Mars/Olympus"),
            known_channels=DEFAULT_CHANNELS,
            known_kinds=[NEWS.name],
        )
    assert [field.pointer for field in refusal.value.fields] == [
        "/body/channels/pigeon",
        "/body/kinds/a~1b.c~0d",
        f"/body/kinds/{NEWS.name}/drum",
        "/body/quiet_hours/start",
        "/body/quiet_hours/timezone",
    ]


@pytest.mark.parametrize("timezone", ["../../etc/passwd", "/etc/passwd", "Europe", "x\0y"])
def test_a_time_zone_is_no_path(timezone: str) -> None:
    with pytest.raises(InvalidInput):
        check_preferences(
            channels={},
            kinds={},
            quiet_hours=QuietHours("22:00", "07:00", timezone),
            known_channels=(),
            known_kinds=(),
        )


def test_wording_is_looked_for_from_the_narrow_language_to_the_wide_one() -> None:
    assert locale_chain("de_AT", "en") == ("de-at", "de", "en")
    assert locale_chain("en", "en") == ("en",)
    assert locale_chain(None, "en") == ("en",)


@pytest.mark.parametrize(
    ("full_name", "username", "expected"),
    [
        ("Maria Musterfrau", "maria", "Maria Musterfrau"),
        (None, "maria", "maria"),
        ("  ", "maria", "maria"),
        ("You won: http://evil.example", "maria", "maria"),
        ("Visit evil.example now", "maria", "maria"),
        ("<b>Maria</b>", "m.evil", ""),
        ("Maria\r\nBcc: all@example.org", "maria", "maria"),
        ("Ma\u202eria", "x", "Ma ria"),
    ],
)
def test_a_name_that_looks_like_an_address_or_link_is_not_repeated(
    full_name: str | None, username: str, expected: str
) -> None:
    assert greeting_name(full_name, username) == expected


def test_one_line_has_no_line_breaks_and_no_direction_marks() -> None:
    assert one_line("a\r\nb\x00c\u2028d\u202ee\ud800f", 100) == "a b c d e f"


@pytest.mark.parametrize("wrong", [{"kind": "task"}, {"channel": "E-Mail"}, {"locale": "deutsch!"}])
def test_a_contribution_with_a_wrong_name_is_refused_where_it_is_made(wrong: dict[str, str]) -> None:
    values = {"kind": "a.b", "channel": "email", "locale": "de", "subject": "s", "text": "t"} | wrong
    with pytest.raises(ValueError, match="does not fit"):
        TemplateSource(**values)
