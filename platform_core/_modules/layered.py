"""
Boxes in columns and the lines between them, as one SVG file that needs nothing else: no script, no font, no style.

Layered drawing as Sugiyama, Tagawa and Toda have described it (1981), with one sweep: what belongs together stands next
to each other, and a line that passes a column has a place of its own in it. Colours can be told apart on white and on
black, and by people who confuse red and green (Okabe and Ito's palette); kinds of lines also differ by their dashes.
A page that holds the picture may give `.box`, `.head`, `.line` and `.legend` colours of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

_WIDTH: Final = 208
_HEIGHT: Final = 58
_COLUMN: Final = 320
_ROW: Final = 98
_MARGIN: Final = 28
_LEGEND: Final = 54
_PORT: Final = 13
"""Pixels: a box, the distances of columns and of rows, the border, the legend's height, between two lines at a box."""

_LANE: Final = 40
"""Pixels that a line needs which passes a column on its way to another."""

_Place = tuple[float, float]
_Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """
    One thing.

    Attributes:
        key: by which lines name it.
        head, below: its two lines of text.
        tip: said when somebody points at it.
        rank: its column; every line leads to a lower one.
        frame: the colour of its frame; `weight`: how thick that is.
    """

    key: str
    head: str
    below: str
    tip: str
    rank: int
    frame: str = "#64748b"
    weight: float = 1.2


@dataclass(frozen=True, slots=True)
class Stroke:
    """How a kind of lines is drawn, and what it is called in the legend."""

    name: str
    meaning: str
    colour: str
    dashes: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """What one box has to do with another."""

    source: str
    target: str
    stroke: Stroke
    tip: str


_Sides = Callable[[Line], _Pair]
"""Line → the box at which it is looked at, and the one at its other end."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """
    Where everything is.

    Attributes:
        boxes: key → its upper left corner.
        lanes: (source, target) → points between boxes through which the lines of both pass, from source to target.
        mirrored: sources stand on the left.
    """

    boxes: Mapping[str, _Place]
    lanes: Mapping[_Pair, Sequence[_Place]]
    width: int
    height: int
    mirrored: bool

    @property
    def leaving(self) -> float:
        """How far right of its box's left edge a line begins."""
        return _WIDTH if self.mirrored else 0

    @property
    def arriving(self) -> float:
        """How far right of its box's left edge a line ends."""
        return -2 if self.mirrored else _WIDTH + 2


def draw(
    boxes: Sequence[Box],
    lines: Sequence[Line],
    strokes: Sequence[Stroke],
    *,
    label: str,
    remark: str = "",
    name: str = "",
    mirrored: bool = False,
) -> str:
    """
    Return the picture, as tall and as wide as it needs to be.

    Args:
        strokes: in the order of the legend, which has those that occur.
        label: what the picture shows, for who cannot see it.
        remark: the end of the legend.
        name: of the picture, where several are on one page.
        mirrored: what leads to others stands on the left of them instead of on their right.
    """
    layout = _layout(boxes, lines, mirrored)
    width, height = layout.width, layout.height
    prefix = f"{name}-" if name else ""
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-family="system-ui, sans-serif" role="img" aria-label="{escape(label)}">',
        *_arrowheads(strokes, prefix),
        *_lines(lines, strokes, layout, prefix),
        *(line for box in boxes for line in _box(box, layout.boxes[box.key])),
        *_legend(
            [stroke for stroke in strokes if any(line.stroke is stroke for line in lines)],
            height,
            remark,
            prefix,
        ),
        "</svg>",
    ]
    return "\n".join(drawn)


def _layout(boxes: Sequence[Box], lines: Sequence[Line], mirrored: bool) -> _Layout:
    """Put each rank into a column, and everything at the height of what it leads to."""
    ranks = {box.key: box.rank for box in boxes}
    pairs = sorted({(line.source, line.target) for line in lines})
    middles: dict[str | _Pair, float] = {}
    heights: list[float] = []
    columns: list[list[str | _Pair]] = []
    for rank in range(max(ranks.values(), default=0) + 1):
        column: list[str | _Pair] = [key for key in ranks if ranks[key] == rank]
        column += [pair for pair in pairs if ranks[pair[1]] < rank < ranks[pair[0]]]
        column.sort(key=lambda item: _pull(item, pairs, middles))
        heights.append(sum(_room(item) for item in column))
        columns.append(column)
        y = -heights[-1] / 2
        for item in column:
            middles[item] = y + _room(item) / 2
            y += _room(item)
    tallest = max(heights)
    top = _MARGIN + tallest / 2 - (_ROW - _HEIGHT) / 2
    places: dict[str, _Place] = {}
    lanes: dict[_Pair, list[_Place]] = {}
    for rank, column in reversed(list(enumerate(columns))):
        x = _MARGIN + (len(columns) - 1 - rank if mirrored else rank) * float(_COLUMN)
        for item in column:
            if isinstance(item, str):
                places[item] = (x, top + middles[item] - _HEIGHT / 2)
            else:
                lanes.setdefault(item, []).append((x, top + middles[item]))
    width = 2 * _MARGIN + (len(columns) - 1) * _COLUMN + _WIDTH
    height = round(2 * _MARGIN + tallest - _ROW + _HEIGHT + _LEGEND)
    return _Layout(places, lanes, max(width, 560), height, mirrored)


