"""
The shared domain kernel: what every bounded context builds its own domain from.

Standard library only; anything may import it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

__all__ = [
    "Aggregate",
    "Command",
    "Event",
    "Money",
    "Page",
    "PageRequest",
    "Query",
    "Refused",
    "Specification",
    "Unfinished",
    "Where",
    "body",
    "is_public_host",
    "new_id",
    "snake_case",
]

T = TypeVar("T")
R = TypeVar("R", covariant=True)


def new_id() -> UUID:
    """
    Make a UUIDv7: sortable by the millisecond and finer, unguessable in its tail.

    Returns: 48 bits of Unix milliseconds, 12 bits of the millisecond's fraction, 62 random bits
        (RFC 9562, section 6.2, method 3), so that identifiers of one process sort by creation.
    """
    milliseconds, fraction = divmod(time.time_ns(), 1_000_000)
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (fraction * 4096 // 1_000_000) << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=value)


_HOST_NAME = re.compile(r"([\w-]+\.)+[^\W\d_][\w-]*")
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal")


def is_public_host(host: str) -> bool:
    """
    Tell whether a host that somebody names may lie outside of every private network, as far as the name itself tells.

    Whoever sends something there has to look at the address behind it as well: `platform_core.outbound`.
    """
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        # a last label that begins with a digit is an address in disguise: 127.1, 0x7f.0x1, 2130706433
        return bool(_HOST_NAME.fullmatch(host)) and not host.endswith(_PRIVATE_SUFFIXES)


def snake_case(class_name: str) -> str:
    """`RegisterUser` → `register_user`: the stable wire form of a class's own name."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()


def body(shape: type[T]) -> type[T]:
    """
    Mark what a route reads from a request's body without being a command: unknown keys are refused, as a command's are.

    Args:
        shape: a dataclass; or, for PATCH, a `TypedDict` of `typing_extensions` with `total=False`: what is absent
            stays, and null clears what may be None. It is the HTTP body and a field of the command.

    Example:
        @body
        class ProjectChanges(TypedDict, total=False):
            title: Annotated[str, Len(1, 200)]
            note: Annotated[str, Len(0, 2000)] | None

        @dataclass(frozen=True, kw_only=True)
        class UpdateProject(Command[ProjectView]):
            project_id: UUID
            changes: ProjectChanges
    """
    marked: Any = shape
    marked.__pydantic_config__ = {"extra": "forbid"}
    return shape


@dataclass(frozen=True, kw_only=True)
class Event:
    """
    Something that happened, named in the past tense.

    A subclass in `contracts.py` is published: it goes through the outbox to whoever subscribes.

    Class attributes:
        wire_name: stable stored name, `<module>.<what_happened>`; never derived from a Python path.
        wire_version: raised with every change of the fields that a reader could notice.
        upcasters: payload of version n → payload of version n + 1, for every n below `wire_version`.
    """

    wire_name: ClassVar[str]
    wire_version: ClassVar[int] = 1
    upcasters: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}


class Message(Generic[R]):
    """What commands and queries share: a name, and the type of their answer."""

    wire_name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "wire_name" not in cls.__dict__:
            cls.wire_name = f"{cls.__module__.partition('.')[0]}.{snake_case(cls.__name__)}"


@dataclass(frozen=True, kw_only=True)
class Command(Message[R], Generic[R]):
    """
    Something to be done, in the imperative; `Command[UserView]` answers a `UserView`.

    The frozen dataclass is also the request body where the shapes agree; unknown keys are refused.
    The actor is never a field: `Execute` binds the caller.

    Class attributes:
        wire_name: the name in the audit trail and in stored jobs, `<module>.<class_in_snake_case>` by default.
        secret_fields: fields that no log, audit row or job may hold; a command that has some cannot be a task.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    secret_fields: ClassVar[frozenset[str]] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Query(Message[R], Generic[R]):
    """A question that changes nothing; `Query[UserView]` answers a `UserView`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(eq=False, kw_only=True)
class Aggregate:
    """
    A consistency boundary: loaded whole, changed by its own methods, saved whole.

    Attributes:
        id: made by the application (`new_id`), so a retry can name the same thing.
        version: raised by one with each unit of work that changes it; a save that did not load the
            version before is refused.
    """

    id: UUID
    version: int = 1
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    _stored_version: int = field(default=0, init=False, repr=False)
    _events: list[Event] = field(default_factory=list, init=False, repr=False)

    def touch(self, now: datetime) -> None:
        """Note the change: every method that changes something ends with this."""
        self.updated_at = now
        self.version = self._stored_version + 1

    def delete(self, now: datetime) -> None:
        """Mark as deleted; repositories and queries no longer see it."""
        self.deleted_at = now
        self.touch(now)

    def record(self, event: Event) -> None:
        """Remember what happened; the unit of work stores it together with the change."""
        self._events.append(event)

    def release_events(self) -> list[Event]:
        """Hand over what was recorded, once."""
        events, self._events = self._events, []
        return events

    def mark_stored(self) -> None:
        """Tell the aggregate that its present state is the stored one; repositories call it."""
        self._stored_version = self.version

    @property
    def stored_version(self) -> int:
        """The version in the database; 0 for a new aggregate."""
        return self._stored_version


