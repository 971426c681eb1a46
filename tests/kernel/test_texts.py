"""What people may call things: one rule, whichever module asks."""

import pytest

from platform_core.errors import InvalidInput
from platform_core.texts import human_name, human_text

ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("  Garden \n", "Garden"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("\u5c71\u7530\u3000\u592a\u90ce", "\u5c71\u7530\u3000\u592a\u90ce"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\u200d\U0001f469\u200d\U0001f467"),
        ("?", "?"),
        ("0", "0"),
    ],
)
def test_a_name_is_kept_without_the_space_around_it(sent: str, kept: str) -> None:
    assert human_name(sent, "name") == kept


@pytest.mark.parametrize(
    "sent", ["", " \t\n", ZERO_WIDTH, "\u00ad", "\u3164", "\u2800 \u2800", "\u0301", "\ufe0f", "\ue000"]
)
def test_what_shows_nothing_is_neither_name_nor_text(sent: str) -> None:
    for rule in (human_name, human_text):
        with pytest.raises(InvalidInput) as refused:
            rule(sent, "title")
        assert [(field.pointer, field.code) for field in refused.value.fields] == [("/body/title", "empty")]


@pytest.mark.parametrize(
    "sent", ["a\nb", "a\tb", "a\x1b[31m", "a\x7f", "a\x85b", "a\u2028b", "a\u202egpj.exe", "\u2066a"]
)
def test_a_name_is_one_line_and_what_it_seems_to_be(sent: str) -> None:
    with pytest.raises(InvalidInput, match="line breaks or other control characters"):
        human_name(sent, "name")


def test_a_text_has_lines_and_directions_but_no_other_controls() -> None:
    assert (
        human_text(" one\r\n\ttwo \u200f\u05e9\u05dc\u05d5\u05dd ", "body")
        == "one\r\n\ttwo \u200f\u05e9\u05dc\u05d5\u05dd"
    )
    for sent in ("a\x1b[31m", "a\x08", "a\x9d"):
        with pytest.raises(InvalidInput, match="control characters"):
            human_text(sent, "body")
