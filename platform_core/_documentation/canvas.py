"""
The canvas of each module: on one sheet what it is for, what it offers, what it hears and what it needs.

After the bounded context canvas of Nick Tune and the module canvas of Spring Modulith; read from what the installed
modules declare, so that it cannot be out of date.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from platform_core import __version__
from platform_core._declared import Declared
from platform_core._manifest import KERNEL, Plugin
from platform_core._modules.graph import Graph, graph_of
from platform_core._sagas import command_of
from platform_core.deprecations import deprecation_of
from platform_core.domain import Event, Message
from platform_core.http.problems import STATUS, title_of
from platform_core.http.routing import Policy, declared_routes
from platform_core.settings import KernelSettings, variable_name

if TYPE_CHECKING:
    from pydantic import BaseModel

    from platform_core.app import Kernel

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteCard:
    """
    One route.

    Attributes:
        access: `public`, `any account`, or the permission that it asks for.
        refuses: what its answer may be instead, as `409 title-taken`.
    """

    method: str
    path: str
    summary: str
    access: str
    refuses: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCard:
    """
    One published event.

    Attributes:
        fields: name → type, as the class annotates it.
        handlers: (module, handler) of whoever is given it.
    """

    name: str
    version: int
    module: str
    about: str
    fields: Mapping[str, str]
    handlers: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerCard:
    """A subscription: which event is given to whom."""

    name: str
    event: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageCard:
    """A command or a query, by the name in the audit trail, and the type of its answer."""

    name: str
    about: str
    answers: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCard:
    """A point where modules extend the platform or each other."""

    name: str
    module: str
    about: str
    implemented_by: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingCard:
    """One setting; `default` is text for people and never a secret."""

    variable: str
    default: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCard:
    """One table, with the names of its columns."""

    name: str
    columns: Sequence[str]
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionCard:
    """A right that roles can hold, and the routes that ask for it."""

    name: str
    module: str
    about: str
    routes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavingCard:
    """
    Something that is deprecated.

    Attributes:
        kind: route, event, hook, service or setting.
        says: since when, until when, and what to use instead.
    """

    kind: str
    name: str
    module: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """
    Everything about one module.

    Attributes:
        purpose: the summary of its distribution.
        error: why it is not running; the rest is then what its manifest says.
        needs, needed_by, neighbours: modules that it requires, that require it, that it uses where they are.
        asks, consumes, directs: whose queries it may ask, whose events it may hear, whose commands its sagas execute.
        sagas: (saga, steps in order, those that others contribute among them).
        leaving: what of it is deprecated.
    """

    name: str
    title: str
    version: str
    distribution: str
    status: str
    boot: str
    purpose: str
    error: str | None
    paths: Sequence[str]
    capabilities: Sequence[str]
    needs: Sequence[str]
    needed_by: Sequence[str]
    neighbours: Sequence[str]
    asks: Sequence[str]
    consumes: Sequence[str]
    directs: Sequence[str]
    links: Sequence[str]
    cli_groups: Mapping[str, str]
    routes: Sequence[RouteCard]
    commands: Sequence[MessageCard]
    queries: Sequence[MessageCard]
    publishes: Sequence[EventCard]
    subscriptions: Sequence[HandlerCard]
    hooks_offered: Sequence[HookCard]
    hooks_implemented: Sequence[HookCard]
    tables: Sequence[TableCard]
    permissions: Sequence[PermissionCard]
    settings: Sequence[SettingCard]
    health_checks: Sequence[str]
    schedules: Sequence[tuple[str, str]]
    sagas: Sequence[tuple[str, Sequence[str]]]
    projections: Sequence[str]
    seeds: Sequence[tuple[str, str]]
    leaving: Sequence[LeavingCard]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handbook:
    """
    What is installed, as a whole.

    Attributes:
        modules: in dependency order, the kernel's own first.
        hooks: of the kernel and of modules, with who implements them.
    """

    version: str
    modules: Sequence[Canvas]
    hooks: Sequence[HookCard]
    graph: Graph

    @property
    def names(self) -> Collection[str]:
        """Of the modules that are here; a manifest may speak of others, too."""
        return {module.name for module in self.modules}

    @property
    def events(self) -> Sequence[EventCard]:
        """Every published event, in the order of its modules."""
        return [event for module in self.modules for event in module.publishes]

    @property
    def permissions(self) -> Sequence[PermissionCard]:
        """Every permission, in the order of its modules."""
        return [permission for module in self.modules for permission in module.permissions]

    @property
    def leaving(self) -> Sequence[LeavingCard]:
        """Everything that is deprecated, in the order of its modules."""
        return [one for module in self.modules for one in module.leaving]


def handbook_of(kernel: Kernel) -> Handbook:
    """Read what the installed modules declare; nothing is connected for it."""
    hooks = list(_hooks(kernel))
    handlers: dict[str, list[tuple[str, str]]] = {}
    for name, declared in kernel.declared.items():
        for subscription in declared.subscriptions:
            handlers.setdefault(subscription.event.wire_name, []).append((name, subscription.name))
    askers: dict[str, list[str]] = {}
    for declared in kernel.declared.values():
        for route in _routes(declared):
            askers.setdefault(route.access, []).append(f"{route.method} {route.path}")
    canvases = [_canvas(kernel, plugin, hooks, handlers, askers) for plugin in kernel.plugins]
    graph = graph_of(kernel.plugins, kernel.switches.off)
    return Handbook(version=__version__, modules=canvases, hooks=hooks, graph=graph)


def _canvas(
    kernel: Kernel,
    plugin: Plugin,
    hooks: Sequence[HookCard],
    handlers: Mapping[str, Sequence[tuple[str, str]]],
    askers: Mapping[str, Sequence[str]],
) -> Canvas:
    name, manifest = plugin.name, plugin.manifest
    declared = kernel.declared.get(name, Declared())
    model = KernelSettings if name == KERNEL else type(declared.settings)
    return Canvas(
        name=name,
        title=manifest.title,
        version=plugin.version,
        distribution=plugin.distribution,
        status=plugin.status_where(kernel.switches.off),
        boot=manifest.boot,
        purpose=_summary_of(plugin.distribution),
        error=str(plugin.error) if plugin.error else None,
        paths=list(manifest.paths),
        capabilities=list(manifest.capabilities),
        needs=list(plugin.requires),
        needed_by=[other.name for other in kernel.plugins if name in other.requires],
        neighbours=list(plugin.optional),
        asks=list(manifest.queries),
        consumes=list(manifest.consumes),
        directs=list(manifest.sagas),
        links=[f"{link.table}.{link.column} → {link.target}" for link in manifest.links],
        cli_groups=dict(manifest.commands),
        routes=list(_routes(declared)),
        commands=_messages(declared.services.commands),
        queries=_messages(declared.services.queries),
        publishes=list(_published(name, handlers)) if plugin.error is None else [],
        subscriptions=[
            HandlerCard(name=s.name, event=s.event.wire_name, about=first_sentence(s.handler))
            for s in declared.subscriptions
        ],
        hooks_offered=[hook for hook in hooks if hook.module == name],
        hooks_implemented=[hook for hook in hooks if name in hook.implemented_by],
        tables=list(_tables(declared)),
        permissions=[
            PermissionCard(name=p.name, module=name, about=p.description, routes=askers.get(p.name, ()))
            for p in declared.permissions
        ],
        settings=list(_settings(name, model)) if declared.settings is not None or name == KERNEL else [],
        health_checks=[check.name for check in declared.health_checks],
        schedules=[(schedule.name, _every(schedule.every)) for schedule in declared.schedules],
        sagas=[
            (saga.handler, [_step(step) for step in kernel.sagas.definitions.by_handler[saga.handler].steps])
            for saga in declared.sagas
        ],
        projections=[projection.name for projection in declared.projections],
        seeds=[(seed.name, seed.tier.name.lower()) for seed in declared.seeds],
        leaving=[
            LeavingCard(kind=kind, name=what, module=name, says=str(deprecated))
            for kind, what, thing in _what_may_leave(kernel, name, declared, model)
            if (deprecated := deprecation_of(thing)) is not None
        ],
    )


def _what_may_leave(
    kernel: Kernel, module: str, declared: Declared, model: type[BaseModel] | type[None]
) -> Iterator[tuple[str, str, Any]]:
    """Yield what of a module can be deprecated: kind, name, and the thing that says so."""
    for route, context, prefix in declared_routes(declared.routers):
        methods = "/".join(sorted(context.methods or ()))
        yield "route", f"{methods} {prefix}{context.path}", getattr(route, "policy", None)
    for name, event in _events_of(module).items():
        yield "event", name, event
    for name, (owner, function) in kernel.hooks.specifications.items():
        if owner == module:
            yield "hook", name, function
    for service in declared.services.provides:
        yield "service", service.provides.__qualname__, service
    for name, field in getattr(model, "model_fields", {}).items():
        yield "setting", _variable(module, name, field), field


def first_sentence(thing: Any) -> str:
    """Return the first paragraph of a docstring of its own as one line; nothing where there is none."""
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "").partition("\n\n")[0]
    if text.startswith(f"{getattr(thing, '__name__', '')}("):
        return ""  # what a dataclass says of itself when nobody has said anything
    return " ".join(text.split())


def descendants(root: type[T]) -> Iterator[type[T]]:
    """Yield every class below `root` that has been imported."""
    for child in root.__subclasses__():
        yield child
        yield from descendants(child)


def _summary_of(distribution: str) -> str:
    try:
        return metadata.metadata(distribution)["Summary"] or ""
    except (metadata.PackageNotFoundError, KeyError):
        return ""


def _routes(declared: Declared) -> Iterator[RouteCard]:
    for route, context, prefix in declared_routes(declared.routers):
        policy: Policy = getattr(route, "policy", Policy())
        yield RouteCard(
            method="/".join(sorted(context.methods or ())),
            path=f"{prefix}{context.path}",
            summary=route.summary or first_sentence(route.endpoint),
            access="public" if policy.public else policy.permission or "any account",
            refuses=[f"{STATUS[error.kind]} {error.slug}: {title_of(error)}" for error in policy.raises],
        )


def _messages(handled: Iterable[type[Message[Any]]]) -> list[MessageCard]:
    cards = [
        MessageCard(name=message.wire_name, about=first_sentence(message), answers=_answer(message))
        for message in handled
    ]
    return sorted(cards, key=lambda card: card.name)


def _answer(message: type[Message[Any]]) -> str:
    for base in getattr(message, "__orig_bases__", ()):
        for argument in typing.get_args(base):
            return _type_name(argument)
    return ""


def _type_name(annotation: Any) -> str:
    if annotation is None or annotation is type(None):
        return "nothing"
    arguments = typing.get_args(annotation)
    if isinstance(annotation, type) and not arguments:
        return annotation.__name__
    if arguments and isinstance(origin := typing.get_origin(annotation), type):
        return f"{origin.__name__}[{', '.join(map(_type_name, arguments))}]"
    return str(annotation).replace("typing.", "")


def _published(module: str, handlers: Mapping[str, Sequence[tuple[str, str]]]) -> Iterator[EventCard]:
    for name, event in sorted(_events_of(module).items()):
        yield EventCard(
            name=name,
            version=event.wire_version,
            module=module,
            about=first_sentence(event),
            fields={
                field.name: field.type if isinstance(field.type, str) else _type_name(field.type)
                for field in fields(typing.cast("Any", event))
            },
            handlers=handlers.get(name, ()),
        )


def _events_of(module: str) -> dict[str, type[Event]]:
    """Return the events that others may hear of: those in the module's contracts."""
    return {
        event.wire_name: event
        for event in descendants(Event)
        if f"{event.__module__}.".startswith(f"{module}.contracts.")
    }


