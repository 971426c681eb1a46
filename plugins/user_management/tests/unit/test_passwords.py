import time

import pytest

from platform_core.errors import InvalidInput
from user_management.infrastructure.hashing import password_policy

POLICY = password_policy()


def refused(password: str, email: str = "eve@example.com", username: str = "evelyn.b") -> str | None:
    try:
        POLICY.check(password, email=email, username=username, name="new_password")
    except InvalidInput as error:
        return error.fields[0].code
    return None


@pytest.mark.parametrize(
    "password",
    [
        "x8dq!?ab",
        "        ",
        "ああああああああ",
        "😀" * 8,
        "x8dq!?ab" * 128,
        "eve@example.com1",
        "no rules, just long",
        "aB\0cdefg",
    ],
)
def test_length_is_all_that_is_asked_for(password: str) -> None:
    assert refused(password) is None


def test_seven_characters_are_too_few_and_1025_too_many() -> None:
    assert refused("x8dq!?a") == "password_too_short"
    assert refused("😀" * 7) == "password_too_short"
    assert refused("y" * 1025) == "password_too_long"


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "PASSWORD",
        "12345678",
        "Iloveyou",
        "qwertyuiop",
        "1qaz2wsx",
        "sunshine",
        "platformcore",
        "Platform Core",
    ],
)
def test_what_everybody_tries_first_is_refused(password: str) -> None:
    assert refused(password) == "password_too_common"


@pytest.mark.parametrize("password", ["eve@example.com", "EVE@Example.com", "Evelyn.B"])
def test_the_own_address_and_username_are_refused(password: str) -> None:
    assert refused(password) == "password_is_own_name"


def test_the_list_has_more_than_3000_entries_long_enough_to_matter() -> None:
    assert len(POLICY.common) > 3000
    assert all(len(entry) >= 8 and entry == entry.casefold() for entry in POLICY.common)


def test_checking_takes_no_time_however_long_the_password() -> None:
    before = time.thread_time()
    assert refused("z" * 1_000_000) == "password_too_long"
    assert time.thread_time() - before < 0.02


def test_the_field_that_is_at_fault_is_pointed_at() -> None:
    with pytest.raises(InvalidInput) as caught:
        POLICY.check("short", email="", username="", name="new_password")
    assert caught.value.fields[0].pointer == "/body/new_password"
