"""
Imports the checked plugins, one at a time and each under a guard, and collects what their hooks declare.

A failure costs the plugin and those that need it; a required one costs the start.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

import pluggy

from platform_core import PROJECT_NAME, hookspecs
from platform_core._deadline import deadline
from platform_core._discovery import Findings, by_standing, spread_failures, with_needed
from platform_core._manifest import KERNEL, Plugin
from platform_core._start_marks import StartMarks
from platform_core.errors import HookFailed, NameCollision, StartupError, UnknownHook

_MARK = f"{PROJECT_NAME}_impl"

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
        self._findings = Findings()
        self._implemented: dict[str, Mapping[str, Callable[[], Any]]] = {}
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
    def specifications(self) -> Mapping[str, tuple[str, Callable[[], Any]]]:
        """Every hook that there is: name → the plugin that publishes it, and its specification."""
        found = {name: (KERNEL, function) for name, function in _specs(hookspecs).items()}
        for plugin in self.active:
            published = self.collect_one(plugin, "register_hookspecs")
            found |= {name: (plugin.name, function) for name, function in _specs(published).items()}
        return found

    def implements(self, plugin: Plugin, hook: str) -> bool:
        """Tell whether a plugin has something to say to a hook."""
        return self._implementation(plugin, hook) is not None

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
                hooks = ModuleType(
                    plugin.name
                )  # pluggy would look through everything that the plugin imports
                vars(hooks).update(self._implementations(plugin))
                self._manager.register(hooks, plugin.name)

    def _check_hooks(self) -> None:
        for plugin in self.active:
            for name, function in self._implementations(plugin).items():
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
        return self._implementations(plugin).get(hook)

    def _implementations(self, plugin: Plugin) -> Mapping[str, Callable[[], Any]]:
        """Return a plugin's hooks by name; none before it is imported."""
        if plugin.module is None:
            return {}
        if plugin.name not in self._implemented:
            self._implemented[plugin.name] = _marked(plugin.module, _MARK)
        return self._implemented[plugin.name]

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
    return list(_specs(module))


def _specs(module: ModuleType | None) -> dict[str, Callable[[], Any]]:
    return _marked(module, f"{PROJECT_NAME}_spec") if module else {}


def _marked(module: ModuleType, mark: str) -> dict[str, Callable[[], Any]]:
    # functions only: an object such as SQLAlchemy's `func` claims to have every attribute
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and hasattr(value, mark)
    }
