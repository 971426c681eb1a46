"""`platform modules list` and `platform modules show`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from platform_core.cli._output import AsJson, note, print_json, print_table
from platform_core.cli._session import assembled_environment, load_kernel

if TYPE_CHECKING:
    from platform_core._documentation import Canvas
    from platform_core.app import Kernel

_PATIENCE_SECONDS = 2
"""For a database that is only asked by the way."""


def list_modules(json: AsJson = False) -> None:
    """List the installed modules; a failed one with its cause, and those that this database does not know yet."""
    kernel = load_kernel(assembled_environment())
    ask_database(kernel)
    modules = kernel.modules()
    if json:
        print_json(modules)
        return
    boot = {plugin.name: plugin.manifest.boot for plugin in kernel.plugins}
    rows = [
        [m.name, m.version, m.status, boot[m.name], ", ".join(m.requires), _contributes(m.contributes)]
        for m in modules
    ]
    print_table(["module", "version", "status", "boot", "requires", "contributes"], rows)
    for module in modules:
        if module.error:
            typer.secho(f"\n{module.error}", fg="red")


def show(name: Annotated[str, typer.Argument(help="The module's name.")], json: AsJson = False) -> None:
    """Show everything about one module: what it declares, and what it may ask of others."""
    from platform_core._documentation import handbook_of

    kernel = load_kernel(assembled_environment())
    ask_database(kernel)
    module = next((module for module in kernel.modules() if module.name == name), None)
    if module is None:
        known = ", ".join(plugin.name for plugin in kernel.plugins)
        raise typer.BadParameter(f"there is no module {name}; installed are: {known}")
    details = _details(next(canvas for canvas in handbook_of(kernel).modules if canvas.name == name))
    if json:
        print_json({**{field: getattr(module, field) for field in module.__dataclass_fields__}, **details})
        return
    typer.secho(f"{module.name} {module.version}", bold=True)
    typer.echo(f"{details.pop('title')} · {module.status} · {details.pop('boot')}")
    if module.error:
        typer.secho(f"\n{module.error}", fg="red")
    typer.echo()
    for heading, lines in details.items():
        if lines:
            typer.secho(heading.replace("_", " "), bold=True)
        for line in lines:
            typer.echo(f"  {line}")


def ask_database(kernel: Kernel) -> None:
    """What is installed needs no database; one that answers is asked what it has seen of it, and what is off."""
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
        kernel.switches.look_sync(connection)


def _contributes(counts: dict[str, int]) -> str:
    return ", ".join(_counted(count, what.replace("_", " ")) for what, count in counts.items() if count)


def _counted(count: int, what: str) -> str:
    if count != 1:
        return f"{count} {what}"
    return f"1 {what.removesuffix('ies')}y" if what.endswith("ies") else f"1 {what.removesuffix('s')}"


def _details(module: Canvas) -> dict[str, Any]:
    """Return what a module needs, what its manifest allows, and what its hooks declared, as lines by heading."""
    return {
        "title": module.title,
        "boot": module.boot,
        "needs": module.needs,
        "needed_by": module.needed_by,
        "asks": module.asks,
        "consumes_events_of": module.consumes,
        "has_sagas_act_in": module.directs,
        "optional_neighbours": module.neighbours,
        "capabilities": module.capabilities,
        "paths": module.paths,
        "links": module.links,
        "cli_groups": [f"{group}: {about}" for group, about in module.cli_groups.items()],
        "routes": [f"{route.method} {route.path}" for route in module.routes],
        "tables": [table.name for table in module.tables],
        "publishes": [f"{event.name} v{event.version}" for event in module.publishes],
        "subscriptions": [f"{handler.event} → {handler.name}" for handler in module.subscriptions],
        "handles": [command.name for command in module.commands],
        "answers": [query.name for query in module.queries],
        "hooks_offered": [hook.name for hook in module.hooks_offered],
        "hooks_implemented": [hook.name for hook in module.hooks_implemented],
        "schedules": [f"{name}, {every}" for name, every in module.schedules],
        "sagas": [f"{name}, {len(steps)} steps" for name, steps in module.sagas],
        "permissions": [f"{permission.name}: {permission.about}" for permission in module.permissions],
        "settings": [f"{setting.variable}: {setting.about}" for setting in module.settings],
        "seeds": [f"{name} ({tier})" for name, tier in module.seeds],
        "health_checks": module.health_checks,
    }
