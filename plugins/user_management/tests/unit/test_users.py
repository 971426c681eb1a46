from datetime import UTC, datetime

import pytest

from platform_core.domain import new_id
from platform_core.errors import InvalidInput
from user_management import (
    RoleAssigned,
    RoleRevoked,
    UserDeactivated,
    UserDeleted,
    UserRegistered,
    UserRenamed,
)
from user_management.domain import ADMIN, ADMIN_ID, MEMBER_ID, Role, User

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def a_user(**values: object) -> User:
    user = User(
        id=new_id(),
        created_at=NOW,
        updated_at=NOW,
        **{"email": "eve@example.com", "username": "eve"} | values,
    )  # type: ignore[arg-type]  # a test's shorthand
    user.mark_stored()
    return user


def test_who_registers_is_a_member_and_everybody_hears_of_it() -> None:
    verification_id = new_id()
    user = User.register(
        user_id=new_id(),
        verification_id=verification_id,
        email="eve@example.com",
        username="eve",
        full_name="  Eve ",
        now=NOW,
    )
    assert user.role_ids == {MEMBER_ID}
    assert (user.full_name, user.email_verified, user.is_active) == ("Eve", False, True)
    assert user.release_events() == [
        UserRegistered(
            user_id=user.id,
            email="eve@example.com",
            username="eve",
            full_name="Eve",
            locale=None,
            verification_id=verification_id,
        )
    ]


@pytest.mark.parametrize("username", ["ab", "a" * 33, "with space", "ünder", "a/b", "", "a\nb", "eve\n"])
def test_a_username_has_3_to_32_plain_characters(username: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        a_user().rename(username=username, full_name=None, now=NOW)
    assert caught.value.fields[0].pointer == "/body/username"


@pytest.mark.parametrize("full_name", ["Eve\nBcc: x@example.com", "Eve\u2028Adams", "\x1b[31mEve", "Eve\x7f"])
def test_a_full_name_is_one_line_of_letters(full_name: str) -> None:
    with pytest.raises(InvalidInput, match="control characters"):
        a_user().rename(username="eve", full_name=full_name, now=NOW)


@pytest.mark.parametrize(
    "full_name", ["José Müller-Lüdenscheidt", "山田\u3000太郎", "क्\u200dष", "O'Brien 🦊"]
)
def test_names_of_the_world_are_kept(full_name: str) -> None:
    user = a_user()
    user.rename(username="eve", full_name=f" {full_name} ", now=NOW)
    assert user.full_name == full_name


def test_renaming_to_the_same_names_changes_nothing() -> None:
    user = a_user(full_name="Eve")
    user.rename(username="eve", full_name="Eve ", now=NOW)
    assert (user.version, user.release_events()) == (1, [])


def test_renaming_tells_others_both_names() -> None:
    user = a_user(full_name="Eve")
    user.rename(username="eve2", full_name="Eve", now=NOW)
    assert user.version == 2
    assert user.release_events() == [UserRenamed(user_id=user.id, username="eve2", full_name="Eve")]


def test_a_name_of_before_a_stricter_rule_does_not_stand_in_the_way_of_another_username() -> None:
    user = a_user()
    user.full_name = "Eve\u202e"  # stored when it was still allowed

    user.rename(username="eve2", full_name=user.full_name, now=NOW)

    assert (user.username, user.full_name) == ("eve2", "Eve\u202e")


def test_giving_and_taking_a_role_is_recorded_once() -> None:
    user, role = (
        a_user(),
        Role.built_in(role_id=ADMIN_ID, name=ADMIN, description="", permissions=["*"], now=NOW),
    )
    for _ in range(2):
        user.assign(role, NOW)
    assert user.is_administrator
    for _ in range(2):
        user.revoke(role, NOW)
    assert not user.is_administrator
    assert [type(event) for event in user.release_events()] == [RoleAssigned, RoleRevoked]


def test_disabling_twice_is_disabling_once() -> None:
    user = a_user()
    user.deactivate(NOW)
    user.deactivate(NOW)
    assert user.release_events() == [UserDeactivated(user_id=user.id)]


def test_a_deleted_account_says_so() -> None:
    user = a_user()
    user.delete(NOW)
    assert user.deleted_at == NOW
    assert user.release_events() == [UserDeleted(user_id=user.id)]


def described(user: User, **changes: str | None) -> None:
    values: dict[str, str | None] = {
        "locale": None,
        "timezone": None,
        "phone_number": None,
        "avatar_url": None,
    }
    user.describe(**values | changes, now=NOW)  # type: ignore[arg-type]  # a test's shorthand


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://127.1/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/",
        "http://0/x",
        "http://2130706433/",
        "http://0x7f.0x1/",
        "http://169.254.169.254/latest",
        "http://10.0.0.1/",
        "http://localhost/",
        "http://localhost./",
        "http://printer.local/",
        "http://metadata.google.internal/",
        "http://intranet/",
        "http://user:secret@example.com/",  # pragma: allowlist secret
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:image/png;base64,AA",
        "//example.com/x",
        "http://exa mple.com/",
        "http://[::1/",
        "http://",
    ],
)
def test_an_avatar_never_points_into_a_private_network(url: str) -> None:
    with pytest.raises(InvalidInput):
        described(a_user(), avatar_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png?x=1",
        "http://bücher.example/x",
        "https://93.184.216.34/a",
        "https://a.b.co:8443/",
    ],
)
def test_an_avatar_may_be_anywhere_in_public(url: str) -> None:
    user = a_user()
    described(user, avatar_url=url)
    assert user.avatar_url == url


@pytest.mark.parametrize("locale", ["d", "deutsch-", "de_DE", "1", "de-", "de DE"])
def test_a_locale_is_a_language_tag(locale: str) -> None:
    with pytest.raises(InvalidInput):
        described(a_user(), locale=locale)


@pytest.mark.parametrize("number", ["+", "12", "abc", "+49 30 x", "1234567\r\nBcc:"])
def test_a_phone_number_has_digits(number: str) -> None:
    with pytest.raises(InvalidInput):
        described(a_user(), phone_number=number)


def test_a_profile_can_be_filled_and_cleared() -> None:
    user = a_user()
    described(user, locale="pt-BR", phone_number=" +49 (30) 123-456 ", timezone="Europe/Berlin")
    assert (user.locale, user.phone_number, user.timezone) == ("pt-BR", "+49 (30) 123-456", "Europe/Berlin")
    described(user)
    assert (user.locale, user.phone_number, user.timezone) == (None, None, None)
