import pytest

from platform_core.errors import InvalidInput
from user_management.infrastructure.repositories import StandardFormats

FORMATS = StandardFormats()


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("eve@example.com", "eve@example.com"),
        ("  Eve@EXAMPLE.com ", "Eve@example.com"),
        ("eve+news@example.com", "eve+news@example.com"),
        ("eve@corp.local", "eve@corp.local"),
        ("eve@host.test", "eve@host.test"),
        ("eve@münchen.example", "eve@münchen.example"),
        ("o'brien@example.com", "o'brien@example.com"),
    ],
)
def test_an_address_is_kept_as_typed_but_for_its_domain(typed: str, kept: str) -> None:
    assert FORMATS.email(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "@",
        "eve",
        "eve@",
        "@example.com",
        "eve@host",
        "eve@.com",
        "eve@example..com",
        "eve@example.com.",
        "eve@exam ple.com",
        "eve eve@example.com",
        "eve@example.com\nBcc: x@example.com",
        "eve\r\n@example.com",
        '"eve eve"@example.com',
        "eve@[127.0.0.1]",
        "\u0435ve@example.com",  # a Cyrillic letter that looks like an e
        "a" * 65 + "@example.com",
        "a@" + "x" * 250 + ".com",
        "eve@example.com>",
        "<eve@example.com>",
    ],
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        FORMATS.email(typed)
    assert caught.value.fields[0].code == "invalid_email"


def test_time_zones_are_those_of_the_world() -> None:
    assert FORMATS.timezone("Europe/Berlin") == "Europe/Berlin"
    for name in ("Mars/Olympus", "../../etc/passwd", "europe/berlin", ""):
        with pytest.raises(InvalidInput):
            FORMATS.timezone(name)
