"""One thing that somebody should know about a set of modules before it is started."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from platform_core.errors import (
    DuplicatePlugin,
    ForbiddenInteraction,
    IncompatibleVersion,
    InvalidSettings,
    MissingPlugin,
    NameCollision,
    PluginCycle,
    StartupError,
)


class Area(StrEnum):
    """What a finding is about, in the order in which it is looked at."""

    VERSIONS = "versions"
    PACKAGES = "packages"
    INTERACTIONS = "interactions"
    NAMES = "names"
    DECLARATIONS = "declarations"
    SETTINGS = "settings"
    DATABASE = "database"


IN_ORDER: Final = {
    Area.VERSIONS: "every module finds the kernel and the neighbours that it asks for",
    Area.PACKAGES: "every Python package that they ask for is there, in a version that fits",
    Area.INTERACTIONS: "nobody reaches into a module that it may not reach into",
    Area.NAMES: "no route, table, event, permission or hook is claimed twice",
    Area.DECLARATIONS: "every module can be imported, and its hooks return what they should",
    Area.SETTINGS: "every setting is there and makes sense",
    Area.DATABASE: "it is what these modules need",
}
"""Area → what is so when nothing was found there."""

_AREAS: Final[dict[type[StartupError], Area]] = {
    DuplicatePlugin: Area.VERSIONS,
    IncompatibleVersion: Area.VERSIONS,
    MissingPlugin: Area.VERSIONS,
    PluginCycle: Area.VERSIONS,
    ForbiddenInteraction: Area.INTERACTIONS,
    NameCollision: Area.NAMES,
    InvalidSettings: Area.SETTINGS,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was found.

    Attributes:
        module: whom it concerns; the kernel is `platform`.
        hint: what to do about it.
        blocks: whether the set, or an optional module of it, would not start like this; otherwise it is something
            still to do, or to know.
    """

    area: Area
    module: str
    problem: str
    hint: str = ""
    blocks: bool = True

    @classmethod
    def of(cls, error: StartupError) -> Finding:
        """Return what the kernel refuses as a finding."""
        area = next((a for kind, a in _AREAS.items() if isinstance(error, kind)), Area.DECLARATIONS)
        return cls(area, error.cause.plugin, error.cause.problem, error.cause.hint)

    def __str__(self) -> str:
        return f"{self.module}: {self.problem}"
