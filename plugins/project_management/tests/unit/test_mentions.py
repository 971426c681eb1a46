"""Who is meant by `@username`."""

from __future__ import annotations

import pytest

from project_management.domain import mentioned


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@ben can you?", ["ben"]),
        ("Thanks, @Ben!", ["ben"]),
        ("ask @ben.", ["ben.", "ben"]),
        ("(@ben, @anna-lena and @j.doe_1)", ["ben", "anna-lena", "j.doe_1"]),
        ("@ben @ben @BEN", ["ben"]),
        ("mail ben@example.com or x@@ben", []),
        ("@jo is too short, @ too", []),
        ("see /path/@ben", []),
        ("", []),
    ],
)
def test_a_mention_is_a_name_after_an_at_sign(text: str, names: list[str]) -> None:
    assert mentioned(text) == names


def test_a_text_full_of_mentions_costs_no_more_than_fifty() -> None:
    assert len(mentioned(" ".join(f"@user{n}" for n in range(1000)))) == 50
