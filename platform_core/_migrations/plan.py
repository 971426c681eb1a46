"""
Which modules there are, and how far each is to go.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import MetaData

from platform_core import __version__
from platform_core._discovery import discover, with_needed
from platform_core._hooks import Hooks
from platform_core._manifest import Plugin
from platform_core._migrations.revisions import (
    ModuleMigrations,
    Phase,
    Revision,
    alembic_directory,
    read_revisions,
)
from platform_core._migrations.state import DatabaseState
from platform_core._pools import KERNEL
from platform_core.declarations import Migrations, Permission
from platform_core.errors import OperationError
from platform_core.settings import STARTUP_TIMEOUT_SECONDS


class UnknownTarget(OperationError):
    """There is no such module or revision."""


@dataclass(frozen=True, slots=True)
class Goal:
    """
    How far a run goes up.

    Attributes:
        modules: that take part, in plugin order.
        phase: only revisions of this kind, as far as the first of the other; None for both.
        most: module → how many of its pending revisions may run; a module that is missing may run all.
    """

    modules: Sequence[ModuleMigrations]
    phase: Phase | None = None
    most: Mapping[str, int] = field(default_factory=dict)

    def runnable(self, module: str, pending: Sequence[Revision]) -> Sequence[Revision]:
        """Return those of a module's pending revisions that this run may apply."""
        pending = pending[: self.most.get(module, len(pending))]
        return list(itertools.takewhile(lambda revision: self.phase in (None, revision.phase), pending))


def goal(
    modules: Sequence[ModuleMigrations],
    state: DatabaseState,
    target: str,
    only: str | None,
    phase: Phase | None,
) -> Goal:
    """
    Understand what a command was asked for.

    Args:
        target: `head`, everything; `+N`, the next N revisions over all modules; or a revision, with what its
            module needs.
        only: this module and what it needs.

    Raises:
        UnknownTarget: there is no such module or revision.
    """
    if target in ("head", "heads"):
        return Goal(narrowed(modules, only), phase)
    if re.fullmatch(r"\+[1-9]\d*", target):
        wanted, left, most = narrowed(modules, only), int(target[1:]), {}
        for module in wanted:
            most[module.name] = min(left, len(state.modules[module.name].pending))
            left -= most[module.name]
        return Goal(wanted, phase, most)
    for module in narrowed(modules, only):
        ids = [revision.id for revision in read_revisions(module)]
        if target in ids:
            pending = len(state.modules[module.name].pending)
            applied = len(ids) - pending
            return Goal(
                narrowed(modules, module.name), phase, {module.name: max(ids.index(target) + 1 - applied, 0)}
            )
    raise UnknownTarget(
        f"There is no revision {target}. `platform db history` shows them; head and +1 work too."
    )


@dataclass(frozen=True, slots=True)
class Installed:
    """
    What is installed here.

    Attributes:
        modules: in plugin order, the kernel first.
        broken: optional plugin → why it cannot be loaded; nothing of it is migrated.
    """

    modules: Sequence[ModuleMigrations]
    broken: Mapping[str, str]


def installed_migrations(
    allowed: Sequence[str] = (), *, timeout_seconds: float = STARTUP_TIMEOUT_SECONDS
) -> Installed:
    """
    Find the installed plugins and ask them for their revisions; their settings are not needed.

    Args:
        allowed: names from `PLATFORM_MODULES`; empty means every installed one.
        timeout_seconds: for the import of one plugin, and for its hook.

    Raises:
        StartupFailed: a required plugin cannot be loaded.
    """
    hooks = Hooks(discover(allowed), timeout_seconds=timeout_seconds)
    offered = hooks.collect("register_migrations")
    permissions = hooks.collect("register_permissions")
    modules = [
        module_migrations(plugin, offered.get(plugin.name), permissions.get(plugin.name, ()))
        for plugin in hooks.active
    ]
    broken = {plugin.name: str(plugin.error) for plugin in hooks.plugins if plugin.error is not None}
    return Installed([kernel_migrations(), *modules], broken)


def module_migrations(
    plugin: Plugin, offered: Migrations | None, permissions: Iterable[Permission] = ()
) -> ModuleMigrations:
    """
    Return what the runner needs to know of a plugin.

    One that offers no revisions has no tables, but a schema and a database role like any other: what it asks the
    database must not be asked with the login's rights.
    """
    package = Path(getattr(plugin.module, "__file__", None) or ".").parent
    return ModuleMigrations(
        name=plugin.name,
        version=plugin.version,
        directory=offered.directory if offered else package / "migrations" / "versions",
        metadata=offered.metadata if offered else MetaData(schema=plugin.name),
        requires=plugin.requires,
        links=plugin.manifest.link_declarations(),
        permissions=[permission.name for permission in permissions],
    )


def kernel_migrations() -> ModuleMigrations:
    """Return the kernel's own revisions, the first of every plan."""
    from platform_core._tables import AUDIT, PLATFORM

    return ModuleMigrations(
        name=KERNEL,
        version=__version__,
        directory=alembic_directory() / "versions",
        metadata=(PLATFORM, AUDIT),
    )


def narrowed(modules: Sequence[ModuleMigrations], only: str | None) -> Sequence[ModuleMigrations]:
    """
    Return `only` with everything it needs, or all.

    Raises:
        UnknownTarget: no module of that name is installed.
    """
    if only is None:
        return modules
    requires = {module.name: module.requires for module in modules}
    check_installed(only, requires)
    needed = {KERNEL} | with_needed(only, requires)
    return [module for module in modules if module.name in needed]


def check_installed(name: str, installed: Iterable[str]) -> None:
    """Raise UnknownTarget unless a module of that name is installed."""
    if name not in installed:
        raise UnknownTarget(f"There is no module {name} here. Installed are: {', '.join(installed)}.")
