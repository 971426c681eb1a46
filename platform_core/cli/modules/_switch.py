"""`platform modules disable` and `enable`: while the platform runs, in all of its processes."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from platform_core.cli._output import AsJson, print_json
from platform_core.cli._session import with_kernel

if TYPE_CHECKING:
    from platform_core._module_operations import EnableModule
    from platform_core.app import Kernel

Name = Annotated[str, typer.Argument(help="The module's name.")]


class Answer(StrEnum):
    """What the routes of a module say that is switched off."""

    UNAVAILABLE = "503"
    NOT_FOUND = "404"


def disable(
    name: Name,
    answer: Annotated[
        Answer, typer.Option(help="Of its routes: 503, it comes back; or 404, it is not there.")
    ] = Answer.UNAVAILABLE,
    reason: Annotated[str, typer.Option(help="Why, for the trail and for whoever looks.")] = "",
    with_dependents: Annotated[
        bool, typer.Option("--with-dependents", help="Also the modules that need it.")
    ] = False,
    json: AsJson = False,
) -> None:
    """
    Switch a module off while the platform runs; every process obeys within two seconds.

    Its routes answer 503 or 404, its events and jobs wait, its schedules rest, its data stay. What it does for other
    modules inside the platform it still does. `enable` works off what has waited.
    """
    from platform_core._module_operations import DisableModule

    command = DisableModule(
        module=name,
        answer=404 if answer is Answer.NOT_FOUND else 503,
        reason=reason,
        with_dependents=with_dependents,
    )
    _tell(with_kernel(lambda kernel: kernel.bus.execute(command)), name, "off", json)


def enable(
    name: Name,
    with_needed: Annotated[
        bool, typer.Option("--with-needed", help="Also the modules that it needs.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Switch a module on again; what has waited for it is worked off."""
    from platform_core._module_operations import EnableModule

    command = EnableModule(module=name, with_needed=with_needed)
    _tell(with_kernel(lambda kernel: _enable(kernel, command)), name, "on", json)


async def _enable(kernel: Kernel, command: EnableModule) -> list[str]:
    changed: list[str] = await kernel.bus.execute(command)
    for name in changed:  # heard a moment later, and what is told next has to hold now
        kernel.switches.off.pop(name, None)
        kernel.switches.removed.discard(name)
    await kernel.announce()  # its read models, and what was set aside; its subscriptions came with the switch
    return changed


def _tell(changed: list[str], name: str, state: str, json: bool) -> None:
    if json:
        print_json({"module": name, "state": state, "changed": changed})
    elif changed:
        verb = "is" if len(changed) == 1 else "are"
        typer.echo(f"{', '.join(changed)} {verb} switched {state}; every process obeys within two seconds.")
    else:
        typer.echo(f"{name} is {state} already.")
