"""What others build on is written down, and a change that would break them is named, with what to do about it."""

import copy
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "tools"))

import surface  # the path is made above

from platform_core._surface import broken, hasty, kept, offered, text_of
from platform_core._surface.comparison import is_compatible as is_still_compatible

TODAY = date(2027, 6, 1)

BEFORE: dict[str, Any] = {
    "versions": {"blog": "1.4.2"},
    "deprecated": {
        "blog http GET /old": {"since": "2026-01-01", "until": "2027-06-01", "instead": "GET /new"}
    },
    "provisional": {},
    "stable": {
        "blog": {
            "contracts": {"blog.Posts": {"": "class (Protocol)", ".get": "async (self, id: UUID) -> Post"}},
            "events": {"blog.posted": {"": "version 1", " title": "str"}},
            "http": {
                "GET /old": {"": "blog.old"},
                "POST /posts": {
                    "": "blog.post",
                    " body.title": "required string",
                    " 201.id": "string (uuid)",
                },
            },
            "settings": {"PLATFORM_BLOG_LIMIT": {"": "optional int"}},
        }
    },
}


def test_the_surface_of_the_code_is_the_one_that_is_written_down() -> None:
    before, now = kept(surface.FILE), surface.surface()
    assert list(broken(before, now, date.today())) == []  # noqa: DTZ011  # a day of the calendar
    assert list(hasty(now)) == []
    assert text_of(now) == text_of(before), "run: uv run python tools/surface.py"


def changed(change: Callable[[dict[str, Any]], object]) -> list[str]:
    now = copy.deepcopy(BEFORE)
    change(now["stable"]["blog"])
    return list(broken(BEFORE, now, TODAY))


@pytest.mark.parametrize("change", [
    lambda b: b["http"]["POST /posts"].update({" body.tags": "optional list of string", " 201.slug": "string"}),
    lambda b: b["http"]["POST /posts"].update({" body.title": "optional string"}),
    lambda b: b["http"]["POST /posts"].update({" body.map": "optional Map", " body.map.x": "required number"}),
    lambda b: b["http"].update({"POST /drafts": {"": "blog.draft", " body.title": "required string"}}),
    lambda b: b["contracts"]["blog.Posts"].update({".get": "async (self, id: UUID, *, all: bool = False) -> Post"}),
    lambda b: b["events"]["blog.posted"].update({"": "version 2", " tags": "list[str]"}),
    lambda b: b["settings"].update({"PLATFORM_BLOG_COLOUR": {"": "optional str"}}),
    lambda b: b["http"].pop("GET /old"),
])  # fmt: skip
def test_what_grows_or_was_announced_breaks_nobody(change: Callable[[dict[str, Any]], object]) -> None:
    assert changed(change) == []


@pytest.mark.parametrize(("change", "told"), [
    (lambda b: b["http"].pop("POST /posts"), "http: POST /posts is gone, or no longer stable"),
    (lambda b: b["http"]["POST /posts"].pop(" 201.id"), "http: POST /posts 201.id is gone"),
    (
        lambda b: b["http"]["POST /posts"].update({" body.tags": "required list of string"}),
        "http: POST /posts body.tags is new and required: who does not know it fails",
    ),
    (
        lambda b: b["http"]["POST /posts"].update({" 201.id": "integer"}),
        "http: POST /posts 201.id was `string (uuid)` and is `integer`",
    ),
    (
        lambda b: b["contracts"]["blog.Posts"].update({".get": "async (self, id: UUID, all: bool) -> Post"}),
        "contracts: blog.Posts.get was `async (self, id: UUID) -> Post` and is",
    ),
    (lambda b: b["events"]["blog.posted"].pop(" title"), "events: blog.posted title is gone"),
    (
        lambda b: b["settings"].update({"PLATFORM_BLOG_KEY": {"": "required SecretStr"}}),
        "settings: PLATFORM_BLOG_KEY is new and required",
    ),
])  # fmt: skip
def test_what_breaks_somebody_is_named_with_what_to_do(
    change: Callable[[dict[str, Any]], object], told: str
) -> None:
    (found,) = changed(change)
    assert found.startswith(f"blog, {told}")
    assert "declare it Deprecated (docs/compatibility.md)" in found
    assert found.endswith("raise blog to version 2.0.0")


