"""`platform modules new`: a module of one's own, complete from the first minute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from platform_core.cli._output import AsJson, print_json

if TYPE_CHECKING:
    from platform_core._modules.scaffold import Update


def new(
    name: Annotated[
        str, typer.Argument(help="Of the module: its package, schema, events and settings begin with it.")
    ],
    minimal: Annotated[
        bool, typer.Option("--minimal", help="The smallest that works: one question and its answer.")
    ] = False,
    into: Annotated[
        Path | None, typer.Option(help="Where to write; platform-plugin-NAME by default.", file_okay=False)
    ] = None,
    update: Annotated[
        bool,
        typer.Option("--update", help="Bring one that was made before to this release's template instead."),
    ] = False,
    json: AsJson = False,
) -> None:
    """
    Write a new module: a package of its own whose tests pass and whose routes answer.

    Four layers with one aggregate, its commands, queries, event and handler, routes, a table and its revision, seeds,
    a permission, a setting, tests, README, continuous integration. --update replaces what nobody has changed since,
    and lays the new text of everything else beside it as FILE.new.
    """
    from platform_core._modules import scaffold

    directory = into or Path(f"platform-plugin-{name.replace('_', '-')}")
    if update:
        if minimal:
            raise typer.BadParameter("--update knows what the module was made from; leave --minimal out")
        _tell_update(directory, scaffold.update(directory), json)
        return
    written = scaffold.create(name, directory, "minimal" if minimal else "full")
    if json:
        print_json({"directory": str(directory), "written": written})
        return
    route = f"/api/v1/{name.replace('_', '-')}{'' if minimal else '/entries'}"
    steps = [
        (f"cd {directory}", ""),
        ("pip install -e '.[testing]'", "where platform-core is installed"),
        ("pytest", "starts a PostgreSQL and a Redis of its own"),
        ("platform dev", f"then http://127.0.0.1:8000/docs shows {route}"),
    ]
    typer.echo(f"{directory} is written: {len(written)} files. Next:\n")
    for command, remark in steps:
        typer.echo(f"  {command:<30}{typer.style(f'# {remark}', dim=True)}" if remark else f"  {command}")


def _tell_update(directory: Path, done: Update, json: bool) -> None:
    if json:
        print_json({"directory": str(directory), "written": done.written, "beside": done.beside})
        return
    for path in done.written:
        typer.echo(f"{path}: as the template is now")
    for path in done.beside:
        typer.secho(f"{path}: you have changed it; the template's text is in {path}.new", fg="yellow")
    if not (done.written or done.beside):
        typer.echo("Nothing to do: the template has not changed.")
