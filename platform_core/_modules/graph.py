"""Who needs whom, who asks whom, whose events go where: as data, for whoever draws it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from platform_core._manifest import KERNEL, Plugin


class Relation(StrEnum):
    """What one module has to do with another; the values are what people read."""

    NEEDS = "needs"
    ASKS = "asks"
    HEARS = "hears events of"
    DIRECTS = "has sagas act in"


@dataclass(frozen=True, slots=True)
class Node:
    """
    One module.

    Attributes:
        rank: 0 for what needs nobody, otherwise one more than the highest neighbour that it depends on.
    """

    name: str
    title: str
    version: str
    status: str
    boot: str
    rank: int


@dataclass(frozen=True, slots=True)
class Edge:
    """`source` needs, asks, hears or directs `target`."""

    source: str
    relation: Relation
    target: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Modules in dependency order, and what they have to do with each other."""

    nodes: Sequence[Node]
    edges: Sequence[Edge]


def graph_of(plugins: Sequence[Plugin], off: Collection[str] = ()) -> Graph:
    """
    Return the graph of a set of modules, without the kernel.

    Args:
        plugins: in dependency order; a neighbour that is not among them has no edge.
        off: those that somebody has switched off.
    """
    shown = [plugin for plugin in plugins if plugin.name != KERNEL]
    names = {plugin.name for plugin in shown}
    edges = [edge for plugin in shown for edge in _edges(plugin) if edge.target in names]
    ranks: dict[str, int] = {}
    for plugin in shown:
        below = {e.target for e in edges if e.source == plugin.name}
        # a circle is an error of its own, and its members stand where they are met
        ranks[plugin.name] = max((ranks[name] + 1 for name in below if name in ranks), default=0)
    nodes = [
        Node(p.name, p.manifest.title, p.version, p.status_where(off), p.manifest.boot, ranks[p.name])
        for p in shown
    ]
    return Graph(nodes, edges)


def _edges(plugin: Plugin) -> Iterator[Edge]:
    manifest = plugin.manifest
    for relation, targets in (
        (Relation.NEEDS, plugin.requires),
        (Relation.ASKS, manifest.queries),
        (Relation.HEARS, manifest.consumes),
        (Relation.DIRECTS, manifest.sagas),
    ):
        for target in targets:
            yield Edge(plugin.name, relation, target)


_ENTITIES: Final = str.maketrans({sign: f"#{ord(sign)};" for sign in '"<>&#`%'})
"""What ends a label, is HTML, an entity, Markdown or a directive in it; entities are Mermaid's, which begin with #."""


def mermaid_text(text: str) -> str:
    """Return a module's words for a label: in one line, so that they cannot leave the fence, and as text only."""
    return " ".join(text.split()).translate(_ENTITIES)


def mermaid(graph: Graph) -> str:
    """Return the graph in Mermaid's notation; events are drawn in the direction in which they flow."""
    arrows = {Relation.NEEDS: "-->", Relation.ASKS: "-. asks .->", Relation.DIRECTS: "-- sagas -->"}
    lines = ["graph LR"]
    lines += [f'    {node.name}["{mermaid_text(node.title)}"]' for node in graph.nodes]
    for edge in graph.edges:
        if edge.relation is Relation.HEARS:
            lines.append(f"    {edge.target} == events ==> {edge.source}")
        else:
            lines.append(f"    {edge.source} {arrows[edge.relation]} {edge.target}")
    return "\n".join(lines)
