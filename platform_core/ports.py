"""
What application code may ask of the kernel, as Protocols; the kernel provides each by type.

A handler names the ports it needs as parameters: `async def register_user(command, clock: Clock, …)`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import UUID

from platform_core.domain import Command, Event, Query

R = TypeVar("R")
T = TypeVar("T")

__all__ = [
    "Ask",
    "Cache",
    "CacheInvalidation",
    "Clock",
    "Copy",
    "Draft",
    "EventMetadata",
    "Execute",
    "Extensions",
    "Follow",
    "Jobs",
    "Keys",
    "Outbox",
    "PermissionInfo",
    "Permissions",
    "SagaRun",
    "Sagas",
    "Signals",
    "Standings",
    "Storage",
    "StoredObject",
    "Watcher",
    "Watches",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaRun:
    """
    What a step's function makes its command of.

    Attributes:
        id: of this run; whoever started it chose it, often that of the aggregate it is about.
        data: what it was started with, as JSON knows it: identifiers are text.
        results: by step, what its command answered, as JSON knows it.
        actor_id: who started it.
        is_compensating: the command is to take the step back.
    """

    id: UUID
    data: Mapping[str, Any]
    results: Mapping[str, Any]
    actor_id: UUID | None
    is_compensating: bool = False


class Sagas(Protocol):
    """Begins sagas, each together with the changes of the running command."""

    def start(
        self, name: str, *, saga_id: UUID, data: Mapping[str, Any] | None = None, followed: bool = False
    ) -> None:
        """
        Store a new run of the newest version of a saga; its first step is taken after the commit.

        A saga that has no steps, because nobody contributes any, is over before it begins: nothing is stored.

        Args:
            name: as `register_sagas` declares it.
            saga_id: a second run with the same one is refused by the database.
            data: JSON, and never a secret: operators read it.
            followed: the caller is about to `Follow` it, so workers leave it alone for the first seconds.
        """
        ...


class Follow(Protocol):
    """Takes the steps of a saga here and now while somebody waits, instead of leaving them to a worker."""

    async def __call__(self, saga_id: UUID) -> bool:
        """
        Take its steps for at most five seconds; then a worker goes on.

        Returns: whether it has ended.

        Raises:
            DomainError: the refusal for which everything was taken back.
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


class Signals(Protocol):
    """How to tell every process that there is something new to read; what it is, PostgreSQL knows."""

    def send(self, topic: str, keys: Iterable[UUID]) -> None:
        """
        Wake whoever watches one of these keys, once the running command has committed; it may get lost.

        Args:
            topic: begins with the module's name: `notification.inbox`.
        """
        ...


class Watcher(Protocol):
    """Waits for the signals of one key."""

    async def wait(self) -> None:
        """Return after a signal, or when it is time to look anyway: every few seconds while Redis is away."""
        ...


class Watches(Protocol):
    """Where signals arrive, in any process."""

    def watch(self, topic: str, key: UUID) -> AbstractContextManager[Watcher]:
        """Hear of one key of a topic for the length of a block; look once after entering it."""
        ...

    def count(self, topic: str, key: UUID) -> int:
        """Return how many watch a key in this process."""
        ...


@dataclass(frozen=True, slots=True)
class Copy:
    """
    What a cache has under a key.

    Attributes:
        value: None where there is none.
        ticket: for `keep`; void as soon as somebody outdates the key.
    """

    value: bytes | None
    ticket: bytes | None


class Cache(Protocol):
    """
    Copies, for a while and for every process, of what is costly to find out.

    They only make things cheaper: with Redis away there are none, and nothing is kept.
    """

    async def look(self, key: str) -> Copy:
        """Return what is there; ask before reading what a copy is to be made of."""
        ...

    async def keep(self, key: str, copy: Copy, value: bytes, *, seconds: int) -> None:
        """
        Keep what was read since `look`, unless somebody has outdated it meanwhile.

        Args:
            copy: as `look` returned it.
            seconds: the longest that it may be shown, should the process that outdates it die right after its commit.
        """
        ...


class CacheInvalidation(Protocol):
    """How to make every process forget copies."""

    def outdate(self, keys: Iterable[str]) -> None:
        """Forget copies once the running command or handler has committed."""
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
    """
    What is known of the event being handled, beside its own fields.

    Attributes:
        position: rises from event to event of one aggregate. One that was dead or parked may come after later ones, so
            a projection writes nothing whose position is lower than that of what it shows.
    """

    @property
    def event_id(self) -> UUID: ...
    @property
    def position(self) -> int: ...
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


class Draft(Protocol):
    """
    Bytes that somebody sends and nobody owns yet: on a disk of this machine until they are kept or forgotten.

    Hashed while they are written, away from the event loop; at most a megabyte is in memory at a time.
    """

    @property
    def size_bytes(self) -> int:
        """How many bytes there are so far."""
        ...

    @property
    def sha256(self) -> str:
        """Digest of everything, hexadecimal; once finished."""
        ...

    @property
    def head(self) -> bytes:
        """The first 8 KiB, or what there is of them, which is what a type can be told by."""
        ...

    @property
    def path(self) -> Path:
        """Where the bytes lie, for programs that read a file; once finished."""
        ...

    @property
    def kept_as(self) -> str | None:
        """The key that it was kept under."""
        ...

    async def write(self, data: bytes) -> None:
        """Add bytes at the end."""
        ...

    async def finish(self) -> None:
        """Write out what is still in memory; nothing can be added any more."""
        ...

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Read everything from the beginning, a megabyte at a time; once finished."""
        ...

    async def keep(self, key: str) -> None:
        """
        Store the finished bytes under `key` for good, whole or not at all; a second time for the same key is nothing.

        Raises:
            Unavailable: the storage is away; nothing is stored under the key.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """
    What the storage knows of one object.

    Attributes:
        modified_at: when it was stored, UTC.
    """

    key: str
    size_bytes: int
    modified_at: datetime


class Storage(Protocol):
    """
    Where files are kept, on a disk or in an object store; `STORAGE_URL` says which.

    Keys are made by the code that stores, never by a client: lower-case letters, digits, `-`, `_`, `.` and `/`, and
    begin with the module's name. Whatever is away or slow raises `Unavailable` within seconds.
    """

    def draft(self) -> AbstractAsyncContextManager[Draft]:
        """
        Open a draft; leaving the block forgets what was not kept.

        Leaving it by a refusal (a `DomainError` that is not "away") takes back what was kept, too: nothing was stored
        that could refer to it. What a lost connection leaves open is for the owner's sweeper to decide.
        """
        ...

    def read(self, key: str, *, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """
        Read an object, or the bytes from `start` to before `stop`, piece by piece.

        Raises:
            FileNotFoundError: there is no such object.
            Unavailable: the storage is away.
        """
        ...

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that does not exist is deleted already."""
        ...

    async def objects(self, prefix: str) -> Sequence[StoredObject]:
        """Return every object whose key begins with the folder `prefix`; none when there is no such folder."""
        ...

    async def sweep(self, before: datetime) -> int:
        """
        Forget what dead processes left behind: drafts on this machine, uploads that an object store holds half.

        Args:
            before: only what was begun before.

        Returns: how many there were.
        """
        ...