def test_a_first_setting_that_is_required_breaks_whoever_needed_none() -> None:
    before = copy.deepcopy(BEFORE)
    del before["stable"]["blog"]["settings"]
    now = copy.deepcopy(before)
    now["stable"]["blog"]["settings"] = {"PLATFORM_BLOG_KEY": {"": "required SecretStr"}}
    (found,) = broken(before, now, TODAY)
    assert found.startswith("blog, settings: PLATFORM_BLOG_KEY is new and required")


def test_the_fields_of_lists_inside_of_listed_items_are_told_and_a_circle_ends() -> None:
    text, step = {"type": "string"}, {"$ref": "#/components/schemas/Step"}
    schemas = {
        "Step": {"properties": {"name": text, "next": {"type": "array", "items": step}}},
        "Saga": {"properties": {"steps": {"type": "array", "items": step}}},
    }
    page = {"properties": {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Saga"}}}}
    told = offered._flat(page, {"components": {"schemas": schemas}}, is_request=False)
    assert [field for field, _ in told] == [
        ".items",
        ".items[].steps",
        ".items[].steps[].name",
        ".items[].steps[].next",
    ]


def test_the_next_major_version_may_break_what_it_wants_and_a_minor_one_may_not() -> None:
    now = copy.deepcopy(BEFORE)
    now["stable"]["blog"]["http"].clear()
    now["versions"]["blog"] = "1.5.0"
    assert len(list(broken(BEFORE, now, TODAY))) == 2 - 1  # one of both was announced
    now["versions"]["blog"] = "2.0.0"
    assert list(broken(BEFORE, now, TODAY)) == []


def test_what_was_announced_stays_until_its_day() -> None:
    now = copy.deepcopy(BEFORE)
    del now["stable"]["blog"]["http"]["GET /old"]
    assert len(list(broken(BEFORE, now, date(2027, 5, 31)))) == 1


@pytest.mark.parametrize(("until", "is_hasty"), [
    (None, False), ("2027-03-01", True), ("2028-02-27", True), ("2028-02-28", False), ("2028-02-29", False),
])  # fmt: skip
def test_who_builds_on_something_has_a_year_to_leave_it(until: str | None, is_hasty: bool) -> None:
    told = {"since": "2027-02-28", "until": until, "instead": "GET /new"}
    found = list(hasty({**BEFORE, "deprecated": {"blog http GET /old": told}}))
    assert bool(found) is is_hasty


@pytest.mark.parametrize(("before", "now", "is_compatible"), [
    ("(a: int) -> str", "(a: int, b: str = ...) -> str", True),
    ("(a: int) -> str", "(a: int = 3) -> str", True),
    ("(a: int) -> str", "(a: int, *, b: str) -> str", False),
    ("(a: int) -> str", "(b: int) -> str", False),
    ("(a: int) -> str", "(a: int) -> str | None", False),
    ("(a: int) -> str", "async (a: int) -> str", False),
    ("(*, a: int) -> str", "(a: int) -> str", True),
    ("(a: int) -> str", "(*, a: int) -> str", False),
    ("(a: int, b: int = 1) -> str", "(b: int = 1, a: int = 2) -> str", False),
    ("(self) -> str", "property (self) -> str", False),
    ("property (self) -> str", "(self) -> str", False),
    ("(a: int) -> str", "a Decimal", False),
    ("async (a: int) -> str", "is decimal.Decimal", False),
])  # fmt: skip
def test_a_function_may_take_more_as_long_as_nobody_has_to_give_it(
    before: str, now: str, is_compatible: bool
) -> None:
    assert is_still_compatible("names", before, now) is is_compatible