def _room(item: str | _Pair) -> int:
    return _ROW if isinstance(item, str) else _LANE


def _pull(item: str | _Pair, pairs: Sequence[_Pair], middles: Mapping[str | _Pair, float]) -> float:
    """Return the height to which a box, or a line on its way, is drawn by what it leads to."""
    leads_to = [item] if isinstance(item, tuple) else [pair for pair in pairs if pair[0] == item]
    known = [middles.get(pair, middles.get(pair[1], 0.0)) for pair in leads_to]
    return sum(known) / len(known) if known else 0.0


def _arrowheads(strokes: Sequence[Stroke], prefix: str) -> Iterator[str]:
    yield "<defs>"
    for stroke in strokes:
        yield (
            f'<marker id="{prefix}{stroke.name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
            f' orient="auto"><path d="M0 0 8 4 0 8z" fill="{stroke.colour}"/></marker>'
        )
    yield "</defs>"


def _lines(lines: Sequence[Line], strokes: Sequence[Stroke], layout: _Layout, prefix: str) -> Iterator[str]:
    """Draw each line from a place of its own at the side of its source to one at the side of its target."""
    leaving = _ports(lines, layout.boxes, lambda line: (line.source, line.target))
    arriving = _ports(lines, layout.boxes, lambda line: (line.target, line.source))
    for line in lines:
        (from_x, from_y), (to_x, to_y) = layout.boxes[line.source], layout.boxes[line.target]
        between = strokes.index(line.stroke) * 6 - 9  # lines of one pair stay apart on their way
        points = [(from_x + layout.leaving, from_y + leaving[line])]
        for x, y in layout.lanes.get((line.source, line.target), ()):
            sides = (x, x + _WIDTH) if layout.mirrored else (x + _WIDTH, x)
            points += [(side, y + between) for side in sides]
        points.append((to_x + layout.arriving, to_y + arriving[line]))
        colour, dashes = line.stroke.colour, line.stroke.dashes
        yield (
            f'<path class="line" data-from="{escape(line.source)}" data-to="{escape(line.target)}" d="{_curve(points)}"'
            f' fill="none" stroke="{colour}" stroke-width="1.6"'
            + (f' stroke-dasharray="{dashes}"' if dashes else "")
            + f' marker-end="url(#{prefix}{line.stroke.name})"><title>{escape(line.tip)}</title></path>'
        )


def _curve(points: Sequence[_Place]) -> str:
    """Return a path that leaves and reaches every point horizontally."""
    drawn = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for (x, y), (next_x, next_y) in pairwise(points):
        bend = (x - next_x) / 2
        drawn.append(f"C{x - bend:g} {y:g} {next_x + bend:g} {next_y:g} {next_x:g} {next_y:g}")
    return "".join(drawn)


def _ports(lines: Sequence[Line], places: Mapping[str, _Place], sides: _Sides) -> Mapping[Line, float]:
    """Return how far below the upper edge of its box each line touches it; ordered so that they cross little."""
    at_box: dict[str, list[Line]] = {}
    for line in lines:
        at_box.setdefault(sides(line)[0], []).append(line)
    found: dict[Line, float] = {}
    for touching in at_box.values():
        touching.sort(key=lambda line: (places[sides(line)[1]][1], sides(line)[1], line.stroke.name))
        step = min(_PORT, (_HEIGHT - 8) / len(touching))
        for index, line in enumerate(touching):
            found[line] = _HEIGHT / 2 + (index - (len(touching) - 1) / 2) * step
    return found


def _box(box: Box, place: _Place) -> Iterator[str]:
    x, y = place
    yield f'<g class="box" data-key="{escape(box.key)}" transform="translate({x:g} {y:g})">'
    yield f"<title>{escape(box.tip)}</title>"
    yield (
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="#f8fafc" stroke="{box.frame}"'
        f' stroke-width="{box.weight}"/>'
    )
    yield (
        f'<text class="head" x="14" y="25" font-size="14" font-weight="600" fill="#0f172a">'
        f"{escape(cut(box.head, 24))}</text>"
    )
    yield f'<text x="14" y="44" font-size="11" fill="#475569">{escape(cut(box.below, 34))}</text></g>'


def _legend(strokes: Sequence[Stroke], height: int, remark: str, prefix: str) -> Iterator[str]:
    """Explain the kinds of lines that there are."""
    y, x = height - 22, _MARGIN
    for stroke in strokes:
        yield (
            f'<path d="M{x} {y}h34" stroke="{stroke.colour}" stroke-width="1.6" stroke-dasharray="{stroke.dashes}"'
            f' marker-end="url(#{prefix}{stroke.name})"/>'
            f'<text class="legend" x="{x + 42}" y="{y + 4}" font-size="12" fill="#64748b">{stroke.meaning}</text>'
        )
        x += 66 + 7 * len(stroke.meaning)
    if remark:
        yield f'<text class="legend" x="{x}" y="{y + 4}" font-size="12" fill="#64748b">{escape(remark)}</text>'


def cut(text: str, length: int) -> str:
    """Return a text that is no longer than that."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
