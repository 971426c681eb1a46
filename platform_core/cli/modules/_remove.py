"""`platform modules remove`: told first, then taken out, and gone for good only when somebody says so."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from platform_core.cli._output import AsJson, note, print_json
from platform_core.cli._session import connected_environment, read_environment, with_kernel_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from platform_core._modules.removal import RemovalPlan
    from platform_core.app import Kernel


def remove(
    name: Annotated[str, typer.Argument(help="The module's name; its package need not be installed.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this, only what it means is told.")
    ] = False,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Also drop its tables with everything in them; nobody can undo that."),
    ] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write its data into this zip file first.", dir_okay=False)
    ] = None,
    drain_seconds: Annotated[
        float, typer.Option(min=0, help="How long to work off what still waits for it.")
    ] = 60,
    discard: Annotated[
        bool,
        typer.Option(
            "--discard",
            help="Give up what still waits for it, and what was written after an export of its own, instead of"
            " stopping there.",
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """
    Take a module out: first what it means, with --yes it is done, with --purge for good.

    Its routes answer 404 at once, what waits for it is worked off, then it is switched off and nothing more is kept
    for it. Its data stay, and `platform modules enable` brings it back. With --purge its tables, its role and every
    line about it in the platform's registries go too, and what is left is looked for. Events and the audit trail stay.
    """
    with connected_environment() as source:
        plan = _planned(_database_url(source), name)
        if not json:
            for line in _told(plan):
                typer.echo(line)
        if not yes:
            _finish(plan, json=json)
            return
        plan.check()
        export = _target(plan, export)
        _take_out(plan, source, drain_seconds=drain_seconds, discard=discard)
        left = _end(
            source,
            plan,
            export,
            purge=purge,
            discard=discard,
            progress=lambda line: None if json else note(line),
        )
    _finish(plan, json=json, done=True, purged=purge, export=export, left=list(left))
    raise typer.Exit(1 if left else 0)


def _database_url(source: dict[str, str]) -> str:
    from platform_core.settings import read_settings

    return read_settings(source).database_url.get_secret_value()


@contextlib.contextmanager
def _connection(url: str) -> Iterator[Any]:
    from platform_core._migrations.lock import connect

    with contextlib.closing(connect(url)) as connection:
        yield connection


def _planned(url: str, name: str) -> RemovalPlan:
    from platform_core._discovery import discover
    from platform_core._environment import chosen_modules
    from platform_core._modules import removal

    with _connection(url) as connection:
        return removal.plan(connection, name, discover(chosen_modules(read_environment())))


def _target(plan: RemovalPlan, export: Path | None) -> Path | None:
    """Return where its data are to be written: nowhere once they are dropped, as the file that has them is there."""
    from platform_core._modules import archive

    if export is None:
        return None
    if not plan.tables:
        note(
            f"{plan.module} has no tables here, so {export} is not written. Where a purge was interrupted, its data are"
            " in the file that the first run has written: keep that."
        )
        return None
    archive.check_target(export)
    return export


def _take_out(plan: RemovalPlan, source: dict[str, str], *, drain_seconds: float, discard: bool) -> None:
    """Close it to clients, work off what waits, and switch it off; one whose package is gone has nobody to do that."""
    from platform_core._modules import removal

    url = _database_url(source)
    seconds = drain_seconds if plan.is_installed and not discard else 0
    with_kernel_of(source, lambda kernel: _drain(kernel, url, plan.module, seconds))
    with _connection(url) as connection:
        removal.unsubscribe(connection, plan.module)
        left = removal.waiting(connection, plan.module)
    if left and not discard:
        from platform_core.errors import OperationError

        counted = ", ".join(f"{count} of {handler}" for handler, count in left.items())
        reason = "and nobody is installed who could handle them" if not plan.is_installed else "still"
        raise OperationError(
            f"Deliveries wait for {plan.module} {reason}: {counted}. Nothing was dropped. Run this again to go on, look"
            f" at `platform events list`, or give them up with --discard; `platform modules enable {plan.module}`"
            " brings it back."
        )


def _end(
    source: dict[str, str],
    plan: RemovalPlan,
    export: Path | None,
    *,
    purge: bool,
    discard: bool = False,
    progress: Callable[[str], None],
) -> Sequence[str]:
    """Export, purge, or both in one transaction, so that what is dropped is what is in the file; tell what is left."""
    from platform_core._modules import archive, exports, removal
    from platform_core.declarations import GoneModule

    url, gone = _database_url(source), GoneModule(name=plan.module, permissions=plan.permissions)

    def compare(connection: Any) -> None:
        if not discard:
            exports.check(connection, plan.module, removal.tables(connection, plan.module))

    def write_or_compare(connection: Any) -> None:
        if export is not None:
            archive.write(connection, plan, export, progress)
        else:
            compare(connection)

    def forget() -> None:
        with_kernel_of(_without(source, plan.module), lambda kernel: kernel.forget(gone))

    if purge:
        if export is None:
            with _connection(url) as connection:
                compare(connection)  # and again when nobody can write any more, but links are gone by then
        return removal.purge(url, plan.module, progress=note, last=write_or_compare, forget=forget)
    if export is not None:
        archive.export(url, plan, export, progress)
    return ()


def _without(source: dict[str, str], module: str) -> dict[str, str]:
    """Return the same environment with every module but one: its tables are gone, and it would fail to start."""
    from importlib.metadata import entry_points

    from platform_core import ENTRY_POINT_GROUP
    from platform_core._environment import chosen_modules
    from platform_core._manifest import KERNEL
    from platform_core._pins import pins

    chosen = chosen_modules(source) or tuple(entry_points(group=ENTRY_POINT_GROUP).names)
    others = [str(pin) for pin in pins(chosen).values() if pin.name not in (KERNEL, module)]
    # the kernel's name keeps the list from being empty, which would mean everything
    return {**source, "PLATFORM_MODULES": ",".join([KERNEL, *others]), "PLATFORM_MODULES_FILE": ""}


async def _drain(kernel: Kernel, url: str, name: str, seconds: float) -> None:
    from platform_core._module_operations import DisableModule
    from platform_core._modules import removal

    async def switch(*, drains: bool) -> None:
        command = DisableModule(module=name, answer=404, reason="taken out", drains=drains, is_removal=True)
        await kernel.bus.execute(command)

    await switch(drains=True)
    with _connection(url) as connection:
        removal.unsubscribe(connection, name)
        if seconds:
            async with _working_for(kernel, name):
                deadline = time.monotonic() + seconds
                while time.monotonic() < deadline:
                    if not removal.waiting(connection, name):  # others take part, so only the table knows
                        break
                    await asyncio.sleep(0.2)
    await switch(drains=False)


class _AllBut(Container[str]):
    """Every module but one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __contains__(self, name: object) -> bool:
        return name != self._name


