"""
The published surface as a page: how much there is, of which grade, and what is deprecated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parent.parent / "docs" / "reference" / "surface.json"

KINDS: Final = (
    "hooks",
    "names",
    "contracts",
    "events",
    "permissions",
    "problems",
    "http",
    "settings",
    "commands",
)


def lines() -> Iterator[str]:
    """Yield the page from the committed file, which `surface.py` compares with the code."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    yield "What others build on, counted from `surface.json`, which holds each name and what is promised of it."
    yield "[What you can build on](../compatibility.md) says what the grades mean, and what to do when its test fails."
    yield ""
    for grade in ("stable", "provisional"):
        yield f"## {grade.capitalize()}"
        yield ""
        yield f"| owner | version | {' | '.join(KINDS)} |"
        yield f"|---|---|{'---|' * len(KINDS)}"
        for owner in found["versions"]:
            kinds = found[grade].get(owner, {})
            if kinds:
                counts = " | ".join(str(len(kinds.get(kind, ())) or "") for kind in KINDS)
                yield f"| `{owner}` | {found['versions'][owner]} | {counts} |"
        yield ""
    yield "## What a module may import"
    yield ""
    yield "| module | grade | names |"
    yield "|---|---|---|"
    for grade in ("stable", "provisional"):
        modules: dict[str, list[str]] = {}
        for name in found[grade].get("platform_core", {}).get("names", ()):
            module, _, last = name.rpartition(".")
            modules.setdefault(module, []).append(last)
        for module, names in sorted(modules.items()):
            yield f"| `{module}` | {grade} | {', '.join(f'`{name}`' for name in sorted(names))} |"
    yield ""
    yield "## Deprecated"
    yield ""
    if not found["deprecated"]:
        yield "Nothing is."
        return
    yield "| what | since | gone from | use instead |"
    yield "|---|---|---|---|"
    for name, told in found["deprecated"].items():
        yield f"| `{name}` | {told['since']} | {told['until'] or 'not decided'} | {told['instead']} |"
