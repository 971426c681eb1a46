"""
Commands of plugins: listed from their manifests, imported when one is called.

A manifest names the groups (`[commands]`: group = "one line about it"); the plugin's `register_cli` returns them.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import tomllib
from collections.abc import Container
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

import typer

from platform_core import ENTRY_POINT_GROUP, PROJECT_NAME
from platform_core._environment import chosen_modules
from platform_core._pins import pins
from platform_core.cli._output import note
from platform_core.cli._session import read_environment


class Group(NamedTuple):
    """A group of commands: the plugin that has it, and one line about it."""

    plugin: EntryPoint
    summary: str


def groups(reserved: Container[str]) -> dict[str, Group]:
    """Return the groups of every plugin that may be loaded; a plugin cannot take a name of the kernel's."""
    found: dict[str, Group] = {}
    for name, group in _declared().items():
        if name in reserved:
            note(
                f"{group.plugin.name} wants to add the command {name}, which is the platform's own; it is left out"
            )
        else:
            found[name] = group
    return found


def owners() -> dict[str, str]:
    """Return group → the plugin that has it."""
    return {name: group.plugin.name for name, group in groups(reserved=()).items()}


def command(name: str, reserved: Container[str]) -> Any:
    """
    Import the plugin of a group and return its commands.

    Returns: None when there is no such group.

    Raises:
        OperationError: there is, but its plugin is broken.
    """
    group = groups(reserved).get(name)
    if group is None:
        return None
    import platform_core.db
    import platform_core.http  # noqa: F401  # imported here so that the plugin is not charged for the time
    from platform_core._deadline import deadline
    from platform_core.settings import STARTUP_TIMEOUT_SECONDS

    try:
        _check_pin(group.plugin)
        with deadline(STARTUP_TIMEOUT_SECONDS):
            module = importlib.import_module(group.plugin.module)
            hook = getattr(module, "register_cli", None)
            if not hasattr(hook, f"{PROJECT_NAME}_impl"):
                raise TypeError("its plugin.toml names commands, but it has no hook register_cli")
            app = hook()  # type: ignore[misc]  # the marker above says that it is a function
            if not isinstance(app, typer.Typer) or app.info.name != name:
                raise TypeError(f"register_cli returned no typer.Typer(name={name!r})")
            return typer.main.get_group(app)  # a group with one command is a group, too
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plugin raises costs only its own commands
        from platform_core.errors import OperationError

        raise OperationError(
            f"{group.plugin.name} cannot offer its commands: {type(error).__name__}: {error}. "
            "Everything else works; for its author: --debug shows where it comes from."
        ) from error


def _check_pin(plugin: EntryPoint) -> None:
    """Refuse what is not the version, or not the files, that `PLATFORM_MODULES` pins."""
    pin = pins(chosen_modules(read_environment())).get(plugin.name)
    spec = importlib.util.find_spec(plugin.module.partition(".")[0])
    places = list(spec.submodule_search_locations or ()) if spec else []
    version = plugin.dist.version if plugin.dist else ""
    if pin is not None and (refusal := pin.refusal(version, Path(places[0]) if places else None)):
        raise ValueError(refusal)


def _declared() -> dict[str, Group]:
    return _declared_among(chosen_modules(read_environment()), tuple(sys.path))


@functools.cache
def _declared_among(allowed: tuple[str, ...], _path: tuple[str, ...]) -> dict[str, Group]:
    """Read the manifests once per answer; what is installed hangs on the path, which tests change."""
    found: dict[str, Group] = {}
    names = pins(allowed)
    for plugin in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        if not allowed or plugin.name in names:
            for name, summary in _commands(plugin).items():
                found.setdefault(name, Group(plugin, summary))
    return found


def _commands(plugin: EntryPoint) -> dict[str, str]:
    """Read `[commands]` of a manifest; whether the rest of it is right is `platform modules check`'s business."""
    try:
        spec = importlib.util.find_spec(plugin.module.partition(".")[0])
        for place in (spec.submodule_search_locations or ()) if spec else ():
            manifest = tomllib.loads(Path(place, "plugin.toml").read_text(encoding="utf-8"))
            return {str(name): str(summary) for name, summary in manifest.get("commands", {}).items()}
    except (OSError, ValueError, AttributeError, ImportError):
        note(f"the manifest of {plugin.name} cannot be read; see: platform modules check")
    return {}
