"""
Who handles what: every command, query, event and job of the installed modules beside its planned handler.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from platform_core._outbox import EventCodec
from platform_core._wiring import Plan, Wiring
from platform_core.declarations import Subscription, Task
from platform_core.domain import Command, Query

if TYPE_CHECKING:
    from platform_core._declared import Declared

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Handler:
    """A planned command handler, query reader or event handler, and the module that it runs for."""

    module: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class EventHandler:
    """A planned event handler with its subscription."""

    handler: Handler
    subscription: Subscription


@dataclass(frozen=True)
class Messages:
    """
    What the bus looks handlers up in.

    Attributes:
        commands, queries: message type → handler.
        subscribers: stable handler name → event handler.
        tasks: wire name → task.
    """

    commands: dict[type[Command[Any]], Handler] = field(default_factory=dict)
    queries: dict[type[Query[Any]], Handler] = field(default_factory=dict)
    subscribers: dict[str, EventHandler] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)

    @classmethod
    def planned(cls, wiring: Wiring, declared: Mapping[str, Declared]) -> Messages:
        """
        Plan every declared function, seeds, health checks and what forgets included.

        Args:
            wiring: notes what cannot be planned as a problem of its module.
            declared: by module.
        """
        messages = cls()
        for name, of_module in declared.items():
            messages.commands.update(_handlers(wiring, name, of_module.services.commands))
            messages.queries.update(_handlers(wiring, name, of_module.services.queries))
            by_name = {subscription.name: subscription for subscription in of_module.subscriptions}
            handlers = _handlers(wiring, name, {key: found.handler for key, found in by_name.items()})
            messages.subscribers.update(
                {key: EventHandler(handler, by_name[key]) for key, handler in handlers.items()}
            )
            messages.tasks.update({task.command.wire_name: task for task in of_module.tasks})
            for function in (*(s.run for s in of_module.seeds), *(h.check for h in of_module.health_checks)):
                wiring.plan(name, function)
            for forgetting in of_module.forgetting:
                wiring.plan(name, forgetting.run, skip=1)
        return messages

    def codec(self) -> EventCodec:
        """Return what reads every event and job that a handler is there for."""
        return EventCodec(
            {
                found.subscription.event.wire_name: found.subscription.event
                for found in self.subscribers.values()
            },
            {name: task.command for name, task in self.tasks.items()},
        )

    def keep(self, modules: Container[str], tasks: Container[str]) -> None:
        """
        Deliver nothing any more to modules that could not start.

        Args:
            modules: those that did.
            tasks: wire names of theirs.
        """
        for name, subscriber in list(self.subscribers.items()):
            if subscriber.handler.module not in modules:
                del self.subscribers[name]
        for name in list(self.tasks):
            if name not in tasks:
                del self.tasks[name]


def _handlers(wiring: Wiring, module: str, functions: Mapping[K, Callable[..., Any]]) -> dict[K, Handler]:
    """Plan handlers that get their message as the first argument; those that cannot be planned are noted."""
    plans = {key: wiring.plan(module, function, skip=1) for key, function in functions.items()}
    return {key: Handler(module, plan) for key, plan in plans.items() if plan is not None}
