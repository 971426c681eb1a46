"""
The graph of modules as one SVG file.

What needs nobody stands on the left; every line begins at the module that depends and ends at the one it depends on.
"""

from __future__ import annotations

from typing import Final

from platform_core._modules.graph import Graph, Node, Relation
from platform_core._modules.layered import Box, Line, Stroke, draw

_STROKES: Final = {
    relation: Stroke(relation.name.lower(), relation, colour, dashes)
    for relation, colour, dashes in (
        (Relation.NEEDS, "#64748b", ""),
        (Relation.ASKS, "#0072b2", "6 4"),
        (Relation.HEARS, "#d55e00", "2 4"),
        (Relation.DIRECTS, "#cc79a7", "12 4 2 4"),
    )
}
_FRAMES: Final = {"active": "#64748b", "failed": "#dc2626", "disabled": "#a3a3a3"}


def svg(graph: Graph, name: str = "") -> str:
    """
    Return the picture.

    Args:
        name: of the picture, where several are on one page.
    """
    return draw(
        [_box(node) for node in graph.nodes],
        [
            Line(e.source, e.target, _STROKES[e.relation], f"{e.source} {e.relation} {e.target}")
            for e in graph.edges
        ],
        list(_STROKES.values()),
        label="Modules and who depends on whom",
        remark="thick frame: required",
        name=name,
    )


def _box(node: Node) -> Box:
    below = f"{node.name} {node.version}" + ("" if node.status == "active" else f" · {node.status}")
    return Box(
        key=node.name,
        head=node.title,
        below=below,
        tip=f"{below}, {node.boot}",
        rank=node.rank,
        frame=_FRAMES.get(node.status, _FRAMES["active"]),
        weight=2.4 if node.boot == "required" else 1.2,
    )
