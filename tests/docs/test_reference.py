"""The reference pages say what the code says: each hook, setting, problem, event, command and route, as it is now."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]
_TEXTS = [
    "commands.md",
    "events.md",
    "grades.md",
    "hooks.md",
    "http.md",
    "problems.md",
    "settings.md",
    "surface.md",
]
_PAGES = sorted([*_TEXTS, "components.svg", "containers.svg", "context.svg", "events.svg"])


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", REPOSITORY / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", _PAGES)
def test_a_reference_page_is_what_the_code_says(reference: ModuleType, page: str) -> None:
    assert reference.current(page) == reference.pages()[page], "run: uv run python tools/reference.py"


def test_there_is_a_page_of_each_kind_and_no_other(reference: ModuleType) -> None:
    assert sorted(reference.pages()) == _PAGES
    there = sorted(path.name for path in (REPOSITORY / "docs" / "reference").iterdir())
    assert there == sorted([*_PAGES, "surface.json"])


def test_every_event_and_every_route_says_what_it_is(reference: ModuleType) -> None:
    handbook = reference.shipped()
    assert len(handbook.events) > 30
    assert [event.name for event in handbook.events if not event.about] == []
    routes = [route for module in handbook.modules for route in module.routes]
    assert len(routes) > 100
    assert [f"{route.method} {route.path}" for route in routes if not route.summary] == []


def test_every_hook_says_when_it_is_called_and_what_happens_on_an_error(reference: ModuleType) -> None:
    text = reference.pages()["hooks.md"]
    hooks = text.split("### ")[1:]
    for hook in hooks:
        for label in ("When called", "Return", "Must not", "On error", "Since"):
            assert f"**{label}:**" in hook, f"{hook.splitlines()[0]} does not say: {label}"


def test_every_setting_says_what_it_is_for(reference: ModuleType) -> None:
    rows = [line for line in reference.pages()["settings.md"].splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert not [row for row in rows if row.rstrip().endswith("|  |")]
