"""`platform modules freeze` and `sync`: a set of modules that is the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from platform_core.cli._output import AsJson, print_json
from platform_core.cli._session import read_environment


def freeze() -> None:
    """
    Print the set of modules with versions and hashes, a line each.

    As PLATFORM_MODULES, or in a file named by PLATFORM_MODULES_FILE, it is what may be loaded and nothing else: another
    version, or a file that differs, is refused before anything of the module is imported. PLATFORM_MODULES beside
    PLATFORM_MODULES_FILE chooses among what the file has.
    """
    from platform_core._discovery import discover
    from platform_core._environment import chosen_modules
    from platform_core._modules import frozen

    plugins = discover(chosen_modules(read_environment()))
    for pin in frozen.freeze(plugins):
        typer.echo(str(pin))


def sync(
    file: Annotated[Path, typer.Argument(help="What `freeze` has printed.", exists=True, dir_okay=False)],
    check: Annotated[bool, typer.Option("--check", help="Install nothing, only compare.")] = False,
    find_links: Annotated[
        Path | None, typer.Option(help="A folder with wheels, for the installer.", file_okay=False)
    ] = None,
    no_index: Annotated[
        bool, typer.Option("--no-index", help="Take wheels from that folder only, not from an index.")
    ] = False,
    json: AsJson = False,
) -> None:
    """
    Install what a frozen set says and this environment lacks, and compare; exit code 1 when it still differs.

    What is installed beside the set stays, and is not loaded where PLATFORM_MODULES_FILE names the same file.
    """
    from platform_core._modules import frozen

    wanted = frozen.read(file)
    found = frozen.differences(wanted)
    if found and not check:
        options = [f"--find-links={find_links}"] if find_links else []
        options += ["--no-index"] if no_index else []
        frozen.install([difference.pin for difference in found], options)
        found = frozen.differences(wanted)
    if json:
        print_json(
            {"ok": not found, "differences": [{"module": d.pin.name, "problem": d.problem} for d in found]}
        )
    else:
        for difference in found:
            typer.secho(str(difference), fg="red")
        if not found:
            typer.echo(f"{len(wanted)} as they were frozen.")
    raise typer.Exit(1 if found else 0)
