"""
Makes one FastAPI application of everything that the installed modules declare. No I/O happens here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from platform_core import __version__
from platform_core._pools import Pools
from platform_core._replica import Replica
from platform_core.cache import Gate
from platform_core.errors import DomainError, HookFailed, NameCollision, StartupError
from platform_core.http.binding import BoundRoute, Runtime
from platform_core.http.boundary import ErrorBoundary
from platform_core.http.docs import docs_router
from platform_core.http.exchange import Bus
from platform_core.http.gate import AuditDenied, Gatekeeper
from platform_core.http.idempotency import IdempotencyKeys
from platform_core.http.middleware import Shell
from platform_core.http.openapi import LiveDescription, openapi_document
from platform_core.http.problems import Catalogue, respond
from platform_core.http.routing import API_PREFIX, Policy, declared_routes
from platform_core.http.traffic import Traffic
from platform_core.metrics import Metrics
from platform_core.ports import Follow, Keys, Storage
from platform_core.security import Authenticator
from platform_core.settings import KernelSettings
from platform_core.standings import StandingCache

__all__ = ["API_PREFIX", "HttpParts", "ModuleRoutes", "build_app", "check_routes"]

_EXPOSED: Final = (
    "Deprecation",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Sunset",
    "WWW-Authenticate",
    "X-Request-ID",
)


@dataclass(frozen=True, slots=True)
class ModuleRoutes:
    """What one module offers over HTTP."""

    module: str
    title: str
    routers: Sequence[APIRouter]


@dataclass(frozen=True, kw_only=True)
class HttpParts:
    """
    Everything that the HTTP side is made of.

    Attributes:
        follow: takes the steps of a saga while a client waits.
        pools: for the idempotency keys.
        gate, standings, replica: made with the process's one `Redis`; whoever made them starts and stops them.
        authenticators: scheme → authenticator; asked for with the first request, after the lifespan has begun.
        audit_denied: notes a bad token or a missing permission.
        storage: where uploads are kept while they come in.
        modules: in plugin order.
        unavailable: full path prefix → why, of modules that could not be started.
        off: module → 404 or 503, of modules that are switched off; it changes while requests are answered.
        operations: routers of the kernel itself, whose routes are taken as they are: health, metrics.
        lifespan: opens and closes what the process needs.
    """

    settings: KernelSettings
    bus: Bus
    pools: Pools
    keys: Keys
    gate: Gate
    standings: StandingCache
    authenticators: Callable[[], Mapping[str, Authenticator]]
    audit_denied: AuditDenied
    storage: Storage
    replica: Replica | None = None
    follow: Follow | None = None
    modules: Sequence[ModuleRoutes] = ()
    unavailable: Mapping[str, str] = field(default_factory=dict)
    off: Mapping[str, int] = field(default_factory=dict)
    operations: Sequence[APIRouter] = ()
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[Any]] | None = None
    metrics: Metrics = field(default_factory=Metrics)
    traffic: Traffic = field(default_factory=Traffic)
    title: str = "Platform"


def build_app(parts: HttpParts) -> FastAPI:
    """
    Return the application.

    Raises:
        HookFailed, NameCollision: never, if `check_routes` found nothing.
    """
    settings = parts.settings
    gatekeeper = Gatekeeper(
        settings, parts.gate, parts.standings, parts.authenticators, parts.audit_denied, parts.replica
    )
    idempotency = IdempotencyKeys(parts.pools, parts.gate.redis, parts.keys, settings.idempotency_hours)
    runtime = Runtime(
        settings,
        parts.bus,
        gatekeeper,
        idempotency,
        parts.storage,
        parts.traffic,
        parts.follow,
        parts.replica,
    )
    routes = [route for offered in parts.modules for route in _bound(runtime, offered)]
    _join_siblings(routes)
    app = FastAPI(
        title=parts.title,
        version=__version__,
        lifespan=parts.lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=_middleware(parts),
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "auto_configure": False,
        },  # see `telemetry`
        exception_handlers=dict.fromkeys((DomainError, HTTPException, RequestValidationError), _told),
    )
    app.router.routes.append(_table(routes, parts, gatekeeper))
    for router in (*parts.operations, docs_router(parts.title)):
        app.router.routes.extend(router.routes)
    _add_documents(app, parts, routes)
    _register_gauges(parts)
    return app


def check_routes(
    offered: ModuleRoutes,
    *,
    paths: Sequence[str],
    permissions: Iterable[str],
    settings: KernelSettings,
    taken: dict[tuple[str, str], str],
) -> list[StartupError]:
    """
    Check what one module offers, before anything is built of it.

    Args:
        paths: the manifest's; every route's path begins with one of them.
        permissions: every declared permission of every module.
        taken: (method, path with parameters unnamed) → module, of the modules before; completed here.

    Returns: every problem.
    """
    known, found = frozenset(permissions), list(_check_kinds(offered))
    for route, context, prefix in declared_routes(offered.routers):
        policy: Policy = getattr(route, "policy", Policy())
        label = f"{'/'.join(sorted(context.methods or ()))} {context.path}"
        path = str(context.path)
        if not any(path == owned or path.startswith(f"{owned.rstrip('/')}/") for owned in paths):
            hint = "add its prefix to `paths` in plugin.toml"
            found.append(
                HookFailed(offered.module, f"the route {label} lies outside of the module's paths", hint)
            )
        if policy.permission is not None and policy.permission not in known:
            hint = "declare it in register_permissions"
            problem = f"the route {label} needs the undeclared permission {policy.permission}"
            found.append(HookFailed(offered.module, problem, hint))
        if policy.limit is not None and not hasattr(settings, f"rate_limit_{policy.limit}"):
            hint = "use one of the kernel's settings rate_limit_…"
            found.append(
                HookFailed(offered.module, f"the route {label} names the unknown limit {policy.limit}", hint)
            )
        found += _check_taken(offered.module, context.methods or (), f"{prefix}{path}", taken)
    return found


def _check_kinds(offered: ModuleRoutes) -> Iterator[StartupError]:
    for router in offered.routers:
        for context in iter_route_contexts(router.routes):
            if not isinstance(context.original_route, APIRoute):
                kind = type(context.original_route).__name__
                yield HookFailed(
                    offered.module, f"a {kind} was offered as a route", "offer HTTP routes of a Router only"
                )


def _check_taken(
    module: str, methods: Iterable[str], path: str, taken: dict[tuple[str, str], str]
) -> Iterator[StartupError]:
    shape = "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
    for method in methods:
        owner = taken.get((method, shape))
        if owner is None:
            taken[method, shape] = module
        else:
            problem = f"{method} {path} is already a route of {'its own' if owner == module else owner}"
            yield NameCollision(module, problem, "choose another path")


def _bound(runtime: Runtime, offered: ModuleRoutes) -> Iterator[BoundRoute]:
    for _, context, prefix in declared_routes(offered.routers):
        yield BoundRoute(runtime, offered.module, context, prefix)


def _join_siblings(routes: Iterable[BoundRoute]) -> None:
    routes = list(routes)
    readers = {route.template: route for route in routes if "GET" in route.methods}
    for route in routes:
        route.sibling = readers.get(route.template)


def _table(routes: Sequence[BoundRoute], parts: HttpParts, gatekeeper: Gatekeeper) -> BaseRoute:
    from platform_core.http.table import RouteTable

    return RouteTable(
        routes, prefix=API_PREFIX, unavailable=parts.unavailable, gatekeeper=gatekeeper, off=parts.off
    )


def _middleware(parts: HttpParts) -> list[Middleware]:
    shell = Middleware(
        Shell, settings=parts.settings, metrics=parts.metrics, traffic=parts.traffic, api_prefix=API_PREFIX
    )
    boundary = Middleware(ErrorBoundary, settings=parts.settings, traffic=parts.traffic)
    if not parts.settings.cors_origins:
        return [shell, boundary]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(parts.settings.cors_origins),
        allow_methods=["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"],
        allow_headers=["*"],
        allow_credentials=False,  # tokens travel in a header; no cookie is ever read
        expose_headers=list(_EXPOSED),
        max_age=3600,
    )
    return [shell, cors, boundary]


async def _told(request: Request, error: Exception) -> Response:
    return respond(error, request.scope)


def _add_documents(app: FastAPI, parts: HttpParts, routes: Sequence[BoundRoute]) -> None:
    catalogue = Catalogue((route.module, error) for route in routes for error in route.policy.raises)
    description = LiveDescription(
        lambda off: openapi_document(parts.title, __version__, parts.modules, routes, API_PREFIX, off=off),
        parts.off,
    )
    app.openapi = description.document  # type: ignore[method-assign]  # FastAPI's documented way to replace the document

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return Response(description.written(), media_type="application/json")

    @app.get("/problems/{slug}", include_in_schema=False)
    async def problem(slug: str, request: Request) -> Response:
        return catalogue.answer(slug, request)


def _register_gauges(parts: HttpParts) -> None:
    redis = parts.gate.redis
    parts.metrics.in_flight.set_function(lambda: float(parts.traffic.in_flight_count))
    parts.metrics.redis_up.set_function(lambda: float(redis.is_available))
    parts.metrics.redis_failures.set_function(lambda: float(redis.failures_count))
    parts.metrics.standings_trusted.set_function(lambda: float(parts.standings.is_trusted))
