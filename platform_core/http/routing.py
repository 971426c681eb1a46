"""
What a plugin writes its routes with: `Router`, and what a route may ask for.

    router = Router()

    @router.get("/users/{user_id}", permission="users:read", raises=(NotFound,))
    async def get(user_id: UUID, ask: Ask) -> UserView:
        return await ask(GetUser(user_id=user_id))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Query
from fastapi.routing import APIRoute, iter_route_contexts

from platform_core import domain, ports
from platform_core.deprecations import Deprecated
from platform_core.domain import PageRequest
from platform_core.errors import DomainError
from platform_core.http.exchange import Exchange, current_exchange
from platform_core.http.incoming import IncomingBody
from platform_core.security import Principal

__all__ = [
    "INJECTED",
    "Ask",
    "Caller",
    "Execute",
    "Follow",
    "Incoming",
    "PageParams",
    "PlatformRoute",
    "Policy",
    "Router",
    "reads_incoming",
]

F = TypeVar("F", bound=Callable[..., Any])

API_PREFIX: Final = "/api/v1"
"""Below it lie the routes of every module."""

CURSOR_LENGTH: Final = 2048


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What the kernel does around one route; see `Router`.

    Attributes:
        public: a visitor may call it.
        permission: what the caller must be granted.
        raises: the problems that its answer may be.
        limit: name of a `KernelSettings.rate_limit_<name>`, counted per address beside the general limit.
        secret: its answers hold secrets.
        max_body_bytes: None is the deployer's general limit.
        headers: that every answer of the route carries, refusals too.
        visible: path parameters → a query that raises when the caller may not know of the thing.
        deprecated: its answers carry `Deprecation` and `Sunset`, and the OpenAPI document tells what to use.
        begins: what its first command answered → where to find what that began. Should the process die before the rest
            is done, a repeated Idempotency-Key is answered by 202 with this `Location`.
    """

    public: bool = False
    permission: str | None = None
    raises: tuple[type[DomainError], ...] = ()
    limit: str | None = None
    secret: bool = False
    max_body_bytes: int | None = None
    visible: Callable[[Mapping[str, Any]], domain.Query[Any]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    deprecated: Deprecated | None = None
    begins: Callable[[Any], str] | None = None


class PlatformRoute(APIRoute):
    """A route with a policy; one from a plain `APIRouter` has the default: any token, no permission."""

    policy: Policy = Policy()


class Router(APIRouter):
    """
    An `APIRouter` whose routes say who may call them and what they may refuse.

    Args:
        prefix_api: False mounts the routes at the root instead of `/api/v1`.
        options: as for `APIRouter`.

    Every method takes, beside FastAPI's own options: `public`, `permission`, `raises`, `limit`, `secret`,
    `max_body_bytes`, `headers`, `visible`, `deprecated` and `begins`, see `Policy`.
    """

    def __init__(self, *, prefix_api: bool = True, **options: Any) -> None:
        super().__init__(route_class=PlatformRoute, **options)
        self.prefix_api = prefix_api

    def get(self, path: str, **options: Any) -> Callable[[F], F]:
        """Declare a route that reads; one resource gets an ETag, a `Page` a `Link`."""
        return self._route("GET", path, options)

    def post(self, path: str, **options: Any) -> Callable[[F], F]:
        """Declare a route that creates or acts; clients may send an Idempotency-Key."""
        return self._route("POST", path, options)

    def put(self, path: str, **options: Any) -> Callable[[F], F]:
        """Declare a route that replaces; clients may send If-Match, checked against the GET of the same path."""
        return self._route("PUT", path, options)

    def patch(self, path: str, **options: Any) -> Callable[[F], F]:
        """Declare a route that changes; If-Match as for `put`."""
        return self._route("PATCH", path, options)

    def options(self, path: str, **options: Any) -> Callable[[F], F]:
        """Declare a route that says what an address can do."""
        return self._route("OPTIONS", path, options)

    def delete(self, path: str, **options: Any) -> Callable[[F], F]:
        """Declare a route that deletes, 204 unless said otherwise; If-Match as for `put`."""
        return self._route("DELETE", path, {"status_code": 204, **options})

    def _route(self, method: str, path: str, options: dict[str, Any]) -> Callable[[F], F]:
        deprecated = options.pop("deprecated", None)
        going = deprecated if isinstance(deprecated, Deprecated) else None
        options["deprecated"] = bool(deprecated) or None
        policy = Policy(
            public=options.pop("public", False),
            permission=options.pop("permission", None),
            raises=tuple(options.pop("raises", ())),
            limit=options.pop("limit", None),
            secret=options.pop("secret", False),
            max_body_bytes=options.pop("max_body_bytes", None),
            visible=options.pop("visible", None),
            headers={**(going.headers if going else {}), **options.pop("headers", {})},
            deprecated=going,
            begins=options.pop("begins", None),
        )
        if policy.public and policy.permission:
            raise TypeError(f"{method} {path}: a public route cannot need a permission")

        def declare(endpoint: F) -> F:
            self.add_api_route(path, endpoint, methods=[method], **options)
            route = self.routes[-1]
            assert isinstance(route, PlatformRoute)  # noqa: S101  # `route_class` above
            route.policy = policy
            return endpoint

        return declare


async def _execute() -> ports.Execute:
    return current_exchange().execute


async def _ask() -> ports.Ask:
    return current_exchange().ask


async def _follow() -> ports.Follow:
    return _follow_of(current_exchange())


def _follow_of(exchange: Exchange) -> ports.Follow:
    assert exchange.follow is not None  # noqa: S101  # set before any endpoint runs
    return exchange.follow


async def _caller() -> Principal:
    return current_exchange().caller


async def _incoming() -> IncomingBody:
    return _incoming_of(current_exchange())


def _incoming_of(exchange: Exchange) -> IncomingBody:
    assert exchange.incoming is not None  # noqa: S101  # set for every route that asks for it
    return exchange.incoming


async def _page(
    limit: Annotated[int, Query(ge=1, le=200, description="How many items, at most.")] = 20,
    cursor: Annotated[
        str | None, Query(max_length=CURSOR_LENGTH, description="`next_cursor` of the page before.")
    ] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


Execute = Annotated[ports.Execute, Depends(_execute)]
"""Runs a command as the caller, and commits it before it returns."""

Ask = Annotated[ports.Ask, Depends(_ask)]
"""Answers a query as the caller."""

Follow = Annotated[ports.Follow, Depends(_follow)]
"""Takes the steps of a saga that a command has just begun, for as long as a client waits."""

Caller = Annotated[Principal, Depends(_caller)]
"""Who is asking; anonymous on public routes called without a token."""

Incoming = Annotated[IncomingBody, Depends(_incoming)]
"""The body, for an endpoint that reads it itself, as it comes; see `platform_core.http.incoming`."""

PageParams = Annotated[PageRequest, Depends(_page)]
"""`?limit=` and `?cursor=` of a list."""

INJECTED: Final[Mapping[Any, Callable[[Exchange], Any]]] = {
    _execute: lambda exchange: exchange.execute,
    _ask: lambda exchange: exchange.ask,
    _follow: _follow_of,
    _caller: lambda exchange: exchange.caller,
    _incoming: _incoming_of,
}
"""Dependencies that the kernel fills in itself, past FastAPI's solver, because every route has some."""


def reads_incoming(dependencies: Iterable[Callable[..., Any] | None]) -> bool:
    """Tell whether an endpoint with these dependencies reads the body itself."""
    return _incoming in dependencies


def declared_routes(routers: Iterable[APIRouter]) -> Iterator[tuple[APIRoute, Any, str]]:
    """
    Yield every route of some routers, and of the routers that those include.

    Returns: the route as its author wrote it; the same with the routers around it, whose `path` and `methods` count;
        and what goes before that path.
    """
    for router in routers:
        prefix = API_PREFIX if getattr(router, "prefix_api", True) else ""
        for context in iter_route_contexts(router.routes):
            if isinstance(context.original_route, APIRoute):
                yield context.original_route, context, prefix
