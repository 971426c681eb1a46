"""Figures as pictures, for light and for dark pages: `python -m benchmarks.picture IN.json OUT.svg [GROWTH.svg]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from benchmarks import curves

_WIDTH, _LABEL, _BAR, _GAP = 720, 210, 14, 22
_KINDS: Final = (
    ("floor", "floor, written by hand", "f"),
    ("SQLAlchemy Core by hand", "SQLAlchemy Core by hand", "c"),
    ("SQLAlchemy ORM by hand", "SQLAlchemy ORM by hand", "o"),
    ("platform", "platform, everything on", "p"),
)
_STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#1f2328}.soft{fill:#59636e}.f{fill:#afb8c1}.c{fill:#54aeff}"
    ".o{fill:#a475f9}.p{fill:#1a7f37}.must{stroke:#cf222e;stroke-width:2}"
    "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.soft{fill:#9198a1}.f{fill:#656c76}.c{fill:#1f6feb}"
    ".o{fill:#8957e5}.p{fill:#2ea043}.must{stroke:#f85149}}"
)


def draw(requests: Sequence[Mapping[str, Any]]) -> str:
    """Return the picture of everything that was measured with many connections."""
    shown = [one for one in requests if one["connections"] > 1]
    parts: list[str] = []
    y = 46.0
    for one in shown:
        parts += _case(one, y)
        y += len(one["ratio_to_floor"]) * _BAR + _GAP
    legend = "".join(
        f'<rect class="{kind}" x="{8 + index * 178}" y="12" width="10" height="10"/>'
        f'<text class="soft" x="{24 + index * 178}" y="21">{escape(title)}</text>'
        for index, (_, title, kind) in enumerate(_KINDS)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y:g}" role="img"'
        f' aria-label="Requests a second as a share of the floor">'
        f"<style>{_STYLE}</style>{legend}{''.join(parts)}</svg>\n"
    )


def _case(one: Mapping[str, Any], y: float) -> Iterator[str]:
    scale, top = _WIDTH - _LABEL - 60, y
    yield f'<text x="8" y="{y + _BAR - 3:g}">{escape(one["title"].partition(":")[0])}</text>'
    for name, _, kind in _KINDS:
        ratio = one["ratio_to_floor"].get(name)
        if ratio is None:
            continue
        width = min(ratio, 1.05) * scale
        yield f'<rect class="{kind}" x="{_LABEL}" y="{y:g}" width="{width:.0f}" height="{_BAR - 3}"/>'
        yield f'<text class="soft" x="{_LABEL + width + 6:.0f}" y="{y + _BAR - 4:g}">{ratio:.2f}</text>'
        y += _BAR
    must = _LABEL + one["must"] * scale
    yield f'<line class="must" x1="{must:.0f}" x2="{must:.0f}" y1="{top - 3:g}" y2="{y:g}"/>'


def _of_modules(started: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    figures = {
        "cpu_seconds": "processor time to the first 200, s",
        "memory_mb": "memory at the first 200, MB",
        "cpu_ms": "processor time per GET, ms",
    }
    for name, figure in figures.items():
        points = [(one["modules"], one[name]) for one in started]
        yield {"figure": figure, "over": "generated modules", "points": points}


if __name__ == "__main__":
    measured = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(draw(measured["requests"]), encoding="utf-8")
    if len(sys.argv) > 3:
        modules = _of_modules(measured["modules"]) if "modules" in measured else ()
        shown = [*measured["growth"], *modules]
        Path(sys.argv[3]).write_text(curves.draw(shown), encoding="utf-8")
