"""One request and its answer, as the parts of this room share them."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from uuid import UUID

from starlette.responses import Response
from starlette.types import Scope

from platform_core.context import Context, bind
from platform_core.domain import Command, Page, Query
from platform_core.errors import ConcurrentUpdate, PreconditionFailed
from platform_core.ports import Follow
from platform_core.security import Principal

if TYPE_CHECKING:
    from platform_core._uow import SqlUnitOfWork
    from platform_core.cache import Mark
    from platform_core.http.incoming import IncomingBody

R = TypeVar("R")

SCOPE_KEY: Final = "platform.exchange"

UNMATCHED: Final = "unmatched"
"""The template of a request that no module's route answers."""

GONE: Final = 499
"""The status of a client that left before it was answered, as nginx has it in its logs; never sent."""


class Bus(Protocol):
    """What this room needs of `platform_core._bus.Bus`."""

    async def execute(
        self,
        command: Command[R],
        before_commit: Sequence[Callable[[Any, SqlUnitOfWork], Awaitable[None]]] = (),
    ) -> R: ...

    async def ask(self, query: Query[R]) -> R: ...


class Route(Protocol):
    """What an answer may ask of the route that gives it."""

    def vigil(self, exchange: Exchange) -> Callable[[], Awaitable[bool]]:
        """Return what tells whether an answer that goes on and on may still do so; asking again is cheap."""
        ...


class Exchange:
    """
    Made by the outermost middleware, filled by whoever learns something.

    Attributes:
        context: identifiers, address and, once known, the caller.
        headers: of the request, name → values, only those that this room reads.
        bus, follow: of the platform that answers.
        module, template: of the route that answers; never a client's own words.
        route: the one that answers, once it is known.
        status: of the answer; 0 until its head is out.
        rate_headers: ready to be sent, once the limits were asked.
        claim: who is asking → the mark that the first request with this Idempotency-Key leaves.
        begun_seconds: what Redis said of that mark; see `cache.Verdict`.
        before_commit: conditions and writes that the next command carries along.
        on_act: runs when everything about the request is known to be right, before the endpoint; may answer for it.
        on_executed: told whether the first command succeeded.
        if_match: the client set a condition, which turns a lost race into 412.
        incoming: the body, for an endpoint that reads it itself.
        is_head: the answer's body is not sent.
        page: the answer, where it is a page of a list.
    """

    __slots__ = (
        "_bound",
        "before_commit",
        "begun_seconds",
        "bus",
        "claim",
        "context",
        "follow",
        "headers",
        "if_match",
        "incoming",
        "is_head",
        "method",
        "module",
        "on_act",
        "on_executed",
        "page",
        "rate_headers",
        "route",
        "status",
        "template",
    )

    def __init__(self, context: Context, headers: dict[bytes, list[bytes]], method: str = "GET") -> None:
        self.context, self.headers, self.method = context, headers, method
        self.bus: Bus | None = None
        self.route: Route | None = None
        self.follow: Follow | None = None
        self.module, self.template = "platform", UNMATCHED
        self.status = 0
        self.rate_headers: tuple[tuple[bytes, bytes], ...] = ()
        self.claim: Callable[[UUID | None], Mark] | None = None
        self.begun_seconds: int | None = None
        self.before_commit: tuple[Callable[[Any, SqlUnitOfWork], Awaitable[None]], ...] = ()
        self.on_act: Callable[[], Awaitable[Response | None]] | None = None
        self.on_executed: Callable[[Exception | None], None] | None = None
        self.if_match = False
        self.incoming: IncomingBody | None = None
        self.is_head = False
        self.page: Page[Any] | None = None
        self._bound: contextlib.AbstractContextManager[Context] | None = None

    @property
    def caller(self) -> Principal:
        return self.context.principal

    def header(self, name: bytes) -> str | None:
        """Return the only value of a header, or the first of several."""
        values = self.headers.get(name)
        return values[0].decode("latin-1") if values else None

    def enter(self, context: Context) -> None:
        """Make `context` the current one until the answer was sent, streams included."""
        self.leave()
        self.context = context
        self._bound = bind(context)
        self._bound.__enter__()

    def leave(self) -> None:
        """Undo `enter`."""
        bound, self._bound = self._bound, None
        if bound is not None:
            bound.__exit__(None, None, None)

    async def execute(self, command: Command[R]) -> R:
        """Execute a command as the caller; the first one carries the request's conditions."""
        assert self.bus is not None  # noqa: S101  # set before any endpoint runs
        hooks, self.before_commit = self.before_commit, ()
        if not hooks:
            return await self.bus.execute(command)
        try:
            result = await self.bus.execute(command, before_commit=hooks)
        except Exception as error:
            self._executed(error)
            if self.if_match and isinstance(error, ConcurrentUpdate):
                raise PreconditionFailed
            raise
        self._executed(None)
        return result

    def _executed(self, error: Exception | None) -> None:
        if self.on_executed is not None:
            self.on_executed(error)

    async def ask(self, query: Query[R]) -> R:
        """Answer a query as the caller."""
        assert self.bus is not None  # noqa: S101  # set before any endpoint runs
        return await self.bus.ask(query)


_current: contextvars.ContextVar[Exchange] = contextvars.ContextVar("platform_exchange")


def current_exchange() -> Exchange:
    """Return the exchange of the running request."""
    return _current.get()


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange of an ASGI scope that came through the middleware."""
    exchange: Exchange = scope[SCOPE_KEY]
    return exchange


@contextlib.contextmanager
def bound(exchange: Exchange) -> Iterator[Exchange]:
    """Make `exchange` the running task's for the block."""
    token = _current.set(exchange)
    try:
        yield exchange
    finally:
        exchange.leave()
        _current.reset(token)
