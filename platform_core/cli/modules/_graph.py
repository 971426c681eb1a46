"""`platform modules graph`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from platform_core.cli._output import console, print_json
from platform_core.cli._session import assembled_environment, load_kernel
from platform_core.cli.modules._look import ask_database

if TYPE_CHECKING:
    from platform_core._modules.graph import Graph


class GraphFormat(StrEnum):
    """How a graph is drawn."""

    TREE = "tree"
    MERMAID = "mermaid"
    SVG = "svg"
    JSON = "json"


def graph(
    form: Annotated[
        GraphFormat,
        typer.Option("--format", help="A tree for the terminal, Mermaid, a picture, or JSON for scripts."),
    ] = GraphFormat.TREE,
) -> None:
    """Draw who needs whom, who asks whom, and whose events go where; a database that answers says who is off."""
    from platform_core._modules.graph import graph_of, mermaid
    from platform_core._modules.svg import svg

    kernel = load_kernel(assembled_environment())
    ask_database(kernel)
    drawn = graph_of(kernel.plugins, kernel.switches.off)
    if form is GraphFormat.TREE:
        _print_tree(drawn)
    elif form is GraphFormat.JSON:
        print_json(drawn)
    else:
        typer.echo((mermaid if form is GraphFormat.MERMAID else svg)(drawn))


def _print_tree(graph: Graph) -> None:
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree("platform", guide_style="dim")
    for node in graph.nodes:
        name = Text(node.name, style="red" if node.status == "failed" else "bold")
        status = "" if node.status == "active" else f" · {node.status}"
        branch = tree.add(Text.assemble(name, (f" {node.version} · {node.boot}{status}", "dim")))
        targets: dict[str, list[str]] = {}
        for edge in graph.edges:
            if edge.source == node.name:
                targets.setdefault(edge.target, []).append(edge.relation)
        for target, relations in targets.items():
            branch.add(Text.assemble((", ".join(relations) + " ", "dim"), target))
    console().print(tree)
