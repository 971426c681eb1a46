"""
What a plugin's hooks return: plain data that the kernel checks, orders and acts on.

Nothing here does I/O; the kernel registers, connects and runs in phases of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from platform_core.deprecations import Deprecated
from platform_core.domain import Command, Event, Query

if TYPE_CHECKING:
    from sqlalchemy import MetaData, Table

    from platform_core.ports import SagaRun


__all__ = [
    "Companion",
    "HealthCheck",
    "Link",
    "Migrations",
    "Permission",
    "Projection",
    "ProjectionTable",
    "Retry",
    "Saga",
    "SagaStep",
    "Schedule",
    "Scope",
    "Seed",
    "Service",
    "Services",
    "Subscription",
    "Task",
    "Tier",
    "on",
    "per_application",
    "per_unit_of_work",
]


class Scope(enum.Enum):
    """How long an instance of a service lives."""

    APPLICATION = "application"
    UNIT_OF_WORK = "unit of work"


@dataclass(frozen=True, slots=True)
class Service:
    """
    One thing that is provided by type.

    Attributes:
        provides: what others ask for, a class or a Protocol.
        factory: called with what its own annotated parameters ask for. An application-wide factory may
            return an async context manager (`@asynccontextmanager`), entered at start-up, left at shutdown.
        scope: one per process, or one per command, query or delivery.
        public: other plugins may ask for it, if their manifest says `queries = [this plugin]`.
        deprecated: other plugins that ask for it are warned.
    """

    provides: type[Any]
    factory: Callable[..., Any]
    scope: Scope
    public: bool = False
    deprecated: Deprecated | None = None


def per_unit_of_work(
    provides: type[Any],
    factory: Callable[..., Any] | None = None,
    *,
    public: bool = False,
    deprecated: Deprecated | None = None,
) -> Service:
    """Declare a service that is made anew for each command, query or delivery: repositories, facades."""
    return Service(provides, factory or provides, Scope.UNIT_OF_WORK, public, deprecated)


def per_application(
    provides: type[Any],
    factory: Callable[..., Any] | None = None,
    *,
    public: bool = False,
    deprecated: Deprecated | None = None,
) -> Service:
    """Declare a service of which each process has one: hashers, signers, connections to the outside."""
    return Service(provides, factory or provides, Scope.APPLICATION, public, deprecated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """
    What a plugin can do, and with what.

    Attributes:
        provides: services by type.
        commands: command type → `async def handler(command, …ports)`; it never commits.
        queries: query type → `async def reader(query, …ports)`; one SQL statement, no aggregates.
    """

    provides: Sequence[Service] = ()
    commands: Mapping[type[Command[Any]], Callable[..., Awaitable[Any]]] = field(default_factory=dict)
    queries: Mapping[type[Query[Any]], Callable[..., Awaitable[Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retry:
    """
    How often and how far apart failed attempts are repeated.

    Attributes:
        attempts_count: after so many the delivery is a dead letter.
        first_seconds: wait after the first failure; doubled each time, with up to 25 % jitter.
        longest_seconds: the wait never exceeds this.
    """

    attempts_count: int = 8
    first_seconds: float = 1.0
    longest_seconds: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """
    One handler of one event; each (event, handler) is delivered and retried on its own.

    Attributes:
        name: stable, stored with each delivery: `notification.welcome_mail`.
        event: the class in the owner's contracts.
        handler: `async def handler(event, …ports)`; its effects commit together with the delivery.
        timeout_seconds: the attempt is cut off after this.
        concurrency_count: how many run at once in one worker.
    """

    name: str
    event: type[Event]
    handler: Callable[..., Awaitable[None]]
    retry: Retry = Retry()
    timeout_seconds: float = 30.0
    concurrency_count: int = 16


def on(
    event: type[Event], handler: Callable[..., Awaitable[None]], *, name: str, **options: Any
) -> Subscription:
    """Subscribe `handler` to `event` under a stable `name`; options as in `Subscription`."""
    return Subscription(name=name, event=event, handler=handler, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionTable:
    """
    A table of a read model, and whose rows are whose.

    Attributes:
        key: column that says to which aggregate, or event, a row belongs.
        of: the events of one aggregate make the rows whose key is its identity; or each event makes its own.
    """

    table: Table
    key: str
    of: Literal["aggregate", "event"] = "aggregate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """
    A read model: tables that are made of events, and of nothing else.

    It can be made anew at any time, in place: of one aggregate after the other what is shown is forgotten, and its
    events are given to the same handlers in their order, while live ones go on. So a handler

    - decides by the event alone, and writes its own tables and nothing else: no events, no jobs, no mails;
    - writes rows of the event's own aggregate, or of the event;
    - never writes over what a later event has made: `EventMetadata.position` rises within an aggregate.

    Attributes:
        name: stable; the module's name, or one that begins with it: `project_management.activity`.
        tables: what is forgotten before it is made anew.
        handlers: subscriptions as any other, one for each event.
        start: a new one is made of all events that there have been, or knows only what happens from now on.
    """

    name: str
    tables: Sequence[ProjectionTable]
    handlers: Sequence[Subscription]
    start: Literal["beginning", "now"] = "beginning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """
    A command that may be executed later (`Jobs.later`) or on a schedule, by a worker.

    Attributes:
        command: its `wire_name` is stored with each job; it has a handler in `Services.commands`.
        audited: whether each run leaves a row in the audit trail; off for housekeeping.
    """

    command: type[Command[Any]]
    retry: Retry = Retry()
    timeout_seconds: float = 60.0
    concurrency_count: int = 8
    audited: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """
    A task that comes due by the clock; each tick runs once, however many schedulers there are.

    Attributes:
        name: stable: `user_management.purge_sessions`.
        every: from one tick to the next; ticks are multiples of it since 1970, so restarts do not shift them.
        command: what to execute; its type is declared as a `Task`.
    """

    name: str
    every: timedelta
    command: Command[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaStep:
    """
    One step of a saga: a command, and the command that takes it back.

    A refusal (`DomainError`) is final. Anything else that goes wrong leaves open what happened and is repeated: so a
    command that acts outside of the database names its doing by a key, and asks before it does it again.

    Attributes:
        name: stable, stored with each run.
        action: `def take_payment(run: SagaRun) -> TakePayment`; the annotation says which command it makes, of this
            module or out of the contracts of one that the manifest's `sagas` names.
        compensation: the same for what undoes it, also when nobody knows whether it happened; None: nothing to undo.
        retry: of the action; after the last attempt a critical step waits for an operator.
        compensation_retry: of the compensation; after its last attempt it waits for an operator.
        timeout_seconds: an attempt is cut off after this.
        critical: a refusal takes everything before it back; otherwise the saga notes it and goes on.
        rank: of a step that is contributed to another module's saga: lower ones come first, equal ones in the order of
            their plugins.
    """

    name: str
    action: Callable[[SagaRun], Command[Any]]
    compensation: Callable[[SagaRun], Command[Any]] | None = None
    retry: Retry = Retry()
    compensation_retry: Retry = Retry(attempts_count=20)
    timeout_seconds: float = 30.0
    critical: bool = True
    rank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """
    Commands of several modules that all take effect, or none in the end.

    A run keeps the version that it began with. Whoever changes the steps declares a version more beside the one before,
    and drops that one when no run of it is left (`platform sagas list`).

    Attributes:
        name: stable: `orders.purchase`.
        steps: in order; they are taken back in reverse.
        hook: that the same plugin publishes, by which every plugin may contribute steps; they come after these. A run
            keeps the list that it began with, whatever is installed or removed meanwhile: each step is taken by workers
            that have the contributor, and waits for them.
    """

    name: str
    version: int = 1
    steps: Sequence[SagaStep] = ()
    hook: str | None = None

    @property
    def handler(self) -> str:
        """What its deliveries are stored under; only workers that know this very version take them."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Permission:
    """A right that roles can hold: `Permission("users:read", "See every account")`."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Migrations:
    """
    Where a plugin's revisions are and what they amount to.

    Attributes:
        directory: holds `{timestamp}_{module}_{action}_{table}.py` files.
        metadata: the tables as the code wants them, all in the schema of the plugin's name.
    """

    directory: Path
    metadata: MetaData | Sequence[MetaData]


@dataclass(frozen=True, slots=True)
class Link:
    """
    A foreign key across modules, declared in the manifest and owned by neither side.

    Attributes:
        table: of the declaring module; column: the referring one.
        target: `module.table.column` referred to.
        on_delete: `restrict`, `cascade` or `set null`.
    """

    table: str
    column: str
    target: str
    on_delete: str = "restrict"


class Tier(enum.IntEnum):
    """How far a seed may go; an environment runs its own tier and the ones below."""

    ESSENTIAL = 1
    DEVELOPMENT = 2
    TEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """
    Data that somebody needs to begin with.

    Attributes:
        name: stable, unique in the plugin; the ledger remembers it.
        tier: essential is safe in production.
        run: parameters are provided by type, as a handler's are: `Execute`, kernel ports, settings, public services.
            Nothing around it is one transaction: each command commits for itself, so a seed that fails half-way keeps
            what it did, and the next run goes on. Running it again changes nothing: "ensure", not "create".

    Example:
        async def make_board(execute: Execute) -> None:
            await execute(EnsureBoard(name="Everything"))

        Seed(name="board", tier=Tier.ESSENTIAL, run=make_board)
    """

    name: str
    tier: Tier
    run: Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneModule:
    """
    A module that is purged.

    Attributes:
        permissions: those that it had declared.
    """

    name: str
    permissions: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetting:
    """
    What a module keeps under the names of others, and takes away when one of them is gone for good.

    Attributes:
        name: `permissions`, for people.
        run: `async def forget(gone: GoneModule, …services)`; it may run again where it was interrupted.
    """

    name: str
    run: Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """
    One line of `/health/ready`.

    Attributes:
        name: `mail`, `scanner`.
        check: `async def check(…services)`; raises when the thing is away, and may return a remark such as what
            the thing is.
        timeout_seconds: an answer that takes longer counts as away.
    """

    name: str
    check: Callable[..., Awaitable[str | None]]
    timeout_seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """
    A stand-in, for development, for something outside that a module talks to over HTTP.

    Attributes:
        name: for people: `Payments`.
        variable: of the environment, that names the real thing; where it is set, there is no stand-in.
        app: given a folder to keep things in, makes the ASGI application that `platform dev` serves on a free port.
        remark: shown beside its address.
    """

    name: str
    variable: str
    app: Callable[[Path], Callable[..., Awaitable[None]]]
    remark: str = ""
