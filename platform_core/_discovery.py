"""
Finds the installed plugins and checks the whole set before any of them is imported.

Every problem is found before any is raised, and each names the plugin, the cause and a hint.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from platform_core import ENTRY_POINT_GROUP, __version__
from platform_core._manifest import KERNEL, RESERVED_NAMES, Plugin, read_manifest
from platform_core._pins import Pin, pins, run_from_sources
from platform_core.errors import (
    DuplicatePlugin,
    ForbiddenInteraction,
    IncompatibleVersion,
    InvalidManifest,
    MissingPlugin,
    NameCollision,
    PluginCycle,
    StartupError,
    StartupFailed,
)


@dataclass
class Findings:
    """Problems found so far; those of optional plugins stay with the plugin."""

    fatal: list[StartupError] = field(default_factory=list)

    def add(self, error: StartupError, plugin: Plugin | None = None) -> None:
        if plugin is None or plugin.is_required:
            self.fatal.append(error)
        if plugin is not None and plugin.error is None:
            plugin.error = error

    def raise_if_any(self) -> None:
        if self.fatal:
            raise StartupFailed("The platform cannot start:", self.fatal)


def discover(allowed: Sequence[str] = ()) -> list[Plugin]:
    """
    Find installed plugins and check the whole set, importing none.

    Args:
        allowed: entries of `PLATFORM_MODULES`, names or pins; empty means every installed one.

    Returns: plugins in dependency order, ties by name; a failed optional one has its `error` set.

    Raises:
        StartupFailed: everything that is wrong with required plugins or with the set as such.
    """
    findings = Findings()
    plugins = _find(allowed, findings)
    _check_versions(plugins, findings)
    _check_manifests(plugins, findings)
    _check_paths(plugins, findings)
    ordered = _order(plugins, findings)
    spread_failures(ordered, findings)
    findings.raise_if_any()
    return ordered


_Offers = dict[str, list[tuple[EntryPoint, Distribution]]]


def _find(allowed: Sequence[str], findings: Findings) -> dict[str, Plugin]:
    wanted = pins(allowed)
    offers = _offers(wanted)
    _check_wanted(wanted, offers, findings)
    plugins: dict[str, Plugin] = {}
    for name, found in sorted(offers.items()):
        if len(found) > 1:
            owners = " and ".join(sorted(distribution.metadata["Name"] for _, distribution in found))
            findings.add(DuplicatePlugin(name, f"{owners} both offer it", "uninstall one of them"))
            continue
        plugin = _read(name, *found[0], findings)
        if plugin is not None:
            plugins[name] = plugin
            _check_pin(plugin, wanted.get(name), findings)
    return plugins


def _offers(wanted: Mapping[str, Pin]) -> _Offers:
    """Return who offers which plugin; more than one for a name is a mistake."""
    offers: _Offers = {}
    seen: set[tuple[str, str]] = set()
    for distribution in distributions():
        for entry_point in distribution.entry_points.select(group=ENTRY_POINT_GROUP):
            # one distribution can be listed twice when its folder is on the path twice
            identity = (entry_point.name, canonicalize_name(distribution.metadata["Name"]))
            if identity not in seen and (not wanted or entry_point.name in wanted):
                seen.add(identity)
                offers.setdefault(entry_point.name, []).append((entry_point, distribution))
    return offers


def _check_wanted(wanted: Mapping[str, Pin], offers: _Offers, findings: Findings) -> None:
    for name, pin in wanted.items():
        if name == KERNEL:
            if refusal := pin.refusal(__version__, Path(__file__).parent):
                findings.add(IncompatibleVersion(name, refusal, _FROZEN))
        elif name not in offers:
            findings.add(
                MissingPlugin(
                    name,
                    "PLATFORM_MODULES names it, but it is not installed",
                    f"pip install platform-plugin-{name.replace('_', '-')}, or correct PLATFORM_MODULES",
                )
            )


_FROZEN: Final = (
    "platform modules sync FILE installs a frozen set; platform modules freeze writes down this one"
)


def _check_pin(plugin: Plugin, pin: Pin | None, findings: Findings) -> None:
    """Refuse, before it is imported, what is not the version or not the files that were pinned."""
    if pin is None:
        return
    if refusal := pin.refusal(plugin.version, _package_folder(plugin.name)):
        findings.add(IncompatibleVersion(plugin.name, refusal, _FROZEN), plugin)
    elif pin.digest is not None:
        run_from_sources(plugin.name)


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def _read(
    name: str, entry_point: EntryPoint, distribution: Distribution, findings: Findings
) -> Plugin | None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,40}", name) or name in RESERVED_NAMES:
        findings.add(
            InvalidManifest(
                name,
                "is not a possible name",
                "snake_case, 2 to 41 characters, not reserved: it is also the schema",
            )
        )
        return None
    try:
        manifest = read_manifest(entry_point.module.partition(".")[0], name)
    except StartupError as error:
        findings.add(error)
        return None
    return Plugin(
        name=name,
        version=distribution.version,
        distribution=distribution.metadata["Name"],
        manifest=manifest,
        entry_point=entry_point,
    )


def _check_versions(plugins: Mapping[str, Plugin], findings: Findings) -> None:
    by_distribution = {canonicalize_name(plugin.distribution): plugin for plugin in plugins.values()}
    for plugin in plugins.values():
        distribution = plugin.entry_point.dist if plugin.entry_point else None
        required: set[str] = set()
        optional: set[str] = set()
        for text in (distribution.requires if distribution else None) or ():
            requirement = Requirement(text)
            name = canonicalize_name(requirement.name)
            if name == "platform-core":
                _check_version(plugin, requirement, __version__, findings)
                continue
            neighbour = by_distribution.get(name)
            is_extra = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
            if neighbour is not None:
                _check_version(plugin, requirement, neighbour.version, findings)
                (optional if is_extra else required).add(neighbour.name)
            elif not is_extra and name.startswith("platform-plugin-"):
                module = name.removeprefix("platform-plugin-").replace("-", "_")
                findings.add(
                    MissingPlugin(
                        plugin.name,
                        f"needs {module}, which is not loaded",
                        f"pip install {name}, and name it in PLATFORM_MODULES if that is set",
                    ),
                    plugin,
                )
        plugin.requires, plugin.optional = tuple(sorted(required)), tuple(sorted(optional - required))


def _check_version(plugin: Plugin, requirement: Requirement, installed: str, findings: Findings) -> None:
    if not requirement.specifier.contains(Version(installed), prereleases=True):
        problem = f"needs {requirement.name} {requirement.specifier}, but {installed} is installed"
        findings.add(
            IncompatibleVersion(plugin.name, problem, f"upgrade {requirement.name} or {plugin.distribution}"),
            plugin,
        )


def _check_manifests(plugins: Mapping[str, Plugin], findings: Findings) -> None:
    for plugin in plugins.values():
        neighbours = {*plugin.requires, *plugin.optional}
        for verb, names in (
            ("query", plugin.manifest.queries),
            ("consume events of", plugin.manifest.consumes),
        ):
            for name in names:
                if name in plugins and name not in neighbours and name != plugin.name:
                    problem = f"plugin.toml lets it {verb} {name}, but its package does not depend on it"
                    findings.add(
                        ForbiddenInteraction(
                            plugin.name,
                            problem,
                            f"add platform-plugin-{name.replace('_', '-')} to its dependencies or extras",
                        ),
                        plugin,
                    )


def _check_paths(plugins: Mapping[str, Plugin], findings: Findings) -> None:
    owners: dict[str, Plugin] = {}
    for plugin in plugins.values():
        for path in plugin.manifest.paths:
            if not path.startswith("/"):
                findings.add(InvalidManifest(plugin.name, f"the path {path!r} does not begin with /"), plugin)
            elif path in owners:
                keeper, loser = by_standing((owners[path], plugin))
                problem = f"{keeper.name} and {loser.name} both claim the path {path}"
                findings.add(NameCollision(loser.name, problem, "uninstall one of them"), loser)
                owners[path] = keeper
            else:
                owners[path] = plugin


def by_standing(plugins: Iterable[Plugin]) -> list[Plugin]:
    """Return plugins as names are theirs where several claim one: an optional one cannot take a required one's."""
    return sorted(plugins, key=lambda plugin: not plugin.is_required)


