"""
Everything about a set of modules that can be said without starting it: what a start would say, and a little more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from platform_core._environment import chosen_modules
from platform_core._manifest import Plugin
from platform_core._modules.database import database_findings
from platform_core._modules.findings import Area, Finding
from platform_core._modules.packages import missing_packages
from platform_core._pins import pins
from platform_core.app import Kernel
from platform_core.errors import StartupError, StartupFailed
from platform_core.serve import load

NOWHERE: Final = "nowhere"
"""The name of a database that is none; see `cli._session.assembled_environment`."""


@dataclass(frozen=True)
class Preflight:
    """
    What was found.

    Attributes:
        modules: what would be started, in order; empty when the kernel could not be put together at all.
        asked_database: whether a database answered; where none did, nothing is known about migrations.
    """

    modules: Sequence[Plugin]
    findings: Sequence[Finding]
    asked_database: bool

    @property
    def blocking(self) -> list[Finding]:
        """What would keep the set, or a module of it, from starting."""
        return [finding for finding in self.findings if finding.blocks]

    @property
    def remarks(self) -> list[Finding]:
        """What is still to be done, or to be known."""
        return [finding for finding in self.findings if not finding.blocks]

    def about(self, area: Area) -> list[Finding]:
        """Return the findings of one area, what blocks first."""
        return [f for f in (*self.blocking, *self.remarks) if f.area is area]


def preflight(source: Mapping[str, str], complete: Callable[[], Mapping[str, str]]) -> Preflight:
    """
    Check the set that lies on the path: each module's metadata, code and settings, and the database if it answers.

    The modules' code is imported, as at a start, but nothing of it is started.

    Args:
        source: the environment.
        complete: returns it with what a development platform makes up for itself; it has to look at modules for that,
            and fails as a start does.
    """
    findings = missing_packages([*pins(chosen_modules(source))])
    kernel: Kernel | None = None
    try:
        kernel = load(complete())
        refused = [plugin.error for plugin in kernel.plugins if plugin.error]
    except StartupFailed as failed:
        refused = [error for error in failed.exceptions if isinstance(error, StartupError)]
    findings += [Finding.of(error) for error in refused]
    told = _ask_database(kernel) if kernel is not None else None
    return Preflight(kernel.plugins if kernel else (), [*findings, *(told or ())], told is not None)


def _ask_database(kernel: Kernel) -> list[Finding] | None:
    url = kernel.settings.database_url.get_secret_value()
    if url.rpartition("/")[2] == NOWHERE:
        return None
    return database_findings(url, kernel.migrations, {plugin.name for plugin in kernel.plugins})
