"""What is known of a plugin without importing it: its metadata and `plugin.toml`."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

from annotated_types import Len
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from platform_core import _pins
from platform_core.declarations import Link
from platform_core.errors import InvalidManifest, StartupError

KERNEL = _pins.KERNEL
RESERVED_NAMES = frozenset(
    {KERNEL, "audit", "public", "information_schema", "platform_core", "seeds", "alembic"}
)


class _LinkModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    table: str
    column: str
    target: str = Field(pattern=r"^[a-z_]+\.[a-z_]+\.[a-z_]+$")
    on_delete: Literal["restrict", "cascade", "set null"] = "restrict"


class Manifest(BaseModel):
    """
    What a package's metadata cannot say, read from `plugin.toml` without importing the plugin.

    Attributes:
        title: for people; the tag of its routes.
        boot: a failing `required` plugin stops the start, an `optional` one only itself.
        paths: prefixes below `/api/v1` that its routes own; they answer 503 while it has failed.
        queries: modules whose public services it may ask for.
        consumes: modules whose events it may subscribe to.
        sagas: modules whose published commands its sagas may execute.
        capabilities: what it needs of the outside world, for people who decide about installing it.
        links: foreign keys to other modules' tables, put in place by the kernel.
        commands: groups that `register_cli` adds to the command line, with one line about each for `platform --help`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Annotated[str, Len(1, 80)]
    boot: Literal["required", "optional"] = "optional"
    paths: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    consumes: tuple[str, ...] = ()
    sagas: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    links: tuple[_LinkModel, ...] = ()
    commands: Mapping[str, str] = Field(default_factory=dict)

    def link_declarations(self) -> tuple[Link, ...]:
        """Return the links as declarations."""
        return tuple(Link(link.table, link.column, link.target, link.on_delete) for link in self.links)


@dataclass(eq=False)
class Plugin:
    """
    One installed plugin, and what became of it.

    Attributes:
        name: entry point, import package, schema, event prefix and settings prefix in one.
        version: of its distribution.
        requires: plugins that must be there; `optional`: neighbours that may be.
        module: the imported `plugin.py`, None before import or after a failure.
        error: why it is not running, None while it is fine.
    """

    name: str
    version: str
    distribution: str
    manifest: Manifest
    requires: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    entry_point: EntryPoint | None = None
    module: ModuleType | None = None
    error: StartupError | None = None

    @property
    def is_required(self) -> bool:
        return self.manifest.boot == "required"

    def status_where(self, off: Collection[str]) -> str:
        """Return `disabled` instead of `active` for what is among those that somebody has switched off."""
        return "disabled" if self.error is None and self.name in off else self.status

    @property
    def status(self) -> str:
        return "failed" if self.error else "active"


def read_manifest(package: str, name: str) -> Manifest:
    """
    Read `plugin.toml` beside a package's modules, without importing the package.

    Raises:
        InvalidManifest: it is missing or breaks its schema, or the package has another name than the plugin.
    """
    if package != name:
        raise InvalidManifest(
            name,
            f"its code lives in the package {package!r}",
            f"one name, five places: rename the package to {name}",
        )
    spec = importlib.util.find_spec(package)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    path = next(
        (Path(place) / "plugin.toml" for place in locations if (Path(place) / "plugin.toml").is_file()), None
    )
    if path is None:
        raise InvalidManifest(
            name, "there is no plugin.toml in its package", "add one, and include it in the wheel"
        )
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise InvalidManifest(name, f"plugin.toml is no TOML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)
        )
        raise InvalidManifest(name, f"plugin.toml: {problems}") from error
