"""What plugins declared, compared with their manifests and with each other; private to the kernel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from platform_core._declared import Declared
from platform_core._hooks import Hooks
from platform_core._manifest import KERNEL, Plugin
from platform_core._sagas import command_of
from platform_core.declarations import Projection, Saga, SagaStep
from platform_core.deprecations import deprecation_of
from platform_core.domain import Command, Event
from platform_core.errors import (
    ForbiddenInteraction,
    HookFailed,
    InvalidManifest,
    MissingService,
    NameCollision,
    StartupError,
)
from platform_core.settings import KernelSettings


class Checks:
    """
    Compares what plugins declared with their manifests and with each other.

    Args:
        hooks: whose plugins are marked when they break a rule.
        declared: what each of them declared.
        settings: routes may name its rate limits.
    """

    def __init__(self, hooks: Hooks, declared: Mapping[str, Declared], settings: KernelSettings) -> None:
        self._hooks, self._declared, self._settings = hooks, declared, settings

    def run(self) -> None:
        """Mark every plugin that breaks a rule; raises `StartupFailed` when a required one does."""
        for plugin in self._hooks.active:
            declared = self._declared[plugin.name]
            self._check_names(plugin, declared)
            self._check_messages(plugin, declared)
            self._check_interactions(plugin, declared)
            self._check_tasks(plugin, declared)
            for saga in declared.sagas:
                self._check_saga(plugin, saga)
            for hook, steps in declared.saga_steps.items():
                self._check_contributed(plugin, hook, steps)
            self._check_migrations(plugin, declared)
            for projection in declared.projections:
                self._check_projection(plugin, projection)
        from platform_core._health import OWN_CHECKS

        self._check_unique("permission", lambda d: [p.name for p in d.permissions])
        self._check_unique("handler name", lambda d: [s.name for s in d.subscriptions])
        self._check_unique("projection", lambda d: [projection.name for projection in d.projections])
        self._check_unique("saga", lambda d: [saga.handler for saga in d.sagas])
        self._check_unique("health check", lambda d: [check.name for check in d.health_checks], OWN_CHECKS)
        self._check_unique("authentication scheme", _schemes)
        self._check_events()
        self._check_routes()
        self._hooks.settle()

    def _check_names(self, plugin: Plugin, declared: Declared) -> None:
        names = [
            *(("subscription", s.name) for s in declared.subscriptions),
            *(("schedule", s.name) for s in declared.schedules),
            *(("saga", s.name) for s in declared.sagas),
            *(("projection", p.name) for p in declared.projections if p.name != plugin.name),
        ]
        for what, name in names:
            if not name.startswith(f"{plugin.name}."):
                hint = f"call it {plugin.name}.{name.rpartition('.')[2]}"
                self._fail(
                    plugin,
                    InvalidManifest(plugin.name, f"its {what} {name} does not begin with its own name", hint),
                )

    def _check_messages(self, plugin: Plugin, declared: Declared) -> None:
        """Nobody handles another module's commands and queries, or takes their stored names."""
        if plugin.name == KERNEL:
            return
        for message in (*declared.services.commands, *declared.services.queries):
            package = message.__module__.partition(".")[0]
            if package != plugin.name or not message.wire_name.startswith(f"{plugin.name}."):
                problem = f"it handles {message.wire_name}, which is not its own"
                self._fail(plugin, NameCollision(plugin.name, problem, "declare a message of its own"))

    def _check_interactions(self, plugin: Plugin, declared: Declared) -> None:
        for subscription in declared.subscriptions:
            owner = subscription.event.wire_name.partition(".")[0]
            deprecated = deprecation_of(subscription.event)
            if deprecated is not None and owner != plugin.name:
                deprecated.warn(f"{subscription.name}: the event {subscription.event.wire_name}")
            if owner not in (plugin.name, *plugin.manifest.consumes):
                name = subscription.event.wire_name
                problem = f"it subscribes to {name}; plugin.toml does not let it consume {owner}"
                self._fail(
                    plugin,
                    ForbiddenInteraction(plugin.name, problem, f'add "{owner}" to consumes, if wanted'),
                )

    def _check_tasks(self, plugin: Plugin, declared: Declared) -> None:
        commands = set(declared.services.commands)
        tasks = {task.command for task in declared.tasks}
        for task in tasks - commands:
            problem = f"the task {task.wire_name} has no command handler"
            self._fail(
                plugin, MissingService(plugin.name, problem, "add it to the commands of register_services")
            )
        for task in tasks:
            if task.secret_fields:
                secrets = ", ".join(sorted(task.secret_fields))
                problem = f"the task {task.wire_name} would store {secrets} with each of its jobs"
                hint = "store what leads to the secret, and fetch it when the job runs"
                self._fail(plugin, HookFailed(plugin.name, problem, hint))
        for schedule in declared.schedules:
            if type(schedule.command) not in tasks:
                problem = f"the schedule {schedule.name} executes a command that is no task"
                self._fail(
                    plugin, MissingService(plugin.name, problem, "add a Task for it to register_tasks")
                )

    def _check_saga(self, plugin: Plugin, saga: Saga) -> None:
        if not saga.steps and saga.hook is None:
            problem = f"the saga {saga.name} has no steps"
            self._fail(plugin, HookFailed(plugin.name, problem, "give it some, or a hook for others to"))
        if saga.hook is not None and self._hooks.owner(saga.hook) != plugin.name:
            problem = f"the saga {saga.name} takes steps by the hook {saga.hook}, which is not its own"
            self._fail(plugin, HookFailed(plugin.name, problem, "publish it by register_hookspecs"))
        self._check_steps(plugin, saga.name, saga.steps)

    def _check_contributed(self, plugin: Plugin, hook: str, steps: Sequence[SagaStep]) -> None:
        """What one module adds must not be another's reason to fail, and its name says whose it is."""
        for step in steps:
            if not step.name.startswith(f"{plugin.name}."):
                problem = f"the step {step.name} that it adds by {hook} does not begin with its own name"
                hint = f"call it {plugin.name}.{step.name.rpartition('.')[2]}"
                self._fail(plugin, InvalidManifest(plugin.name, problem, hint))
            if step.critical:
                problem = (
                    f"the step {step.name} that it adds by {hook} is critical: it would undo others' steps"
                )
                self._fail(plugin, HookFailed(plugin.name, problem, "declare it with critical=False"))
        self._check_steps(plugin, hook, steps)

    def _check_steps(self, plugin: Plugin, where: str, steps: Sequence[SagaStep]) -> None:
        names = [step.name for step in steps]
        if len(set(names)) < len(names):
            problem = f"{where} has two steps of one name"
            self._fail(plugin, HookFailed(plugin.name, problem, "give each step a name of its own"))
        for step in steps:
            for function in (step.action, step.compensation):
                if function is not None:
                    self._check_step(plugin, f"{where}, step {step.name}", command_of(function))

    def _check_step(self, plugin: Plugin, where: str, command: type[Command[Any]] | None) -> None:
        """Only what a module publishes may be executed by others' sagas, and only where the manifest says so."""
        if command is None:
            problem = f"{where}: nothing says which command it makes"
            hint = "annotate what its function returns: `-> TakePayment`"
            self._fail(plugin, MissingService(plugin.name, problem, hint))
            return
        owner = command.__module__.partition(".")[0]
        handles = owner in self._declared and command in self._declared[owner].services.commands
        if not handles:
            problem = f"{where}: nobody handles {command.wire_name}"
            hint = "add it to the commands of register_services, or install the module that does"
            self._fail(plugin, MissingService(plugin.name, problem, hint))
        elif owner != plugin.name and owner not in plugin.manifest.sagas:
            problem = f"{where}: plugin.toml does not let its sagas execute commands of {owner}"
            self._fail(
                plugin, ForbiddenInteraction(plugin.name, problem, f'add "{owner}" to sagas, if wanted')
            )
        elif owner != plugin.name and not command.__module__.startswith(f"{owner}.contracts"):
            problem = f"{where}: {owner} keeps {command.wire_name} to itself"
            self._fail(plugin, ForbiddenInteraction(plugin.name, problem, "use what its contracts offer"))

    def _check_projection(self, plugin: Plugin, projection: Projection) -> None:
        """What is forgotten before it is made anew is its own, and there is one way to make it."""
        events = [handler.event.wire_name for handler in projection.handlers]
        foreign = [shown.table.fullname for shown in projection.tables if shown.table.schema != plugin.name]
        missing = [shown.key for shown in projection.tables if shown.key not in shown.table.c]
        if not events or not projection.tables or len(set(events)) < len(events):
            problem = f"the projection {projection.name} has no tables or handlers, or two for the same event"
            self._fail(plugin, HookFailed(plugin.name, problem, "give each event one handler"))
        if foreign or missing:
            wrong = ", ".join([*foreign, *missing])
            problem = f"the projection {projection.name} names {wrong}, which is not in its own tables"
            self._fail(
                plugin, HookFailed(plugin.name, problem, "name tables of its own schema, and their keys")
            )

    def _check_migrations(self, plugin: Plugin, declared: Declared) -> None:
        metadata = declared.migrations.metadata if declared.migrations else None
        for part in metadata if isinstance(metadata, tuple) else (metadata,):
            foreign = (
                sorted({t.fullname for t in part.tables.values() if t.schema != plugin.name})
                if part is not None
                else []
            )
            if foreign and plugin.name != KERNEL:
                schemas = {name.partition(".")[0] for name in foreign}
                owners = sorted(schemas & {KERNEL, *(other.name for other in self._hooks.claimants)})
                whose = f", which belongs to {' and '.join(owners)}" if owners else ""
                problem = f"its metadata has tables outside its schema: {', '.join(foreign)}{whose}"
                self._fail(
                    plugin, NameCollision(plugin.name, problem, f'use module_metadata("{plugin.name}")')
                )

    def _check_unique(
        self, what: str, names: Callable[[Declared], Sequence[str]], reserved: Sequence[str] = ()
    ) -> None:
        owners = dict.fromkeys(reserved, KERNEL)
        for plugin in self._hooks.claimants:
            for name in names(self._declared[plugin.name]):
                owner = owners.setdefault(name, plugin.name)
                if owner != plugin.name:
                    problem = f"{owner} and {plugin.name} both declare the {what} {name}"
                    self._fail(plugin, NameCollision(plugin.name, problem, "rename one of them"))

    def _check_events(self) -> None:
        owners: dict[str, type[Event]] = {}
        active = {plugin.name: plugin for plugin in self._hooks.active}
        for event in _subclasses(Event):
            if getattr(sys.modules.get(event.__module__), event.__name__, None) is not event:
                continue  # of a module that has been replaced since, as tests do
            module = event.__module__.partition(".")[0]
            plugin, name = active.get(module), getattr(event, "wire_name", "")
            if plugin is None:
                continue
            if not name.startswith(f"{module}."):
                hint = f'wire_name: ClassVar[str] = "{module}.…"'
                owner = name.partition(".")[0]
                whose = f", which is a name of {owner}'s" if owner in active else ""
                problem = f"the event {event.__name__} is called {name!r}{whose}"
                self._fail(plugin, NameCollision(module, problem, hint))
            elif name in owners and owners[name] is not event:
                problem = f"{owners[name].__qualname__} and {event.__qualname__} are both called {name}"
                self._fail(plugin, NameCollision(module, problem, "rename one of them"))
            else:
                owners[name] = event

    def _check_routes(self) -> None:
        from platform_core.http.assembly import ModuleRoutes, check_routes

        permissions = [
            permission.name for declared in self._declared.values() for permission in declared.permissions
        ]
        taken: dict[tuple[str, str], str] = {}
        for plugin in self._hooks.claimants:
            offered = ModuleRoutes(plugin.name, plugin.manifest.title, self._declared[plugin.name].routers)
            for problem in check_routes(
                offered,
                paths=plugin.manifest.paths,
                permissions=permissions,
                settings=self._settings,
                taken=taken,
            ):
                self._fail(plugin, problem)

    def _fail(self, plugin: Plugin, error: StartupError) -> None:
        self._hooks.fail(plugin, error)


def _schemes(declared: Declared) -> list[str]:
    scheme = getattr(declared.authenticator, "scheme", None)
    return [scheme.lower()] if isinstance(scheme, str) else []


def _subclasses(root: type[Event]) -> list[type[Event]]:
    found: list[type[Event]] = []
    for child in root.__subclasses__():
        found += [child, *_subclasses(child)]
    return found
