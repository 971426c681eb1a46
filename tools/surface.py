"""
The published surface: what others build on, each with a grade, written down in `docs/reference/surface.json`.

    uv run python tools/surface.py            write what was added; refuses what would break somebody
    uv run python tools/surface.py --check    exit 1 when the file is not what the code says, with what to do

`tools/reference.py` does the same before it writes its pages.

Module authors build on hooks, on the names of `PUBLISHED`, and on each module's contracts, events and permissions;
clients on HTTP; deployers on settings and commands. The file holds all of it, derived from the code. What it calls
stable may grow, but goes or changes only after it was declared `Deprecated` until a day that is over, or with the next
major version of its distribution (before 1.0: the next minor one, as semantic versioning has it).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

import surface_parts  # the path is made above

REPOSITORY: Final = Path(__file__).parent.parent
FILE: Final = REPOSITORY / "docs" / "reference" / "surface.json"

Surface = dict[str, Any]
"""
`versions`: owner → version. `stable` and `provisional`: owner → kind → name → detail → description, where the empty
detail is the thing itself. `deprecated`: "owner kind name" → since when, until when, what to use instead.
"""


def surface() -> Surface:
    """Return the surface as the code has it now."""
    found: Surface = {"versions": surface_parts.versions(), "stable": {}, "provisional": {}, "deprecated": {}}
    for part in surface_parts.parts():
        kinds = found[part.grade].setdefault(part.owner, {})
        kinds.setdefault(part.kind, {}).setdefault(part.name, {})[part.detail] = part.says
        if part.deprecated is not None:
            found["deprecated"][f"{part.owner} {part.kind} {part.name}{part.detail}"] = part.deprecated.json
    return found


def written(found: Surface) -> str:
    """Return the file's text."""
    return json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def committed() -> Surface:
    """Return the surface that the file promises; an empty one where there is no file yet."""
    if not FILE.is_file():
        return {"versions": {}, "stable": {}, "provisional": {}, "deprecated": {}}
    loaded: Surface = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def broken(before: Surface, now: Surface, today: date) -> Iterator[str]:
    """Yield what would break somebody who built on `before`: what it is, and what to do about it."""
    for owner, kinds in before["stable"].items():
        if _is_next_major(before["versions"][owner], now["versions"].get(owner, "")):
            continue
        # an owner that had no settings may get a first one that is required
        for kind in sorted({*kinds, "settings"}):
            names = kinds.get(kind, {})
            after = now["stable"].get(owner, {}).get(kind, {})
            found = [(n, "", "is gone, or no longer stable") for n in names.keys() - after.keys()]
            found += [
                (n, *harm) for n in names.keys() & after.keys() for harm in _harm(kind, names[n], after[n])
            ]
            if kind == "settings":
                found += [
                    (n, "", _NEW) for n in after.keys() - names.keys() if after[n][""].startswith("required")
                ]
            for name, detail, happened in sorted(found):
                announced = (f"{owner} {kind} {name}", f"{owner} {kind} {name}{detail}")
                if not any(_was_announced(before, one, today) for one in announced):
                    yield f"{owner}, {kind}: {name}{detail} {happened}. {_advice(owner, before['versions'][owner])}"


def hasty(now: Surface) -> Iterator[str]:
    """Yield what is deprecated and would go before the year is over that docs/compatibility.md promises."""
    for name, told in now["deprecated"].items():
        if told["until"] is None:
            continue
        since, until = date.fromisoformat(told["since"]), date.fromisoformat(told["until"])
        if (until.year - 1, until.month, until.day) < (since.year, since.month, since.day):
            yield f"{name} is deprecated since {since} and would go on {until}. Leave it for a year at least."


def _harm(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for detail, said in before.items():
        if detail not in after:
            yield detail, "is gone"
        elif not surface_parts.is_compatible(kind, said, after[detail]):
            yield detail, f"was `{said}` and is `{after[detail]}`"
    for detail in after.keys() - before.keys():
        if after[detail].startswith("required") and not _is_inside_of_new(detail, before, after):
            yield detail, _NEW


_NEW: Final = "is new and required: who does not know it fails"


def _is_inside_of_new(detail: str, before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Tell whether a required field belongs to an object that is itself new, and may be left out."""
    outer = detail.rpartition(".")[0]
    return outer in after and outer not in before


def _was_announced(before: Surface, name: str, today: date) -> bool:
    until = before["deprecated"].get(name, {}).get("until")
    return until is not None and date.fromisoformat(until) <= today


def _is_next_major(before: str, now: str) -> bool:
    return bool(now) and _majors(now) > _majors(before)


def _majors(version: str) -> tuple[int, ...]:
    """Return the part that a breaking release raises: the first number, and while that is 0 the second, too."""
    first, second = (int(number) for number in version.split(".")[:2])
    return (first,) if first else (first, second)


def _advice(owner: str, version: str) -> str:
    next_major = f"{m[0] + 1}.0.0" if len(m := _majors(version)) == 1 else f"0.{m[1] + 1}.0"
    distribution = (
        "platform-core" if owner == "platform_core" else f"platform-plugin-{owner.replace('_', '-')}"
    )
    return (
        f"Leave it as it was and declare it Deprecated (docs/compatibility.md); or, where it cannot wait, raise"
        f" {distribution} to {next_major}"
    )


def run(*, check: bool) -> int:
    """Write or check the file; 1 where something would break, or the file is not what the code says."""
    before, now = committed(), surface()
    today = date.today()  # noqa: DTZ011  # a day of the calendar, not an instant
    problems = [*broken(before, now, today), *hasty(now)]
    if problems:
        print("This breaks what others build on:", *problems, sep="\n  ")
        return 1
    if written(before) == written(now):
        return 0
    if check:
        print(
            "The surface has grown, or changed where it may: run `uv run python tools/reference.py`, and commit."
        )
        return 1
    FILE.write_text(written(now), encoding="utf-8")
    print(f"written: {FILE.name}")
    return 0


def main() -> int:
    """Write or check the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    return run(check=parser.parse_args().check)


if __name__ == "__main__":
    sys.exit(main())
