"""What commands print: tables for people, plain columns for pipes, JSON for scripts; notes go to stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
"""The option of every command that a script would read."""

_COLOURS = {
    "active": "green",
    "disabled": "yellow",
    "failed": "red",
    "done": "green",
    "pending": "yellow",
    "parked": "magenta",
    "dead": "red",
    "ok": "green",
}


def command_of(app: typer.Typer) -> Any:
    """Return a Typer application as a command of ours; shell completion is none of its options."""
    app._add_completion = False
    return typer.main.get_command(app)


def console() -> Console:
    """Return a console on standard output."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def note(text: str) -> None:
    """Tell people something that is not the result."""
    typer.echo(f"platform: {text}", err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON; dataclasses become objects, times and ids text."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str = "None.") -> None:
    """
    Print rows: a table that fits the terminal, or one line per row and aligned columns where there is none.

    Args:
        empty: said instead when there are no rows.
    """
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not texts:
        typer.echo(empty)
    elif sys.stdout.isatty():
        _print_rich(columns, texts)
    else:
        widths = [max(len(_one_line(row[i])) for row in [list(columns), *texts]) for i in range(len(columns))]
        for row in [[column.upper() for column in columns], *texts]:
            line = "  ".join(_one_line(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
            typer.echo(line.rstrip())


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    console().print(table)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
