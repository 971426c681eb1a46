"""`platform modules list` and `platform modules show`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from platform_core.cli._output import AsJson, note, print_json, print_table
from platform_core.cli._session import assembled_environment, load_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from platform_core.app import Kernel
    from platform_core.declarations import Migrations
    from platform_core.domain import Event

_PATIENCE_SECONDS = 2
"""For a database that is only asked by the way."""


def list_modules(json: AsJson = False) -> None:
    """List the installed modules; a failed one with its cause, and those that this database does not know yet."""
    kernel = load_kernel(assembled_environment())
    _ask_database(kernel)
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
    kernel = load_kernel(assembled_environment())
    _ask_database(kernel)
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
        if lines:
            typer.secho(heading.replace("_", " "), bold=True)
        for line in lines:
            typer.echo(f"  {line}")


def _ask_database(kernel: Kernel) -> None:
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


def _details(kernel: Kernel, name: str) -> dict[str, Any]:
    """Return what a module needs, what its manifest allows, and what its hooks declared, as lines by heading."""
    plugin = next(plugin for plugin in kernel.plugins if plugin.name == name)
    manifest, declared = plugin.manifest, kernel.declared.get(name)
    details: dict[str, Any] = {
        "title": manifest.title,
        "boot": manifest.boot,
        "needs": list(plugin.requires),
        "needed_by": [other.name for other in kernel.plugins if name in other.requires],
        "asks": list(manifest.queries),
        "consumes_events_of": list(manifest.consumes),
        "has_sagas_act_in": list(manifest.sagas),
        "optional_neighbours": list(plugin.optional),
        "capabilities": list(manifest.capabilities),
        "paths": list(manifest.paths),
        "links": [f"{link.table}.{link.column} → {link.target}" for link in manifest.links],
        "cli_groups": [f"{group}: {about}" for group, about in manifest.commands.items()],
    }
    if declared is not None:
        details |= {
            "routes": _routes(declared.routers),
            "tables": _tables(declared.migrations),
            "publishes": _published(name),
            "subscriptions": [f"{s.event.wire_name} → {s.name}" for s in declared.subscriptions],
            "handles": sorted(command.wire_name for command in declared.services.commands),
            "answers": sorted(query.wire_name for query in declared.services.queries),
            "schedules": [f"{s.name}, every {s.every}" for s in declared.schedules],
            "sagas": [f"{saga.name}@{saga.version}, {len(saga.steps)} steps" for saga in declared.sagas],
            "permissions": [f"{p.name}: {p.description}" for p in declared.permissions],
            "settings": _settings(name, declared.settings),
            "seeds": [f"{seed.name} ({seed.tier.name.lower()})" for seed in declared.seeds],
            "health_checks": [health.name for health in declared.health_checks],
        }
    return details


def _routes(routers: Sequence[Any]) -> list[str]:
    from platform_core.http.routing import API_PREFIX

    return [
        f"{'/'.join(sorted(route.methods))} {API_PREFIX if getattr(router, 'prefix_api', True) else ''}{route.path}"
        for router in routers
        for route in router.routes
    ]


def _tables(migrations: Migrations | None) -> list[str]:
    if migrations is None:
        return []
    metadata = migrations.metadata if isinstance(migrations.metadata, tuple) else (migrations.metadata,)
    return sorted(table.fullname for part in metadata for table in part.tables.values())


def _published(name: str) -> list[str]:
    """Return the events of a module that others may hear of: those in its contracts."""
    from platform_core.domain import Event

    found = {
        f"{event.wire_name} v{event.wire_version}"
        for event in _descendants(Event)
        if event.__module__.startswith(f"{name}.contracts")
    }
    return sorted(found)


def _descendants(root: type[Event]) -> Iterator[type[Event]]:
    for child in root.__subclasses__():
        yield child
        yield from _descendants(child)


def _settings(name: str, settings: Any) -> list[str]:
    from platform_core.settings import variable_name

    if settings is None:
        return []
    fields = type(settings).model_fields.items()
    return [f"{field.alias or variable_name(name, key)}: {field.description or ''}" for key, field in fields]
