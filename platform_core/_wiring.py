"""
Dependency injection by type: planned and verified at start, executed without looking anything up.

Private to the kernel. The parameters of a handler, reader, factory, seed or check say what it needs; the plan for each
is made once. The same checks enforce the manifests: what a plugin injects from another one must be public there, and
the other one must be among its `queries`.
"""

from __future__ import annotations

import contextlib
import inspect
import types
import typing
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Union

from platform_core._manifest import KERNEL, Plugin
from platform_core.context import Context, current
from platform_core.declarations import Scope, Service, Services
from platform_core.errors import ForbiddenInteraction, MissingService, NameCollision, StartupError

Getter = Callable[["Unit"], Any]


@dataclass(slots=True)
class Unit:
    """
    What one command, query or delivery carries: the sources of everything that is not per process.

    Attributes:
        offers: kernel type → instance, such as the unit of work.
        made: services already made here, so that two handlers' parameters share one repository.
    """

    context: Context
    offers: Mapping[type[Any], Any] = field(default_factory=dict)
    made: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KernelOffer:
    """
    A type that the kernel itself provides.

    Attributes:
        get: makes or finds the instance for a module and the running unit.
        scope: whether an application-wide service may ask for it.
        writes: it can change data, so no public service may hold it.
    """

    get: Callable[[str, Unit], Any]
    scope: Scope
    writes: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A function with the recipe for each of its parameters after those that the caller passes."""

    function: Callable[..., Any]
    getters: tuple[tuple[str, Getter], ...]
    writes: bool

    def arguments(self, unit: Unit) -> dict[str, Any]:
        """Make what the function asks for, in this unit."""
        return {name: get(unit) for name, get in self.getters}


class Wiring:
    """
    Every service of every active plugin, and the kernel's own offers.

    Args:
        plugins: active ones, in dependency order.
        services: plugin name → what its `register_services` returned.
        offers: what the kernel provides, by type; per-plugin ones (its settings) are in `own`.
        own: plugin name → types that only this plugin gets, with their instances.
    """

    def __init__(
        self,
        plugins: Sequence[Plugin],
        services: Mapping[str, Services],
        offers: Mapping[type[Any], KernelOffer],
        own: Mapping[str, Mapping[type[Any], Any]],
    ) -> None:
        self._plugins = {plugin.name: plugin for plugin in plugins}
        self._offers, self._own = offers, own
        self._providers: dict[type[Any], tuple[str, Service]] = {}
        self._instances: dict[int, Any] = {}
        self._plans: dict[int, Plan] = {}
        self._application: list[tuple[str, Service]] = []
        self.problems: list[tuple[str, StartupError]] = []
        for name in self._plugins:
            for service in services.get(name, Services()).provides:
                self._register(name, service)
        for owner, service in self._providers.values():
            self._try(owner, lambda owner=owner, service=service: self._service_plan(owner, service, ()))  # type: ignore[misc]  # bound at once

    def plan(self, module: str, function: Callable[..., Any], *, skip: int = 0) -> Plan | None:
        """
        Plan a function of `module`; problems are noted, and None is returned.

        Args:
            skip: leading parameters that the caller passes, such as the command.
        """
        return self._try(
            module, lambda: self._plan(module, function, skip, (_name(function),), Scope.UNIT_OF_WORK)
        )

    def resolve(self, module: str, wanted: type[Any]) -> Any:
        """Return the application-wide instance of `wanted` as `module` sees it; services must be started."""
        return self._getter(module, wanted, (), Scope.APPLICATION)[0](Unit(current()))

    def provider(self, wanted: type[Any]) -> tuple[str, Service] | None:
        """Return who provides a type."""
        return self._providers.get(wanted)

    @contextlib.asynccontextmanager
    async def started(self, guard: Callable[[str], Any]) -> AsyncIterator[None]:
        """
        Make every application-wide service, in plugin order; leave them in reverse order.

        Args:
            guard: plugin name → async context manager that contains a failing or hanging factory.
        """
        async with AsyncExitStack() as stack:
            for owner, service in self._application:
                if self._plugins[owner].error is not None:
                    continue  # one of its services before, or of those it needs, has failed
                async with guard(owner):
                    plan = self._plans[id(service)]
                    made = service.factory(**plan.arguments(Unit(current())))
                    if inspect.isawaitable(made):
                        made = await made
                    if isinstance(made, contextlib.AbstractAsyncContextManager):
                        made = await stack.enter_async_context(made)
                    self._instances[id(service)] = made
            try:
                yield
            finally:
                self._instances.clear()

    def _register(self, owner: str, service: Service) -> None:
        known = self._providers.get(service.provides)
        if known is not None:
            keeper, loser = known[0], owner
            if self._plugins[owner].is_required and not self._plugins[known[0]].is_required:
                keeper, loser = owner, known[0]
            problem = f"{keeper} and {loser} both provide {service.provides.__qualname__}"
            self.problems.append((loser, NameCollision(loser, problem, "provide a type of your own")))
            if loser == owner:
                return
        self._providers[service.provides] = (owner, service)

    def _try(self, owner: str, make: Callable[[], Plan]) -> Plan | None:
        try:
            return make()
        except StartupError as error:
            self.problems.append((owner, error))
            return None

    def _service_plan(self, owner: str, service: Service, path: tuple[str, ...]) -> Plan:
        known = self._plans.get(id(service))
        if known is not None:
            return known
        label = service.provides.__qualname__
        if label in path:
            raise MissingService(
                owner, f"{' → '.join((*path, label))} need each other in a circle", "split one of them"
            )
        plan = self._plan(owner, service.factory, 0, (*path, label), service.scope)
        if service.public and plan.writes:
            problem = f"{label} is public but can write; others may only read through it"
            raise ForbiddenInteraction(
                owner, problem, "inject Reads instead of UnitOfWork, or make it private"
            )
        self._plans[id(service)] = plan
        if service.scope is Scope.APPLICATION:
            self._application.append((owner, service))
        return plan

    def _plan(
        self, module: str, function: Callable[..., Any], skip: int, path: tuple[str, ...], scope: Scope
    ) -> Plan:
        getters: list[tuple[str, Getter]] = []
        writes = False
        for parameter in _parameters(module, function)[skip:]:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.annotation is parameter.empty:
                if parameter.default is not parameter.empty:
                    continue
                problem = f"{' → '.join(path)}: the parameter {parameter.name!r} has no type"
                raise MissingService(module, problem, "annotate it with what it needs")
            getter, can_write = self._getter(module, parameter.annotation, path, scope, parameter.default)
            if getter is not None:
                getters.append((parameter.name, getter))
                writes = writes or can_write
        return Plan(function, tuple(getters), writes)

    def _getter(
        self,
        module: str,
        wanted: Any,
        path: tuple[str, ...],
        scope: Scope,
        default: Any = inspect.Parameter.empty,
    ) -> tuple[Any, bool]:
        wanted, optional = _without_none(wanted)
        own = self._own.get(module, {})
        if wanted in own:
            instance = own[wanted]
            return (lambda _unit: instance), False
        offer = self._offers.get(wanted)
        if offer is not None:
            if scope is Scope.APPLICATION and offer.scope is Scope.UNIT_OF_WORK:
                problem = f"{' → '.join(path)} outlives the command that {wanted.__qualname__} belongs to"
                raise MissingService(module, problem, "declare it with per_unit_of_work")
            return (lambda unit: offer.get(module, unit)), offer.writes
        provider = self._providers.get(wanted)
        if provider is None:
            if optional:
                return (lambda _unit: None), False
            if default is not inspect.Parameter.empty:
                return None, False
            label = getattr(wanted, "__qualname__", str(wanted))
            raise MissingService(
                module,
                f"{' → '.join((*path, label))}: nobody provides {label}",
                "provide it in register_services, or install the module that does",
            )
        return self._service_getter(module, provider, path, scope)

    def _service_getter(
        self, module: str, provider: tuple[str, Service], path: tuple[str, ...], scope: Scope
    ) -> tuple[Getter, bool]:
        owner, service = provider
        label = service.provides.__qualname__
        if owner != module:
            self._check_allowed(module, owner, service, path)
        plan = self._service_plan(owner, service, path)
        key = id(service)
        if service.scope is Scope.APPLICATION:
            return (lambda _unit: self._instances[key]), plan.writes
        if scope is Scope.APPLICATION:
            problem = (
                f"{' → '.join(path)} lives as long as the process, but {label} only as long as a command"
            )
            raise MissingService(module, problem, "declare it with per_unit_of_work")

        def get(unit: Unit) -> Any:
            made = unit.made.get(key)
            if made is None:
                made = unit.made[key] = service.factory(**plan.arguments(unit))
            return made

        return get, plan.writes

    def _check_allowed(self, module: str, owner: str, service: Service, path: tuple[str, ...]) -> None:
        label = service.provides.__qualname__
        chain = " → ".join((*path, label))
        if KERNEL in (owner, module):
            return
        if not service.public:
            raise ForbiddenInteraction(
                module, f"{chain}: {owner} keeps {label} to itself", f"use what {owner}'s contracts offer"
            )
        if owner not in self._plugins[module].manifest.queries:
            raise ForbiddenInteraction(
                module,
                f"{chain}: its plugin.toml does not let it query {owner}",
                f'add "{owner}" to queries, if the interaction is wanted',
            )
        if service.deprecated is not None:
            service.deprecated.warn(f"{chain}: {label} of {owner}")


def _parameters(module: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    target = function.__init__ if inspect.isclass(function) else function
    try:
        hints = typing.get_type_hints(target)
        signature = inspect.signature(function)
    except (NameError, TypeError, ValueError) as error:
        problem = f"the types of {_name(function)} cannot be read: {error}"
        raise MissingService(module, problem, "import them at run time, not under TYPE_CHECKING") from error
    return [
        parameter.replace(annotation=hints.get(name, parameter.empty))
        for name, parameter in signature.parameters.items()
    ]


def _without_none(wanted: Any) -> tuple[Any, bool]:
    if typing.get_origin(wanted) in (Union, types.UnionType):
        parts = [part for part in typing.get_args(wanted) if part is not type(None)]
        if len(parts) == 1:
            return parts[0], True
    return wanted, False


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
