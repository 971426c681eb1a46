"""
What application code may ask of the kernel, as Protocols; the kernel provides each by type.

A handler names the ports it needs as parameters: `async def register_user(command, clock: Clock, …)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from platform_core.domain import Command, Event, Query

R = TypeVar("R")
T = TypeVar("T")

__all__ = [
    "Ask",
    "Clock",
    "EventMetadata",
    "Execute",
    "Extensions",
    "Jobs",
    "Keys",
    "Outbox",
    "PermissionInfo",
    "Permissions",
    "Standings",
]


class Clock(Protocol):
    """The time; tests hold it in their hands."""

    def now(self) -> datetime:
        """Return the present moment, UTC, with its zone."""
        ...


class Outbox(Protocol):
    """Where an event without an aggregate is stored, together with the running command's changes."""

    def emit(self, event: Event, *, aggregate_type: str, aggregate_id: UUID) -> None:
        """Store `event` when the command commits; its deliveries are made in the same statement."""
        ...


class Jobs(Protocol):
    """Commands to be executed later by a worker, at least once, in a unit of work of their own."""

    def later(self, command: Command[Any], *, after_seconds: float = 0, key: str | None = None) -> None:
        """
        Store a job together with the running command's changes.

        Args:
            command: declared by `register_tasks`; it may hold no secret.
            after_seconds: earliest start, counted from the commit.
            key: a second job with the same key is dropped silently, for as long as the first one is kept.
        """
        ...


class Standings(Protocol):
    """What the kernel remembers of sessions and permissions, and how to make it forget."""

    def revoke(
        self, *, sessions: Iterable[UUID] = (), users: Iterable[UUID] = (), everybody: bool = False
    ) -> None:
        """
        Make every process re-read the standing of these once the running command has committed.

        It holds from the commit on, with Redis away too.
        """
        ...


class Keys(Protocol):
    """Purpose-bound secrets derived from the platform's secret key (HKDF-SHA256, RFC 5869)."""

    def derive(self, purpose: str, size_bytes: int = 32) -> bytes:
        """Return the same bytes for the same purpose on every process; unrelated ones for another."""
        ...


class Execute(Protocol):
    """Runs a command in a unit of work of its own, as the bound principal."""

    async def __call__(self, command: Command[R]) -> R:
        """
        Execute `command`, commit, and only then return its answer.

        Raises:
            DomainError: the rule that said no; nothing was stored.
        """
        ...


class Ask(Protocol):
    """Answers a query from the read side."""

    async def __call__(self, query: Query[R]) -> R: ...


class Extensions(Protocol):
    """What other plugins contribute to the hooks that this plugin published."""

    def collect(self, hook: str) -> Mapping[str, Any]:
        """Return what each plugin declared for `hook`, by plugin name, in plugin order."""
        ...

    def resolve(self, plugin: str, wanted: type[T]) -> T:
        """Return the service of that type, one per process, that `plugin` declared and provides; once started."""
        ...


@dataclass(frozen=True, slots=True)
class PermissionInfo:
    """One declared permission, and the module that declared it."""

    name: str
    description: str
    module: str


class Permissions(Protocol):
    """Every permission that the installed modules declare."""

    def all(self) -> Sequence[PermissionInfo]:
        """Return them by module, in plugin order."""
        ...


class EventMetadata(Protocol):
    """What is known of the event being handled, beside its own fields."""

    @property
    def event_id(self) -> UUID: ...
    @property
    def occurred_at(self) -> datetime: ...
    @property
    def aggregate_type(self) -> str: ...
    @property
    def aggregate_id(self) -> UUID: ...
    @property
    def actor_id(self) -> UUID | None: ...
    @property
    def correlation_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
