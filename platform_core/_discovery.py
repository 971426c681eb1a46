"""
Finds plugins, checks the whole set before anything is imported, then imports and collects hooks by plugin.

Private to the kernel. Every problem is found before any is raised, and each names the plugin, the cause and a hint.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import re
import signal
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from types import FrameType, ModuleType
from typing import Annotated, Any, Final, Literal

import pluggy
from annotated_types import Len
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from platform_core import ENTRY_POINT_GROUP, PROJECT_NAME, __version__, hookspecs
from platform_core._pins import Pin, pins
from platform_core._start_marks import StartMarks
from platform_core.declarations import Link
from platform_core.errors import (
    DuplicatePlugin,
    ForbiddenInteraction,
    HookFailed,
    IncompatibleVersion,
    InvalidManifest,
    MissingPlugin,
    NameCollision,
    PluginCycle,
    StartupError,
    StartupFailed,
    UnknownHook,
)

KERNEL = "platform"
_MARK = f"{PROJECT_NAME}_impl"
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

    @property
    def status(self) -> str:
        return "failed" if self.error else "active"


@dataclass
class _Findings:
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
    findings = _Findings()
    plugins = _find(allowed, findings)
    _check_versions(plugins, findings)
    _check_manifests(plugins, findings)
    _check_paths(plugins, findings)
    ordered = _order(plugins, findings)
    spread_failures(ordered, findings)
    findings.raise_if_any()
    return ordered


_Offers = dict[str, list[tuple[EntryPoint, Distribution]]]


def _find(allowed: Sequence[str], findings: _Findings) -> dict[str, Plugin]:
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


def _check_wanted(wanted: Mapping[str, Pin], offers: _Offers, findings: _Findings) -> None:
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


def _check_pin(plugin: Plugin, pin: Pin | None, findings: _Findings) -> None:
    """Refuse, before it is imported, what is not the version or not the files that were pinned."""
    folder = _package_folder(plugin.name)
    if pin is not None and (refusal := pin.refusal(plugin.version, folder)):
        findings.add(IncompatibleVersion(plugin.name, refusal, _FROZEN), plugin)


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def _read(
    name: str, entry_point: EntryPoint, distribution: Distribution, findings: _Findings
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


def _check_versions(plugins: Mapping[str, Plugin], findings: _Findings) -> None:
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


def _check_version(plugin: Plugin, requirement: Requirement, installed: str, findings: _Findings) -> None:
    if not requirement.specifier.contains(Version(installed), prereleases=True):
        problem = f"needs {requirement.name} {requirement.specifier}, but {installed} is installed"
        findings.add(
            IncompatibleVersion(plugin.name, problem, f"upgrade {requirement.name} or {plugin.distribution}"),
            plugin,
        )


def _check_manifests(plugins: Mapping[str, Plugin], findings: _Findings) -> None:
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


def _check_paths(plugins: Mapping[str, Plugin], findings: _Findings) -> None:
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


def _order(plugins: Mapping[str, Plugin], findings: _Findings) -> list[Plugin]:
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


def spread_failures(ordered: Sequence[Plugin], findings: _Findings | None = None) -> None:
    """Mark plugins whose required neighbour has failed as failed too, with that as the cause."""
    findings = findings if findings is not None else _Findings()
    failed = {plugin.name for plugin in ordered if plugin.error}
    for plugin in ordered:
        broken = sorted(failed.intersection(plugin.requires))
        if broken and plugin.error is None:
            findings.add(
                MissingPlugin(plugin.name, f"needs {', '.join(broken)}, which failed", "mend that first"),
                plugin,
            )
            failed.add(plugin.name)


class PluginHung(BaseException):
    """A plugin did not return in time; not an Exception, so that a plugin's own handlers let it through."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """
    Interrupt the block when it takes too long, be it asleep or busy.

    On a machine that is busy with other things it may take up to three times as long. Works in the main thread, where
    Python delivers signals; elsewhere the block just runs.

    Raises:
        PluginHung: the time is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    began, worked = time.monotonic(), time.process_time()

    def interrupt(_signal: int, frame: FrameType | None) -> None:
        waited_seconds, worked_seconds = time.monotonic() - began, time.process_time() - worked
        if _is_only_slow(waited_seconds, worked_seconds, seconds):
            signal.setitimer(signal.ITIMER_REAL, seconds / 4)
            return
        place = f" in {frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}" if frame else ""
        raise PluginHung(f"took longer than {seconds:g} s{place}")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _is_only_slow(waited_seconds: float, worked_seconds: float, limit_seconds: float) -> bool:
    """Tell whether a block gets on, but on a machine that has little time for it: it is neither asleep nor looping."""
    is_asleep = worked_seconds < 0.05 * waited_seconds
    return not is_asleep and worked_seconds < 0.8 * limit_seconds and waited_seconds < 3 * limit_seconds