def with_needed(name: str, requires: Mapping[str, Iterable[str]]) -> set[str]:
    """
    Return a plugin and what it cannot be without, neighbours of neighbours included.

    Args:
        requires: plugin → what it requires; who is not in it is left out.
    """
    needed: set[str] = set()
    todo = [name]
    while todo:
        current = todo.pop()
        if current in requires and current not in needed:
            needed.add(current)
            todo += requires[current]
    return needed


def _order(plugins: Mapping[str, Plugin], findings: Findings) -> list[Plugin]:
    graph = {name: {*plugin.requires, *plugin.optional} & plugins.keys() for name, plugin in plugins.items()}
    ordered: list[Plugin] = []
    while circle := _circle(graph):
        problem = f"{' → '.join(circle)} need each other in a circle"
        members = by_standing(plugins[name] for name in circle[1:])
        for plugin in members:
            error = PluginCycle(plugin.name, problem, "let one side react to the other's events instead")
            if plugin is members[0]:  # told once, of a required one if there is any
                findings.add(error, plugin)
            plugin.error = plugin.error or error
        ordered += members
        graph = {name: needs - {*circle} for name, needs in graph.items() if name not in circle}
    sorter: TopologicalSorter[str] = TopologicalSorter(graph)
    sorter.prepare()
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += [plugins[name] for name in ready]
        sorter.done(*ready)
    return ordered


def _circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return one circle, its first member also as its last; empty when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def spread_failures(ordered: Sequence[Plugin], findings: Findings | None = None) -> None:
    """Mark plugins whose required neighbour has failed as failed too, with that as the cause."""
    findings = findings if findings is not None else Findings()
    failed = {plugin.name for plugin in ordered if plugin.error}
    for plugin in ordered:
        broken = sorted(failed.intersection(plugin.requires))
        if broken and plugin.error is None:
            findings.add(
                MissingPlugin(plugin.name, f"needs {', '.join(broken)}, which failed", "mend that first"),
                plugin,
            )
            failed.add(plugin.name)
