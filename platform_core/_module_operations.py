"""Switching modules off and on again while the platform runs, and which may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Protocol

from annotated_types import Len
from sqlalchemy import select, update

from platform_core._discovery import with_needed
from platform_core._outbox import subscribing
from platform_core._switches import CHANNEL, note_of
from platform_core._tables import module_switches
from platform_core._uow import SqlUnitOfWork
from platform_core.domain import Command
from platform_core.errors import DomainError, Kind, NotFound
from platform_core.ports import Clock
from platform_core.security import Principal

__all__ = ["COMMANDS", "DisableModule", "EnableModule", "ModuleView", "Registry"]


@dataclass(frozen=True, kw_only=True)
class ModuleView:
    """
    One installed module, as operators see it.

    Attributes:
        status: `active`, `failed`, or `disabled` while it is switched off.
        boot: whether the platform starts without it: `required` or `optional`.
    """

    name: str
    version: str
    status: str
    boot: str
    schema: str
    requires: list[str]
    contributes: dict[str, int]
    error: str | None


class Registry(Protocol):
    """The kernel, as far as this room needs to know it."""

    def modules(self) -> list[ModuleView]:
        """Describe every installed module, failed ones included."""
        ...

    @property
    def handlers(self) -> list[tuple[str, str | None, str]]:
        """(handler, event name or None, module) of everything that deliveries are made for."""
        ...


class ModuleIsRequired(DomainError, kind=Kind.CONFLICT):
    """The platform does not start without this module, so it cannot be switched off."""


class ModuleIsNeeded(DomainError, kind=Kind.CONFLICT):
    """Other modules need this one."""


class ModuleNeedsOthers(DomainError, kind=Kind.CONFLICT):
    """What this module needs is switched off itself."""


@dataclass(frozen=True, kw_only=True)
class DisableModule(Command[list[str]]):
    """
    Switch a module off in every process; answers which ones are off that were on before.

    Attributes:
        answer: the status of its routes: 503 says that it comes back, 404 that it is not there.
        with_dependents: also those that need it; without this they keep it on.
        drains: what waits for it is still worked off; only clients are turned away.
        is_removal: it is taken out, installed here or not, required or not: whoever has it loaded closes it, and no
            process that starts subscribes for it until it is enabled.
    """

    wire_name: ClassVar[str] = "platform.disable_module"

    module: Annotated[str, Len(1, 41)]
    answer: Literal[404, 503] = 503
    reason: Annotated[str, Len(0, 200)] = ""
    with_dependents: bool = False
    drains: bool = False
    is_removal: bool = False


@dataclass(frozen=True, kw_only=True)
class EnableModule(Command[list[str]]):
    """
    Switch a module on again; answers which ones are on that were off before.

    One that was taken out is subscribed by the same statement: processes serve it as soon as they hear of the switch,
    and what happens from then on has to be kept for it.

    Attributes:
        with_needed: also what it needs; without this, what it needs has to be on.
    """

    wire_name: ClassVar[str] = "platform.enable_module"

    module: Annotated[str, Len(1, 41)]
    with_needed: bool = False


@dataclass(frozen=True, slots=True)
class _Switches:
    epoch: int
    off: Mapping[str, Any]


async def disable_module(
    command: DisableModule, registry: Registry, uow: SqlUnitOfWork, principal: Principal, clock: Clock
) -> list[str]:
    """Raises `NotFound`, `ModuleIsRequired` or `ModuleIsNeeded`."""
    switches = await _read(uow)
    wanted = [command.module] if command.is_removal else _to_disable(command, registry, switches)
    switch = _switch(command, principal, clock.now())
    off = {name: _still_removed(switch, switches.off.get(name)) for name in wanted}
    _store(uow, switches, {**switches.off, **off})
    return [name for name in wanted if name not in switches.off]


def _to_disable(command: DisableModule, registry: Registry, switches: _Switches) -> Sequence[str]:
    modules = _known(command.module, registry)
    dependents = [
        name
        for name in _dependents(command.module, modules)
        if modules[name].status == "active" and name not in switches.off
    ]
    if dependents and not command.with_dependents:
        raise ModuleIsNeeded(
            f"{command.module} is needed by {', '.join(dependents)}. Switch those off first, or all of them together"
            " (--with-dependents)."
        )
    wanted = [*dependents, command.module]
    if required := [name for name in wanted if modules[name].boot == "required"]:
        raise ModuleIsRequired(
            f"The platform does not start without {', '.join(required)}, so it cannot be switched off."
        )
    return wanted


async def enable_module(command: EnableModule, registry: Registry, uow: SqlUnitOfWork) -> list[str]:
    """Raises `NotFound` or `ModuleNeedsOthers`."""
    modules = _known(command.module, registry)
    switches = await _read(uow)
    needed = with_needed(command.module, {name: m.requires for name, m in modules.items()})
    still_off = sorted(needed.intersection(switches.off) - {command.module})
    if still_off and not command.with_needed:
        raise ModuleNeedsOthers(
            f"{command.module} needs {', '.join(still_off)}, which is switched off itself. Switch that on first, or"
            " both together (--with-needed)."
        )
    back = [name for name in (*still_off, command.module) if name in switches.off]
    if back:
        _store(uow, switches, {name: s for name, s in switches.off.items() if name not in back})
    if known := [handler for handler in registry.handlers if handler[2] in back]:
        uow.write(subscribing(known))
    return back


def _known(name: str, registry: Registry) -> Mapping[str, ModuleView]:
    modules = {module.name: module for module in registry.modules()}
    if name not in modules:
        raise NotFound(f"There is no module {name}; installed are: {', '.join(modules)}.")
    return modules


def _dependents(name: str, modules: Mapping[str, ModuleView]) -> Iterable[str]:
    """Yield what cannot be without a module, those that nobody needs first."""
    requires = {key: module.requires for key, module in modules.items()}
    for other in reversed(list(modules)):
        if other != name and name in with_needed(other, requires):
            yield other


def _switch(command: DisableModule, principal: Principal, now: datetime) -> Mapping[str, Any]:
    return {
        "answer": command.answer,
        "reason": command.reason,
        "drains": command.drains,
        "removed": command.is_removal,
        "by": principal.label,
        "since": now.isoformat(timespec="seconds"),
    }


def _still_removed(switch: Mapping[str, Any], before: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the switch; only who enables a module that was taken out brings its subscriptions back."""
    return {**switch, "removed": True} if before is not None and before.get("removed") else switch


async def _read(uow: SqlUnitOfWork) -> _Switches:
    row = await uow.fetch_one(select(module_switches.c.epoch, module_switches.c.off))
    assert row is not None  # noqa: S101  # the revision that makes the table puts its only row there
    return _Switches(row["epoch"], row["off"])


def _store(uow: SqlUnitOfWork, before: _Switches, off: Mapping[str, Any]) -> None:
    """Swap the state if nobody else has meanwhile, and tell every process with the commit."""
    epoch, table = before.epoch + 1, module_switches
    uow.write(update(table).where(table.c.epoch == before.epoch).values(epoch=epoch, off=dict(off)), expect=1)
    uow.notify(CHANNEL, note_of(epoch, off))
    uow.changes.rows["module_switches"] = {"off": [dict(before.off), dict(off)]}


COMMANDS: Mapping[type[Command[Any]], Any] = {DisableModule: disable_module, EnableModule: enable_module}
