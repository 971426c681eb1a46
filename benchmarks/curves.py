"""Growth as small pictures side by side, for light and for dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 340, 190, 46, 14, 40, 34
_COLUMNS: Final = 2
_STYLE: Final = (
    "text{font:11px system-ui,sans-serif;fill:#59636e}.t{font-size:12px;fill:#1f2328}.a{stroke:#d1d9e0}"
    ".l{fill:none;stroke:#1a7f37;stroke-width:2}.d{fill:#1a7f37}"
    "@media(prefers-color-scheme:dark){text{fill:#9198a1}.t{fill:#f0f6fc}.a{stroke:#3d444d}"
    ".l{stroke:#2ea043}.d{fill:#2ea043}}"
)


def draw(curves: Sequence[Mapping[str, Any]]) -> str:
    """Return one picture for each curve; the vertical axis begins at nought, so that growth looks as it is."""
    rows = math.ceil(len(curves) / _COLUMNS)
    parts = []
    for number, curve in enumerate(curves):
        x, y = number % _COLUMNS * _WIDTH, number // _COLUMNS * _HEIGHT
        parts.append(f'<g transform="translate({x},{y})">{"".join(_one(curve))}</g>')
    width, height = _WIDTH * _COLUMNS, _HEIGHT * rows
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        f' aria-label="How cost grows"><style>{_STYLE}</style>{"".join(parts)}</svg>\n'
    )


def _one(curve: Mapping[str, Any]) -> Iterator[str]:
    points = [(float(x), float(y)) for x, y in curve["points"]]
    highest = _nice(max(y for _, y in points))
    places = [(_across(x, points), _up(y, highest)) for x, y in points]
    right, floor = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    yield f'<text class="t" x="8" y="18">{escape(curve["figure"])}</text>'
    for part in (0, 0.5, 1):
        y = _up(highest * part, highest)
        yield f'<line class="a" x1="{_LEFT}" x2="{right}" y1="{y:g}" y2="{y:g}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:g}" text-anchor="end">{_short(highest * part)}</text>'
    for (count, _), (x, _y) in zip(points, places, strict=True):
        yield f'<text x="{x:g}" y="{floor + 15}" text-anchor="middle">{_short(count)}</text>'
    yield f'<text x="{right}" y="{floor + 29}" text-anchor="end">{escape(curve["over"])}</text>'
    yield f'<polyline class="l" points="{" ".join(f"{x:g},{y:g}" for x, y in places)}"/>'
    for x, y in places:
        yield f'<circle class="d" cx="{x:g}" cy="{y:g}" r="3"/>'


def _across(x: float, points: Sequence[tuple[float, float]]) -> float:
    """Return where a count stands; a wide range by its logarithm."""
    first, last = points[0][0], points[-1][0]
    is_wide = first > 0 and last / first > 50
    low, high, at = (math.log(first), math.log(last), math.log(x)) if is_wide else (first, last, x)
    share = 0.5 if high == low else (at - low) / (high - low)
    return round(_LEFT + 14 + share * (_WIDTH - _LEFT - _RIGHT - 28), 1)


def _up(y: float, highest: float) -> float:
    return round(_HEIGHT - _BOTTOM - y / highest * (_HEIGHT - _TOP - _BOTTOM), 1)


def _nice(value: float) -> float:
    """Return the next round number above."""
    step: float = 10 ** math.floor(math.log10(value))
    return next(step * factor for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * factor >= value)


def _short(value: float) -> str:
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"