def _hooks(kernel: Kernel) -> Iterator[HookCard]:
    for name, (owner, function) in kernel.hooks.specifications.items():
        yield HookCard(
            name=name,
            module=owner,
            about=first_sentence(function),
            implemented_by=[plugin.name for plugin in kernel.active if kernel.hooks.implements(plugin, name)],
        )


def _tables(declared: Declared) -> Iterator[TableCard]:
    if declared.migrations is None:
        return
    given = declared.migrations.metadata
    tables = {
        t.fullname: t
        for part in (given if isinstance(given, tuple) else (given,))
        for t in part.tables.values()
    }
    for name, table in sorted(tables.items()):
        yield TableCard(
            name=name, columns=[column.name for column in table.columns], about=table.comment or ""
        )


def _settings(module: str, model: type[BaseModel]) -> Iterator[SettingCard]:
    for name, field in model.model_fields.items():
        about = field.description or ""
        yield SettingCard(variable=_variable(module, name, field), default=_default(field), about=about)


def _variable(module: str, name: str, field: Any) -> str:
    return str(field.alias or (name if module == KERNEL else variable_name(module, name)))


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "depends on the machine"
    value = field.get_default()
    if value is None or value is PydanticUndefined or value == ():
        return ""
    if isinstance(value, SecretStr):
        return "secret"
    return ",".join(map(str, value)) if type(value) is tuple else str(value)


def _every(pause: timedelta) -> str:
    """Return a pause as people say it: in the largest unit that it is a whole number of."""
    seconds = int(pause.total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds % size == 0:
            count = seconds // size
            return f"every {unit}" if count == 1 else f"every {count} {unit}s"
    return f"every {pause}"


def _step(step: Any) -> str:
    command = command_of(step.action)
    undone = command_of(step.compensation) if step.compensation else None
    does = command.wire_name if command else step.name
    return f"{does}, taken back by {undone.wire_name}" if undone else does