_IMPORTED_BY_ALL: Final = ("platform_core.db", "platform_core.http")
"""Imported before the clock of the first plugin starts: it must not be charged for SQLAlchemy and FastAPI."""


class Hooks:
    """
    Imports checked plugins and collects what their hooks declare.

    Args:
        plugins: in dependency order; failures are noted in them.
        timeout_seconds: for one import and for one hook.
        marks: where it is noted whose code runs, in a process of its own.
    """

    def __init__(
        self, plugins: Sequence[Plugin], *, timeout_seconds: float, marks: StartMarks | None = None
    ) -> None:
        self.plugins = list(plugins)
        self._timeout_seconds, self._marks = timeout_seconds, marks
        self._findings = _Findings()
        self._manager = pluggy.PluginManager(PROJECT_NAME)
        self._manager.add_hookspecs(hookspecs)
        self._spec_owners = dict.fromkeys(_spec_names(hookspecs), KERNEL)
        for plugin in self.plugins:
            self._import(plugin)
        self._add_hookspecs()
        self._register()
        self._check_hooks()
        self.settle()

    @property
    def active(self) -> list[Plugin]:
        """Plugins that have not failed, in order."""
        return [plugin for plugin in self.plugins if plugin.error is None]

    @property
    def kernel_hooks(self) -> list[str]:
        """Names of the hooks that the kernel itself declares."""
        return _spec_names(hookspecs)

    @property
    def claimants(self) -> list[Plugin]:
        """Active plugins in the order in which names are theirs."""
        return by_standing(self.active)

    def owner(self, hook: str) -> str | None:
        """Return which plugin publishes a hook; the kernel is one of them."""
        return self._spec_owners.get(hook)

    def plugin(self, name: str) -> Plugin:
        """Return the plugin of that name, failed or not."""
        return next(plugin for plugin in self.plugins if plugin.name == name)

    def fail(self, plugin: Plugin, error: StartupError) -> None:
        """Note that `plugin` cannot run; `settle` decides what follows."""
        self._findings.add(error, plugin)

    def settle(self) -> None:
        """
        Carry failures on to dependents.

        Raises:
            StartupFailed: a required plugin has failed.
        """
        spread_failures(self.plugins, self._findings)
        self._findings.raise_if_any()

    def collect(self, hook: str) -> dict[str, Any]:
        """
        Call one hook of every active plugin that implements it.

        Returns: plugin name → declaration, in plugin order; a plugin whose hook fails is left out and marked.

        Raises:
            StartupFailed: the plugin was required.
        """
        collected: dict[str, Any] = {}
        for plugin in self.active:
            function = self._implementation(plugin, hook)
            if function is not None:
                with self._guarded(plugin, f"its hook {hook}"):
                    collected[plugin.name] = function()
        self.settle()
        return {name: value for name, value in collected.items() if value is not None}

    def collect_one(self, plugin: Plugin, hook: str) -> Any:
        """Call one hook of one plugin; None when it has none or it fails."""
        function = self._implementation(plugin, hook)
        if function is None or plugin.error is not None:
            return None
        declared = None
        with self._guarded(plugin, f"its hook {hook}"):
            declared = function()
        return declared  # noqa: RET504  # `_guarded` may swallow what the hook raises

    def _import(self, plugin: Plugin) -> None:
        if plugin.error is not None or any(
            other.error for other in self.plugins if other.name in plugin.requires
        ):
            return
        if plugin.module is None:
            for shared in _IMPORTED_BY_ALL:
                importlib.import_module(shared)
            assert plugin.entry_point is not None  # noqa: S101  # only built-in plugins come imported
            if self._is_deadly(plugin):
                return
            with self._guarded(plugin, f"importing {plugin.entry_point.value}"):
                plugin.module = importlib.import_module(plugin.entry_point.module)

    def _is_deadly(self, plugin: Plugin) -> bool:
        if self._marks is None:
            return False
        needed = with_needed(plugin.name, {other.name: other.requires for other in self.plugins})
        happened = self._marks.convict(plugin.name, sorted(needed - {plugin.name, KERNEL}))
        if happened is not None:
            hint = "mend or uninstall it, or leave it out of PLATFORM_MODULES; what it wrote is in the log"
            self.fail(plugin, HookFailed(plugin.name, happened, hint))
        return happened is not None

    def _add_hookspecs(self) -> None:
        """Make the hooks known that plugins publish; all of them are imported, so that their order decides nothing."""
        for plugin in self.claimants:
            specs = self.collect_one(plugin, "register_hookspecs")
            taken = [name for name in _spec_names(specs) if name in self._spec_owners] if specs else []
            for name in taken:
                problem = f"{self._spec_owners[name]} and {plugin.name} both declare the hook {name}"
                self.fail(plugin, NameCollision(plugin.name, problem, f"name it {plugin.name}_{name}"))
            if specs is not None and not taken:
                self._spec_owners |= dict.fromkeys(_spec_names(specs), plugin.name)
                self._manager.add_hookspecs(specs)

    def _register(self) -> None:
        for plugin in self.active:
            with self._guarded(plugin, "registering its hooks"):
                self._manager.register(plugin.module, plugin.name)

    def _check_hooks(self) -> None:
        for plugin in self.active:
            for name, function in _implementations(plugin.module).items():
                if name not in self._spec_owners and getattr(function, _MARK)["optionalhook"]:
                    continue  # for a neighbour that need not be installed
                if name not in self._spec_owners:
                    hint = "check the spelling; `platform modules show` lists the hooks"
                    self.fail(
                        plugin, UnknownHook(plugin.name, f"it implements {name}, which nobody declares", hint)
                    )
                elif inspect.iscoroutinefunction(function):
                    problem = f"its hook {name} is async; hooks return declarations and do no I/O"
                    self.fail(plugin, HookFailed(plugin.name, problem, "make it a plain function"))

    def _implementation(self, plugin: Plugin, hook: str) -> Callable[[], Any] | None:
        return _implementations(plugin.module).get(hook) if plugin.module else None

    @contextlib.contextmanager
    def _guarded(self, plugin: Plugin, what: str) -> Iterator[None]:
        try:
            at_risk = self._marks.at_risk(plugin.name, what) if self._marks else contextlib.nullcontext()
            with at_risk, deadline(self._timeout_seconds):
                yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # a plugin may raise anything
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            failure = HookFailed(
                plugin.name, f"{what} failed: {reason}", "see the traceback with --debug, or ask its author"
            )
            failure.__cause__ = error
            self.fail(plugin, failure)


def _spec_names(module: ModuleType) -> list[str]:
    return list(_marked(module, f"{PROJECT_NAME}_spec"))


def _implementations(module: ModuleType | None) -> dict[str, Callable[[], Any]]:
    return _marked(module, _MARK) if module else {}


def _marked(module: ModuleType, mark: str) -> dict[str, Callable[[], Any]]:
    # functions only: an object such as SQLAlchemy's `func` claims to have every attribute
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and hasattr(value, mark)
    }
