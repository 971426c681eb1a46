"""`platform modules`: what is installed, who needs whom, and whether it fits together."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from platform_core.cli._output import AsJson, console, note, print_json, print_table
from platform_core.cli._session import assembled_environment, load_kernel, read_environment

if TYPE_CHECKING:
    from platform_core.app import Kernel

app = typer.Typer(
    name="modules", help="The installed modules, and whether they fit together.", no_args_is_help=True
)


_PATIENCE_SECONDS = 2
"""For a database that is only asked by the way."""


class GraphFormat(StrEnum):
    """How a graph is drawn."""

    TREE = "tree"
    MERMAID = "mermaid"


@app.command("list", epilog="Example: platform modules list --json")
def list_modules(json: AsJson = False) -> None:
    """List the installed modules; a failed one with its cause, and those that this database does not know yet."""
    kernel = load_kernel(assembled_environment())
    modules = kernel.modules()
    _note_unmigrated(kernel)
    if json:
        print_json(modules)
        return
    rows = [
        [m.name, m.version, m.status, ", ".join(m.requires), _contributes(m.contributes)] for m in modules
    ]
    print_table(["module", "version", "status", "requires", "contributes"], rows)
    for module in modules:
        if module.error:
            typer.secho(f"\n{module.error}", fg="red")


@app.command(epilog="Example: platform modules show user_management")
def show(name: Annotated[str, typer.Argument(help="The module's name.")], json: AsJson = False) -> None:
    """Show everything about one module: what it declares, and what it may ask of others."""
    kernel = load_kernel(assembled_environment())
    module = next((module for module in kernel.modules() if module.name == name), None)
    if module is None:
        known = ", ".join(plugin.name for plugin in kernel.plugins)
        raise typer.BadParameter(f"there is no module {name}; installed are: {known}")
    details = _details(kernel, name)
    if json:
        print_json({**{field: getattr(module, field) for field in module.__dataclass_fields__}, **details})
        return
    typer.secho(f"{module.name} {module.version}", bold=True)
    typer.echo(f"{details.pop('title')} · {module.status} · {details.pop('boot')}")
    if module.error:
        typer.secho(f"\n{module.error}", fg="red")
    typer.echo()
    for heading, lines in details.items():
        typer.secho(heading.replace("_", " "), bold=True)
        for line in lines or ["none"]:
            typer.echo(f"  {line}")


@app.command(epilog="Example: platform modules graph --format mermaid > modules.mmd")
def graph(
    form: Annotated[
        GraphFormat, typer.Option("--format", help="A tree for the terminal, or Mermaid.")
    ] = GraphFormat.TREE,
) -> None:
    """Draw who needs whom, who asks whom, and whose events go where."""
    kernel = load_kernel(assembled_environment())
    if form is GraphFormat.MERMAID:
        typer.echo("\n".join(_mermaid(kernel)))
    else:
        _print_tree(kernel)


@app.command(epilog="Example: platform modules check && platform serve")
def check(json: AsJson = False) -> None:
    """Check the installed set and all settings as a start would, without starting; exit code 1 with every reason."""
    from platform_core._environment import is_development
    from platform_core.errors import StartupFailed
    from platform_core.serve import load

    environment = read_environment()
    try:
        kernel = load(assembled_environment() if is_development(environment) else environment)
    except StartupFailed as failed:
        if not json:
            raise
        print_json({"ok": False, "problems": [_cause(cause) for cause in failed.causes()]})
        raise typer.Exit(1) from None
    broken = [plugin for plugin in kernel.plugins if plugin.error]
    if json:
        problems = [_cause(plugin.error.cause) for plugin in broken if plugin.error]
        print_json({"ok": not broken, "problems": problems})
    else:
        for plugin in broken:
            typer.secho(f"  • {plugin.error}", fg="red")
        count = len(kernel.plugins)
        failed_too = (
            f"; {len(broken)} optional of them would be left out" if broken else ", and all fit together"
        )
        typer.echo(f"{count} modules are installed{failed_too}.")
    raise typer.Exit(1 if broken else 0)


def _note_unmigrated(kernel: Kernel) -> None:
    """A list of what is installed needs no database; one that answers is asked what it has seen of it."""
    import psycopg

    from platform_core._migrations.state import read_database_sync
    from platform_core._pools import libpq_url

    url = libpq_url(kernel.settings.database_url.get_secret_value())
    with (
        contextlib.suppress(psycopg.Error),
        psycopg.connect(url, autocommit=True, connect_timeout=_PATIENCE_SECONDS) as connection,
    ):
        for module in read_database_sync(connection, kernel.migrations).not_ready:
            note(f"{module}; it is not served until you run: platform db upgrade")


def _cause(cause: Any) -> dict[str, str]:
    return {"plugin": cause.plugin, "problem": cause.problem, "hint": cause.hint}


def _contributes(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items() if count)


def _details(kernel: Kernel, name: str) -> dict[str, Any]:
    """Return what a manifest allows and what the hooks declared, as lines by heading."""
    plugin = next(plugin for plugin in kernel.plugins if plugin.name == name)
    manifest, declared = plugin.manifest, kernel.declared.get(name)
    details: dict[str, Any] = {
        "title": manifest.title,
        "boot": manifest.boot,
        "paths": list(manifest.paths),
        "asks": list(manifest.queries),
        "consumes_events_of": list(manifest.consumes),
        "optional_neighbours": list(plugin.optional),
        "links": [f"{link.table}.{link.column} → {link.target}" for link in manifest.links],
        "commands": list(manifest.commands),
    }
    if declared is not None:
        details |= {
            "handles": sorted(command.wire_name for command in declared.services.commands),
            "answers": sorted(query.wire_name for query in declared.services.queries),
            "subscriptions": [f"{s.event.wire_name} → {s.name}" for s in declared.subscriptions],
            "schedules": [f"{s.name}, every {s.every}" for s in declared.schedules],
            "permissions": [f"{p.name}: {p.description}" for p in declared.permissions],
            "seeds": [f"{seed.name} ({seed.tier.name.lower()})" for seed in declared.seeds],
            "health_checks": [health.name for health in declared.health_checks],
        }
    return details


def _mermaid(kernel: Kernel) -> list[str]:
    lines = ["graph LR"]
    lines += [f'    {plugin.name}["{plugin.manifest.title}"]' for plugin in kernel.plugins]
    for plugin in kernel.plugins:
        lines += [f"    {plugin.name} --> {needed}" for needed in plugin.requires]
        lines += [f"    {plugin.name} -. asks .-> {asked}" for asked in plugin.manifest.queries]
        lines += [f"    {source} == events ==> {plugin.name}" for source in plugin.manifest.consumes]
    return lines


def _print_tree(kernel: Kernel) -> None:
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree("platform", guide_style="dim")
    for plugin in kernel.plugins:
        if plugin.name == "platform":
            continue
        branch = tree.add(Text(f"{plugin.name} {plugin.version}", style="red" if plugin.error else "bold"))
        edges = [
            *(("needs", name) for name in plugin.requires),
            *(("asks", name) for name in plugin.manifest.queries),
            *(("hears events of", name) for name in plugin.manifest.consumes),
        ]
        for verb, name in edges:
            branch.add(Text.assemble((f"{verb} ", "dim"), name))
    console().print(tree)
