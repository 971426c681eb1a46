"""`docs/offences.md` names the gates that stop each offence, and each line has a test that says so."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = {place: f"tests/{place}" for place in ("cli", "faults", "kernel", "migration")}
PLACES |= {"accept": "tests/acceptance", "tools": "tools"}
GATES = {"check", "upgrade", "start", "runtime", "database", "conformance"}
EACH = {
    "reads another module's table": {"database", "conformance"},
    "imports another module's internals": {"check", "conformance"},
    "overrides a route": {"check", "start"},
    "reuses an event's name": {"check", "start"},
    "claims another's permission": {"check", "start"},
    "claims another's table": {"check", "start", "database"},
    "claims another's hook": {"start"},
    "reaches outside its schema in a revision": {"upgrade"},
    "hangs": {"check", "start", "runtime", "conformance"},
    "raises": {"check", "start", "runtime", "conformance"},
    "leaks a connection": {"runtime", "conformance"},
}
"""What is promised of a hostile module; the page may have more."""

ROWS = re.findall(
    r"^\| (.+?) \| (\w+) \| `(.+?)`.*? \| `(\w+)/([\w/]+\.py)::(\w+)` \|$",
    (ROOT / "docs" / "offences.md").read_text(encoding="utf-8"),
    re.M,
)


def test_every_promised_offence_is_stopped_at_every_gate_that_can_see_it() -> None:
    stopped: dict[str, set[str]] = {}
    for offence, gate, *_ in ROWS:
        stopped.setdefault(offence, set()).add(gate)
    assert set().union(*stopped.values()) == GATES
    for offence, gates in EACH.items():
        assert gates <= stopped.get(offence, set()), offence


def test_every_line_has_a_test_and_what_the_gate_says_stands_in_it() -> None:
    text = (ROOT / "docs" / "offences.md").read_text(encoding="utf-8")
    assert len(ROWS) == text.count("::"), "a line is written in another way"
    wrong = []
    for offence, gate, said, place, path, name in ROWS:
        file = ROOT / PLACES[place] / path
        source = file.read_text(encoding="utf-8") if file.is_file() else ""
        if not re.search(rf"^(async def {name}\b|def {name}\b|{name}\b)", source, re.M):
            wrong.append(f"{offence}, {gate}: there is no {name} in {file.relative_to(ROOT)}")
        # texts are wrapped, quoted and made of parts; letters are what counts
        elif _letters(said) not in _letters(source.replace("{USERS}", "")):
            wrong.append(f"{offence}, {gate}: {file.relative_to(ROOT)} does not expect {said!r}")
    assert wrong == []


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
