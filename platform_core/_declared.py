"""
What plugins' hooks return, collected by plugin; private to the kernel.

A hook that returns something else than it should is its plugin's failure, noticed here rather than where it would hurt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from platform_core._hooks import Hooks
from platform_core.declarations import (
    Forgetting,
    HealthCheck,
    Migrations,
    Permission,
    Projection,
    Saga,
    SagaStep,
    Schedule,
    Seed,
    Services,
    Subscription,
    Task,
)
from platform_core.errors import HookFailed, StartupError
from platform_core.http.routing import declared_routes
from platform_core.security import Authenticator
from platform_core.settings import read_module_settings

_RETURNS: Mapping[str, tuple[Any, bool]] = {
    "register_settings": (type(BaseModel), False),
    "register_services": (Services, False),
    "register_event_handlers": (Subscription, True),
    "register_permissions": (Permission, True),
    "register_projections": (Projection, True),
    "register_migrations": (Migrations, False),
    "register_seeds": (Seed, True),
    "register_health_checks": (HealthCheck, True),
    "register_forgetting": (Forgetting, True),
    "register_routes": (APIRouter, True),
    "register_tasks": (Task | Schedule, True),
    "register_sagas": (Saga, True),
    "authenticate": (type, False),
}
"""Hook → what it returns, and whether a sequence of it."""


@dataclass
class Declared:
    """
    What one plugin's hooks returned.

    Attributes:
        settings: its validated settings object, None when it has none.
        subscriptions: those of its projections among them.
        saga_steps: what it contributes to others' sagas, by the hook it does so by.
    """

    settings: Any = None
    services: Services = field(default_factory=Services)
    subscriptions: Sequence[Subscription] = ()
    tasks: Sequence[Task] = ()
    schedules: Sequence[Schedule] = ()
    sagas: Sequence[Saga] = ()
    saga_steps: dict[str, Sequence[SagaStep]] = field(default_factory=dict)
    projections: Sequence[Projection] = ()
    permissions: Sequence[Permission] = ()
    routers: Sequence[Any] = ()
    migrations: Migrations | None = None
    seeds: Sequence[Seed] = ()
    health_checks: Sequence[HealthCheck] = ()
    forgetting: Sequence[Forgetting] = ()
    authenticator: type[Authenticator] | None = None

    @property
    def task_names(self) -> list[str]:
        """Stored names of the tasks."""
        return [task.command.wire_name for task in self.tasks]

    @property
    def contributions(self) -> dict[str, int]:
        """How much of what the plugin brings, for people who look at it."""
        return {
            "routes": sum(1 for _ in declared_routes(self.routers)),
            "commands": len(self.services.commands),
            "queries": len(self.services.queries),
            "event_handlers": len(self.subscriptions),
            "projections": len(self.projections),
            "tasks": len(self.tasks),
            "schedules": len(self.schedules),
            "sagas": len(self.sagas),
            "permissions": len(self.permissions),
            "seeds": len(self.seeds),
        }


_SIMPLE = {
    "register_services": "services",
    "register_event_handlers": "subscriptions",
    "register_permissions": "permissions",
    "register_projections": "projections",
    "register_migrations": "migrations",
    "register_seeds": "seeds",
    "register_health_checks": "health_checks",
    "register_forgetting": "forgetting",
    "register_routes": "routers",
    "register_sagas": "sagas",
    "authenticate": "authenticator",
}
"""Hook → the attribute that keeps what it returned, just as it is."""


def collect(hooks: Hooks, source: Mapping[str, str]) -> dict[str, Declared]:
    """
    Call every hook of every active plugin.

    Args:
        hooks: failures are noted in its plugins.
        source: where plugins' settings are read from.

    Returns: what each plugin declared, failed ones included: as far as it came.

    Raises:
        StartupFailed: a required plugin has failed.
    """
    declared = {plugin.name: Declared() for plugin in hooks.plugins}
    for name, model in _returned(hooks, "register_settings"):
        try:
            declared[name].settings = read_module_settings(name, model, source)
        except StartupError as error:
            hooks.fail(hooks.plugin(name), error)
    hooks.settle()
    for hook, attribute in _SIMPLE.items():
        for name, value in _returned(hooks, hook):
            setattr(declared[name], attribute, value)
    for each in declared.values():
        each.subscriptions = [*each.subscriptions, *(h for made in each.projections for h in made.handlers)]
    for name, value in _returned(hooks, "register_tasks"):
        declared[name].tasks = [item for item in value if isinstance(item, Task)]
        declared[name].schedules = [item for item in value if isinstance(item, Schedule)]
    for hook in sorted({saga.hook for one in declared.values() for saga in one.sagas if saga.hook}):
        for name, value in _returned(hooks, hook, (SagaStep, True)):
            declared[name].saga_steps[hook] = value
    hooks.settle()
    return declared


def _returned(hooks: Hooks, hook: str, returns: tuple[Any, bool] | None = None) -> Iterator[tuple[str, Any]]:
    """Yield what each plugin returned from `hook`; one that returned something else has failed."""
    wanted, is_sequence = returns or _RETURNS[hook]
    for name, value in hooks.collect(hook).items():
        if is_sequence and not isinstance(value, list | tuple):
            misfit: Any = value
        else:
            misfit = next(
                (item for item in (value if is_sequence else [value]) if not isinstance(item, wanted)),
                None,
            )
        if misfit is None:
            yield name, value
        else:
            problem = f"its hook {hook} returned {type(misfit).__name__} where something else belongs"
            hooks.fail(
                hooks.plugin(name),
                HookFailed(name, problem, "see the hook's docstring for what it returns"),
            )
