"""`docs/security.md` has every row that concerns what exists, and the tests that it names are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = {
    "sec": "tests/security",
    "um": "plugins/user_management/tests",
    "fi": "plugins/file_management/tests",
    "no": "plugins/notification/tests",
    "pm": "plugins/project_management/tests",
    "http": "tests/http",
    "kernel": "tests/kernel",
    "cli": "tests/cli",
    "accept": "tests/acceptance",
    "faults": "tests/faults",
    "migration": "tests/migration",
}
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = {
    int(number): (what, where)
    for number, what, where in re.findall(r"^\| (\d+) \| (.+?) \| (.+) \|$", TEXT, re.M)
}


def test_no_row_is_missing() -> None:
    assert {*range(1, 96)} <= ROWS.keys()


def test_each_row_names_a_test_or_says_why_there_is_none() -> None:
    for number, (_, where) in ROWS.items():
        alike = re.search(r"the same(?: as (\d+))?", where)
        if alike and alike[1]:
            assert "::" in ROWS[int(alike[1])][1], number
            continue
        assert "::" in where or where.startswith(("does not apply yet: ", "open: ")), number


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(\w+)/([\w/]+\.py)::(\w+)`", TEXT)
    assert len(named) > 90
    missing = []
    for place, path, name in named:
        file = ROOT / PLACES[place] / path
        if not file.is_file() or not re.search(rf"def {name}\b", file.read_text(encoding="utf-8")):
            missing.append(f"{place}/{path}::{name}")
    assert missing == []
