"""`platform modules surface`: what a module publishes, written down, and guarded from then on."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from platform_core.cli import _plugins
from platform_core.cli._output import AsJson, print_json
from platform_core.cli._session import assembled_environment, load_kernel

if TYPE_CHECKING:
    from platform_core._surface import Surface


def surface(
    name: Annotated[str, typer.Argument(help="Of an installed module.")],
    file: Annotated[
        Path, typer.Option(help="Where it is written down; lies beside pyproject.toml.", dir_okay=False)
    ] = Path("surface.json"),
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit code 1 unless the file is what the code says."),
    ] = False,
    json: AsJson = False,
) -> None:
    """
    Write down what others may build on in a module: hooks, contracts, events, problems, settings, commands, HTTP and
    permissions.

    What was added is written. What would break somebody who knew the file as it was is named, with exit code 1, and
    nothing is written: it first has to be deprecated, or the module's next major version begun.
    """
    from platform_core._surface import broken, hasty, kept, surface_of, text_of
    from platform_core.cli._root import root

    before = kept(file)
    now = surface_of(load_kernel(assembled_environment()), [name], root(), _plugins.owners())
    problems = [*broken(before, now, date.today()), *hasty(now)]  # noqa: DTZ011  # a day of the calendar
    is_current = text_of(before) == text_of(now)
    if not problems and not check and not is_current:
        file.write_text(text_of(now), encoding="utf-8")
    if json:
        print_json({"file": str(file), "problems": problems, "is_current": is_current, "surface": now})
    else:
        _tell(name, file, now, problems, is_current=is_current, check=check)
    raise typer.Exit(1 if problems or (check and not is_current) else 0)


def _tell(name: str, file: Path, now: Surface, problems: list[str], *, is_current: bool, check: bool) -> None:
    counts = ", ".join(f"{kind} {len(things)}" for kind, things in now["stable"].get(name, {}).items())
    if problems:
        typer.secho("This breaks what others build on:", fg="red", err=True)
        for problem in problems:
            typer.echo(f"  {problem}", err=True)
    elif is_current:
        typer.echo(f"{file} is what the code says: {counts or 'nothing'}.")
    elif check:
        typer.secho(
            f"{file} is not what the code says, which breaks nobody: run `platform modules surface {name}`, and"
            " commit it.",
            fg="red",
            err=True,
        )
    else:
        typer.echo(f"{file} is written: {counts or 'nothing'}.")
