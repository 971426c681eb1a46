"""
Which modules there are to migrate, for commands that need nothing else of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from platform_core import __version__
from platform_core._discovery import Hooks, discover
from platform_core._engines import KERNEL
from platform_core._migrations.revisions import ModuleMigrations, alembic_directory
from platform_core.errors import OperationError


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


def installed_migrations(allowed: Sequence[str] = (), *, timeout_seconds: float = 5.0) -> Installed:
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
    modules = [
        ModuleMigrations(
            name=plugin.name,
            version=plugin.version,
            directory=offered[plugin.name].directory,
            metadata=offered[plugin.name].metadata,
            requires=plugin.requires,
            links=plugin.manifest.link_declarations(),
        )
        for plugin in hooks.active
        if plugin.name in offered
    ]
    broken = {plugin.name: str(plugin.error) for plugin in hooks.plugins if plugin.error is not None}
    return Installed([kernel_migrations(), *modules], broken)


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
        OperationError: no module of that name is installed.
    """
    if only is None:
        return modules
    by_name = {module.name: module for module in modules}
    check_installed(only, by_name)
    needed, todo = {KERNEL}, [only]
    while todo:
        name = todo.pop()
        if name in by_name:
            needed.add(name)
            todo += [other for other in by_name[name].requires if other not in needed]
    return [module for module in modules if module.name in needed]


def check_installed(name: str, installed: Iterable[str]) -> None:
    """Raise OperationError unless a module of that name is installed."""
    if name not in installed:
        raise OperationError(f"There is no module {name} here. Installed are: {', '.join(installed)}.")