@dataclass(frozen=True)
class Refused:
    """
    A handler's answer "no" whose traces must stay: the bus commits first and raises `error` after.

    For example a failed login, which must be counted although the caller gets an error.
    """

    error: Exception


@dataclass(frozen=True)
class Unfinished:
    """
    A handler's answer "some of it is done": a saga stores that, and takes the step again, until it gets another one.

    So a step that has to do with any number of rows does it in batches, each stored for itself. Whoever executes such a
    command without a saga gets this answer, and sees to the rest.

    Attributes:
        progress: JSON; the step's function finds it in `run.results` under the step's name, and may go on from there.
            A compensation without any finds there what its action answered, in every batch.
    """

    progress: Any = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """
    One page of a list.

    Attributes:
        items: at most `limit` of them.
        next_cursor: where the next page starts; opaque and signed; None on the last page.
    """

    items: list[T]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """
    Which page of a list is wanted.

    Attributes:
        limit: 1–200 items.
        cursor: `next_cursor` of the page before; None for the first.
    """

    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An exact amount in one currency (ISO 4217 code); arithmetic across currencies is an error."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Z]{3}", self.currency):
            raise ValueError(f"{self.currency!r} is no ISO 4217 code such as EUR")
        if not self.amount.is_finite():
            raise ValueError("an amount of money is a finite number")

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} cannot be added")
        return Money(self.amount + other.amount, self.currency)


class Specification(ABC, Generic[T]):
    """
    A rule that can be asked of one object and translated to SQL, composed with `&`, `|` and `~`.

    Use one where the same rule filters a list and checks a single thing. A named rule is a function
    or constant built from `Where`: `active = Where("is_active", "==", True)`.
    """

    @abstractmethod
    def is_satisfied_by(self, candidate: T) -> bool:
        """Tell whether `candidate` keeps the rule."""

    def __and__(self, other: Specification[T]) -> Specification[T]:
        return AllOf((self, other))

    def __or__(self, other: Specification[T]) -> Specification[T]:
        return AnyOf((self, other))

    def __invert__(self) -> Specification[T]:
        return Not(self)


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: bool(left == right),
    "!=": lambda left, right: bool(left != right),
    "<": lambda left, right: left is not None and bool(left < right),
    "<=": lambda left, right: left is not None and bool(left <= right),
    ">": lambda left, right: left is not None and bool(left > right),
    ">=": lambda left, right: left is not None and bool(left >= right),
    "in": lambda left, right: left in right,
    "contains": lambda left, right: left is not None and str(right).casefold() in str(left).casefold(),
}


@dataclass(frozen=True)
class Where(Specification[T]):
    """
    The leaf of every rule: one attribute compared with one value.

    Args:
        attribute: its name, the same on the object and in the table.
        operator: `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, or `contains` (text, ignoring case).
        value: what it is compared with; `None` only with `==` and `!=`.

    Raises:
        ValueError: an operator that does not exist.
    """

    attribute: str
    operator: str
    value: Any

    def __post_init__(self) -> None:
        if self.operator not in _COMPARISONS:
            raise ValueError(f"unknown operator {self.operator!r}; one of {', '.join(_COMPARISONS)}")

    def is_satisfied_by(self, candidate: T) -> bool:
        return _COMPARISONS[self.operator](getattr(candidate, self.attribute), self.value)


@dataclass(frozen=True)
class AllOf(Specification[T]):
    """Every part holds."""

    parts: tuple[Specification[T], ...]

    def is_satisfied_by(self, candidate: T) -> bool:
        return all(part.is_satisfied_by(candidate) for part in self.parts)

    def __iter__(self) -> Iterator[Specification[T]]:
        return iter(self.parts)


@dataclass(frozen=True)
class AnyOf(Specification[T]):
    """At least one part holds."""

    parts: tuple[Specification[T], ...]

    def is_satisfied_by(self, candidate: T) -> bool:
        return any(part.is_satisfied_by(candidate) for part in self.parts)

    def __iter__(self) -> Iterator[Specification[T]]:
        return iter(self.parts)


@dataclass(frozen=True)
class Not(Specification[T]):
    """The part does not hold."""

    part: Specification[T]

    def is_satisfied_by(self, candidate: T) -> bool:
        return not self.part.is_satisfied_by(candidate)
