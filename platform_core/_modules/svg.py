"""
The graph of modules as one SVG file that needs nothing else: no script, no font, no style sheet from elsewhere.

What needs nobody stands on the left; every line begins at the module that depends and ends at the one it depends on.
Colours can be told apart on white and on black, and by people who confuse red and green (Okabe and Ito's palette);
kinds of lines also differ by their dashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from platform_core._modules.graph import Edge, Graph, Node, Relation

_WIDTH: Final = 208
_HEIGHT: Final = 58
_COLUMN: Final = 320
_ROW: Final = 98
_MARGIN: Final = 28
_LEGEND: Final = 54
_PORT: Final = 13
"""Pixels: a box, the distances of columns and of rows, the border, the legend's height, between two lines at a box."""

_STROKES: Final = {
    Relation.NEEDS: ("#64748b", ""),
    Relation.ASKS: ("#0072b2", "6 4"),
    Relation.HEARS: ("#d55e00", "2 4"),
    Relation.DIRECTS: ("#cc79a7", "12 4 2 4"),
}
_FRAMES: Final = {"active": "#64748b", "failed": "#dc2626", "disabled": "#a3a3a3"}

_LANE: Final = 40
"""Pixels that a line needs which passes a column on its way to another."""

_Place = tuple[float, float]
_Pair = tuple[str, str]
_Sides = Callable[[Edge], _Pair]
"""Edge → the module at whose box it is looked at, and the one at its other end."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """
    Where everything is.

    Attributes:
        boxes: module → its upper left corner.
        lanes: (source, target) → points between boxes through which the lines of both pass, from source to target.
    """

    boxes: Mapping[str, _Place]
    lanes: Mapping[_Pair, Sequence[_Place]]
    width: int
    height: int


def svg(graph: Graph) -> str:
    """Return the picture, as tall and as wide as it needs to be."""
    layout = _layout(graph)
    width, height = layout.width, layout.height
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="system-ui, sans-serif" role="img" aria-label="Modules and who depends on whom">',
        *_arrowheads(),
        *_edges(graph.edges, layout),
        *(line for node in graph.nodes for line in _box(node, layout.boxes[node.name])),
        *_legend(graph.edges, height),
        "</svg>",
    ]
    return "\n".join(lines)


def _layout(graph: Graph) -> _Layout:
    """
    Put each rank into a column, and what belongs together next to each other.

    Layered drawing as Sugiyama, Tagawa and Toda have described it (1981), with one sweep from the left: a line that
    passes a column has a place of its own in it, and everything stands at the height of what it leads to.
    """
    ranks = {node.name: node.rank for node in graph.nodes}
    pairs = sorted({(edge.source, edge.target) for edge in graph.edges})
    middles: dict[str | _Pair, float] = {}
    heights: list[float] = []
    columns: list[list[str | _Pair]] = []
    for rank in range(max(ranks.values(), default=0) + 1):
        column: list[str | _Pair] = [name for name in ranks if ranks[name] == rank]
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
    boxes: dict[str, _Place] = {}
    lanes: dict[_Pair, list[_Place]] = {}
    for rank, column in reversed(list(enumerate(columns))):
        x = _MARGIN + rank * float(_COLUMN)
        for item in column:
            if isinstance(item, str):
                boxes[item] = (x, top + middles[item] - _HEIGHT / 2)
            else:
                lanes.setdefault(item, []).append((x, top + middles[item]))
    width = 2 * _MARGIN + (len(columns) - 1) * _COLUMN + _WIDTH
    return _Layout(boxes, lanes, max(width, 560), round(2 * _MARGIN + tallest - _ROW + _HEIGHT + _LEGEND))


def _room(item: str | _Pair) -> int:
    return _ROW if isinstance(item, str) else _LANE


def _pull(item: str | _Pair, pairs: Sequence[_Pair], middles: Mapping[str | _Pair, float]) -> float:
    """Return the height to which a box, or a line on its way, is drawn by what it leads to."""
    leads_to = [item] if isinstance(item, tuple) else [pair for pair in pairs if pair[0] == item]
    known = [middles.get(pair, middles.get(pair[1], 0.0)) for pair in leads_to]
    return sum(known) / len(known) if known else 0.0


def _arrowheads() -> Iterator[str]:
    yield "<defs>"
    for relation, (colour, _) in _STROKES.items():
        yield (
            f'<marker id="{relation.name.lower()}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
            f' orient="auto"><path d="M0 0 8 4 0 8z" fill="{colour}"/></marker>'
        )
    yield "</defs>"


def _edges(edges: Sequence[Edge], layout: _Layout) -> Iterator[str]:
    """Draw each line from a place of its own at the left of its source to one at the right of its target."""
    leaving = _ports(edges, layout.boxes, lambda edge: (edge.source, edge.target))
    arriving = _ports(edges, layout.boxes, lambda edge: (edge.target, edge.source))
    for edge in edges:
        (from_x, from_y), (to_x, to_y) = layout.boxes[edge.source], layout.boxes[edge.target]
        between = [*Relation].index(edge.relation) * 6 - 9  # lines of one pair stay apart on their way
        points = [(from_x, from_y + leaving[edge])]
        for x, y in layout.lanes.get((edge.source, edge.target), ()):
            points += [(x + _WIDTH, y + between), (x, y + between)]
        points.append((to_x + _WIDTH + 2, to_y + arriving[edge]))
        colour, dashes = _STROKES[edge.relation]
        yield (
            f'<path d="{_curve(points)}" fill="none" stroke="{colour}" stroke-width="1.6"'
            + (f' stroke-dasharray="{dashes}"' if dashes else "")
            + f' marker-end="url(#{edge.relation.name.lower()})"><title>{edge.source} {edge.relation} {edge.target}'
            "</title></path>"
        )


def _curve(points: Sequence[_Place]) -> str:
    """Return a path that leaves and reaches every point horizontally."""
    drawn = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for (x, y), (next_x, next_y) in pairwise(points):
        bend = (x - next_x) / 2
        drawn.append(f"C{x - bend:g} {y:g} {next_x + bend:g} {next_y:g} {next_x:g} {next_y:g}")
    return "".join(drawn)


def _ports(edges: Sequence[Edge], places: Mapping[str, _Place], sides: _Sides) -> Mapping[Edge, float]:
    """Return how far below the upper edge of its box each line touches it; ordered so that they cross little."""
    at_box: dict[str, list[Edge]] = {}
    for edge in edges:
        at_box.setdefault(sides(edge)[0], []).append(edge)
    found: dict[Edge, float] = {}
    for touching in at_box.values():
        touching.sort(key=lambda edge: (places[sides(edge)[1]][1], sides(edge)[1], edge.relation))
        step = min(_PORT, (_HEIGHT - 8) / len(touching))
        for index, edge in enumerate(touching):
            found[edge] = _HEIGHT / 2 + (index - (len(touching) - 1) / 2) * step
    return found


def _box(node: Node, place: _Place) -> Iterator[str]:
    x, y = place
    frame = _FRAMES.get(node.status, _FRAMES["active"])
    weight = 2.4 if node.boot == "required" else 1.2
    below = f"{node.name} {node.version}" + ("" if node.status == "active" else f" · {node.status}")
    yield f'<g transform="translate({x:g} {y:g})"><title>{escape(below)}, {node.boot}</title>'
    yield (
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="#f8fafc" stroke="{frame}" stroke-width="{weight}"/>'
    )
    yield f'<text x="14" y="25" font-size="14" font-weight="600" fill="#0f172a">{escape(_cut(node.title, 24))}</text>'
    yield f'<text x="14" y="44" font-size="11" fill="#475569">{escape(_cut(below, 32))}</text></g>'


def _legend(edges: Sequence[Edge], height: int) -> Iterator[str]:
    """Explain the kinds of lines that there are."""
    y, x = height - 22, _MARGIN
    for relation in Relation:
        if any(edge.relation is relation for edge in edges):
            colour, dashes = _STROKES[relation]
            yield (
                f'<path d="M{x} {y}h34" stroke="{colour}" stroke-width="1.6" stroke-dasharray="{dashes}"'
                f' marker-end="url(#{relation.name.lower()})"/>'
                f'<text x="{x + 42}" y="{y + 4}" font-size="12" fill="#64748b">{relation}</text>'
            )
            x += 66 + 7 * len(relation)
    yield f'<text x="{x}" y="{y + 4}" font-size="12" fill="#64748b">thick frame: required</text>'


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