@contextlib.asynccontextmanager
async def _working_for(kernel: Kernel, name: str) -> AsyncIterator[None]:
    """Work off what waits for one module, as one worker more that keeps its leases and ends as others do."""
    worker = kernel.worker(off=_AllBut(name))
    working = asyncio.create_task(worker.run())
    worker.wake()
    try:
        yield
    finally:
        worker.stop()
        await working


def _told(plan: RemovalPlan) -> Iterator[str]:
    yield typer.style(f"{plan.module} {plan.version}", bold=True) + (
        "" if plan.is_installed else ", not installed any more"
    )
    rows = sum(plan.tables.values())
    facts = {
        "tables": f"{len(plan.tables)} with {rows} rows, {_size(plan.size_bytes)}" if plan.tables else "none",
        "deliveries that wait": _listed(plan.waiting),
        "sagas under way": _listed(plan.sagas),
        "links": ", ".join(plan.links) or "none",
        "required by": ", ".join(plan.dependents) or "nobody",
        "stays as history": _listed(plan.history),
    }
    for what, told in facts.items():
        yield f"  {what:<22}{told}"
    for table, count in plan.tables.items():
        yield typer.style(f"    {plan.module}.{table}: {count} rows", dim=True)


def _listed(counts: Any) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items()) or "none"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GB"


def _finish(
    plan: RemovalPlan,
    *,
    json: bool,
    done: bool = False,
    purged: bool = False,
    export: Path | None = None,
    left: list[str] | None = None,
) -> None:
    if json:
        print_json({"plan": plan, "done": done, "purged": purged, "export": export, "left": left or []})
        return
    typer.echo()
    if not done:
        typer.echo(
            f"Nothing has been done. It stays while {', '.join(plan.dependents)} requires it: take that out first."
            if plan.dependents
            else "Nothing has been done. --yes takes it out and keeps its data; --yes --purge drops them, too."
        )
        return
    if export is not None:
        typer.echo(f"Its data are in {export}.")
    if not purged:
        typer.echo(
            f"{plan.module} is out, its data are kept. Back again: platform modules enable {plan.module}."
            f" Gone for good: platform modules remove {plan.module} --yes --purge."
        )
        return
    for line in left or []:
        typer.secho(f"  left: {line}", fg="red")
    if not left:
        typer.echo(f"{plan.module} is gone: no schema, no role, no line in any registry is left of it.")
    if plan.is_installed:
        typer.echo("Uninstall its package now; the next `platform db upgrade` would set it up anew.")
