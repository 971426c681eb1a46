"""
One declared route, bound to one platform: everything that happens around its endpoint, in order.

    rate limit and token (401, 429) → permission (403) → text, size and body (408, 413, 415, 422; but 404 where the
    caller may not know of the thing) → Idempotency-Key, If-Match → endpoint → ETag, Link, If-None-Match
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import typing
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import structlog
from fastapi import params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, RouteContext, get_request_handler, request_response, serialize_response
from starlette._utils import is_async_callable
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from platform_core._replica import Replica
from platform_core._uow import SqlUnitOfWork
from platform_core.cache import Mark
from platform_core.context import bind
from platform_core.domain import Page, Refused
from platform_core.errors import DomainError, Kind, PlatformError, PreconditionFailed
from platform_core.http import entities
from platform_core.http.bodies import LimitedRequest, Pace, check_url, read_form, require_json
from platform_core.http.exchange import Bus, Exchange, bound, current_exchange, exchange_of
from platform_core.http.gate import Gatekeeper
from platform_core.http.idempotency import Answer, IdempotencyKeys, Reservation, fingerprint
from platform_core.http.incoming import Answered, IncomingBody
from platform_core.http.problems import RequestInProgress, respond
from platform_core.http.routing import INJECTED, Policy, reads_incoming
from platform_core.http.strictness import taken_at_its_word
from platform_core.http.traffic import Traffic
from platform_core.ports import Follow, Storage
from platform_core.settings import KernelSettings

__all__ = ["BoundRoute", "Runtime"]

logger = structlog.get_logger("platform_core.http")

_REFUSALS: Final = (DomainError, HTTPException, RequestValidationError)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What every route of one platform shares."""

    settings: KernelSettings
    bus: Bus
    gatekeeper: Gatekeeper
    idempotency: IdempotencyKeys
    storage: Storage
    traffic: Traffic
    follow: Follow | None
    replica: Replica | None


class BoundRoute:
    """
    A declared route on one platform, as the route table calls it.

    Args:
        module: the plugin that declared it.
        context: the route as FastAPI sees it, routers around it included.
        prefix: goes before its path.

    Attributes:
        sibling: the GET of the same path, for If-Match.
        is_list: it answers pages.
        has_tag: it answers one thing, which has an ETag.
    """

    def __init__(self, runtime: Runtime, module: str, context: RouteContext, prefix: str) -> None:
        self._runtime, self.module, self._context = runtime, module, context
        self.template = f"{prefix}{context.path}"
        self.methods = frozenset(context.methods or {"GET"})
        self.policy: Policy = getattr(context.original_route, "policy", Policy())
        self.name = str(context.name).rstrip("_")
        self.endpoint = context.endpoint
        self.sibling: BoundRoute | None = None
        self._limit_bytes = self.policy.max_body_bytes
        if self._limit_bytes is None:
            self._limit_bytes = runtime.settings.max_body_bytes
        self._pace = Pace.of(runtime.settings)
        body = context.body_field
        self._reads_form = body is not None and isinstance(body.field_info, params.Form)
        self._reads_json = body is not None and not self._reads_form
        self._reads_itself = reads_incoming(d.call for d in context.dependant.dependencies)
        self._form_limits = dict(getattr(context.original_route, "form_limits", None) or {})
        self.is_list = _is_page(context.response_model)
        self.has_tag = not self.is_list and self._context_answers_json()
        self._dependant = _bound_dependant(context.dependant)
        self._inner = _inner_handler(context, self._dependant)
        self.app: ASGIApp = request_response(self._handle)

    def __repr__(self) -> str:
        return f"<BoundRoute {'/'.join(sorted(self.methods))} {self.template} of {self.module}>"

    def _context_answers_json(self) -> bool:
        return self._context.response_field is not None and (self._context.status_code or 200) == 200

    # ── the order of checks ──────────────────────────────────────────────────────────────────────

    async def _handle(self, request: Request) -> Response:
        exchange = exchange_of(request.scope)
        exchange.module, exchange.template = self.module, self.template
        exchange.bus, exchange.follow = self._runtime.bus, self._runtime.follow
        exchange.route = self
        if (task := asyncio.current_task()) is not None:
            task.set_name(f"{exchange.method} {self.template}")  # the watchdog names who held the loop up
        once = self._keyed(exchange)
        try:
            principal = await self._runtime.gatekeeper.admit(exchange, self.policy)
            exchange.enter(replace(exchange.context, principal=principal))
            response = await self._answer(request, exchange, once)
        except _REFUSALS as error:
            response = await self._refuse(error, request)
        finally:
            if once is not None:
                once.let_go()
        if self.policy.secret:
            response.headers["Cache-Control"] = "no-store"
        response.headers.update(self.policy.headers)
        return response

    def _keyed(self, exchange: Exchange) -> _Once | None:
        if exchange.method != "POST" or b"idempotency-key" not in exchange.headers:
            return None
        once = _Once(self, exchange)
        if not self._reads_itself:  # what is sent for minutes would seem to be running all the while
            exchange.claim = once.claim
        return once

    async def _answer(self, original: Request, exchange: Exchange, once: _Once | None) -> Response:
        check_url(original.scope)
        method = original.scope["method"]
        request = LimitedRequest(original, self._limit_bytes or 0, self._pace)
        if self._reads_json or self._reads_form:
            request.check_declared(exchange.header(b"content-length"))
        if self._reads_json and await request.body():
            require_json(exchange.header(b"content-type"))
            await request.json()
        elif self._reads_form:
            await read_form(request, original.scope["fastapi_middleware_astack"], self._form_limits)
        if self._reads_itself:
            exchange.incoming = self._incoming(request, exchange)
        if method == "GET":
            return self._finished(await self._inner(request), exchange, original)
        self._prepare(request, exchange, method, once)
        response = await (self._inner(request) if once is None else self._once(request, once))
        if method in _REPLACING:
            self._tag(response)
        return response

    def _incoming(self, request: LimitedRequest, exchange: Exchange) -> IncomingBody:
        async def on_received(summary: bytes) -> Response | None:
            request.received = summary
            return None if exchange.on_act is None else await exchange.on_act()

        return IncomingBody(request, self._runtime.storage, on_received)

    async def _refuse(self, error: Exception, request: Request) -> Response:
        if self.policy.visible is not None and _is_invalid(error):
            try:
                values, problems = request_params_to_args(self._dependant.path_params, request.path_params)
                if not problems:
                    await self._runtime.bus.ask(self.policy.visible(values))
            except DomainError as hidden:
                error = hidden
        response = respond(error, request.scope)
        if response.status_code >= 500:
            logger.warning("a request could not be served", status=response.status_code, cause=_cause(error))
        incoming = exchange_of(request.scope).incoming
        if response.status_code in _UNREAD or (incoming is not None and not incoming.is_exhausted):
            response.headers["Connection"] = "close"  # the rest of the body is not waited for
        return response

    def vigil(self, exchange: Exchange) -> Callable[[], Awaitable[bool]]:
        """Return what tells whether an answer that goes on and on may still do so."""
        vigil, traffic = self._runtime.gatekeeper.vigil(exchange, self.policy), self._runtime.traffic

        async def may() -> bool:
            return not traffic.is_draining and await vigil.holds()

        return may

    # ── around the endpoint ──────────────────────────────────────────────────────────────────────

    def _prepare(self, request: LimitedRequest, exchange: Exchange, method: str, once: _Once | None) -> None:
        steps: list[Callable[[], Awaitable[Response | None]]] = []
        if method in _CONDITIONAL and b"if-match" in exchange.headers:
            exchange.if_match = True
            steps.append(functools.partial(self._check_version, request, exchange))
        if once is not None:
            steps.append(functools.partial(once.begin, request))
        if steps:
            exchange.on_act = functools.partial(_run, steps)

    async def _once(self, request: LimitedRequest, once: _Once) -> Response:
        try:
            response = await self._inner(request)
        except Answered as known:
            return known.response
        except _REFUSALS as error:
            response = await once.overtaken(error) or await self._refuse(error, request)
        except BaseException:
            await once.end(None)
            raise
        return await once.end(response) or response

    async def _check_version(self, request: Request, exchange: Exchange) -> None:
        headers = exchange.headers[b"if-match"]

        async def check(*_: Any) -> None:
            if not entities.matches(headers, await self._present_tag(request), weak=False):
                raise PreconditionFailed

        await check()
        exchange.before_commit = (*exchange.before_commit, check)

    async def _present_tag(self, request: Request) -> str | None:
        if self.sibling is None:
            return None
        kept = {"method": "GET", "query_string": b"", "headers": []}
        scope: Scope = {**request.scope, **kept}
        fresh = Exchange(exchange_of(request.scope).context, {})
        fresh.bus = self._runtime.bus
        with bound(fresh), bind(replace(fresh.context, primary_reads=True)):
            response = await self.sibling.represent(Request(scope))
        return response.headers.get("etag")

    async def represent(self, request: Request) -> Response:
        """Answer a GET from inside, without limits and permissions: for its tag only."""
        response = await self._inner(request)
        self._tag(response)
        return response

    # ── after it ─────────────────────────────────────────────────────────────────────────────────

    def _finished(self, response: Response, exchange: Exchange, request: Request) -> Response:
        if exchange.page is not None:
            self._link(response, exchange.page, request)
            return response
        self._tag(response)
        tag = response.headers.get("etag")
        if tag is None:
            return response
        response.headers.setdefault("Cache-Control", "private, no-cache")
        asked = exchange.headers.get(b"if-none-match")
        if asked is not None and entities.matches(asked, tag, weak=True):
            return entities.not_modified(response)
        return response

    @staticmethod
    def _tag(response: Response) -> None:
        if response.status_code != 200 or "etag" in response.headers:
            return
        body = getattr(response, "body", None)  # a stream has none
        if body and response.media_type == "application/json":
            response.headers["ETag"] = entities.tag_of(bytes(body))

    @staticmethod
    def _link(response: Response, page: Page[Any], request: Request) -> None:
        if page.next_cursor is None:
            return
        kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        query = urllib.parse.urlencode([*kept, ("cursor", page.next_cursor)])
        path = urllib.parse.quote(request.scope["path"], safe="/:@!$&'()*+,;=-._~")
        response.headers["Link"] = f'<{path}?{query}>; rel="next"'

    async def render(self, result: Any) -> Answer:
        """Foretell the answer that this route gives for what its command returned."""
        context = self._context
        status = context.status_code or 200
        if status in (204, 304):
            return Answer(status, (), b"")
        body = await serialize_response(field=context.response_field, response_content=result, dump_json=True)
        if not isinstance(body, bytes):
            raise PlatformError(f"{self!r} has no return type that says what it answers")
        if self.policy.begins is not None:
            headers = (("content-type", "application/json"), ("location", self.policy.begins(result)))
            return Answer(202, headers, body)
        return Answer(status, (("content-type", "application/json"),), body)


_UNREAD: Final = (408, 413)
_CONDITIONAL: Final = frozenset({"PATCH", "PUT", "DELETE"})
_REPLACING: Final = frozenset({"PATCH", "PUT"})


class _Once:
    """One request with an Idempotency-Key, from its mark or reservation to its stored answer."""

    def __init__(self, route: BoundRoute, exchange: Exchange) -> None:
        self._route, self._exchange = route, exchange
        self._keys = route._runtime.idempotency  # the same room: this class is a part of the route
        self._key = exchange.header(b"idempotency-key") or ""
        self._scope: tuple[str, ...] = ()
        self._mark: Mark | None = None
        self._request: LimitedRequest | None = None
        self._reservation: Reservation | None = None
        self._told: Exception | None = None

    def claim(self, user_id: UUID | None) -> Mark:
        """Return the mark for whoever seems to be asking."""
        self._scope = self._scope_of(user_id)
        self._mark = self._keys.claim(self._key, scope=self._scope)
        return self._mark

    def let_go(self) -> None:
        """Take the mark away again when the request came to nothing."""
        begun = self._exchange.begun_seconds
        if self._mark is not None and self._reservation is None and begun is not None and begun < 0:
            self._keys.unclaim(self._mark)

    async def begin(self, request: LimitedRequest) -> Response | None:
        """Reserve the key; a response is the answer of the first request."""
        exchange, self._request = self._exchange, request
        digest = await fingerprint(
            request.scope["path"],
            request.scope["query_string"],
            json=getattr(request, "_json", None),
            form=request._form,
            body=request.received or getattr(request, "_body", b""),
        )
        scope = self._scope_of(exchange.caller.user_id)
        is_marked = scope == self._scope  # not who seemed to be asking, but could not prove it
        known = await self._keys.reserve(
            self._key,
            module=self._route.module,
            scope=scope,
            request=digest,
            mark=self._mark if is_marked else None,
            begun_seconds=exchange.begun_seconds if is_marked else None,
        )
        if isinstance(known, Answer):
            return await self._repeated(known)
        self._reservation = known
        exchange.before_commit = (*exchange.before_commit, self._store)
        exchange.on_executed = self._executed
        return None

    def _scope_of(self, user_id: UUID | None) -> tuple[str, ...]:
        who = str(user_id) if user_id else f"anonymous {self._exchange.context.ip}"
        return who, "POST", self._route.template

    async def _store(self, result: Any, uow: SqlUnitOfWork) -> None:
        assert self._reservation is not None and self._request is not None  # noqa: S101, PT018  # `begin` came before
        if isinstance(result, Refused):
            self._told = result.error
            answer = Answer.of(respond(result.error, self._request.scope))
            if not answer.is_final:
                return
        else:
            try:
                answer = await self._route.render(result)
            except Exception:  # noqa: BLE001  # whatever serialising raises
                # the route makes something else of the result: its answer is stored when it is known
                logger.warning("an idempotent answer is stored late", route=self._route.template)
                return
        uow.append(self._keys.store(self._reservation, answer))

    def _executed(self, error: Exception | None) -> None:
        reservation = self._reservation
        if reservation is not None and (error is None or error is self._told):
            reservation.stored = reservation.offered

    async def overtaken(self, error: Exception) -> Response | None:
        """Return the answer of the request that was first after all, when that is why this one failed."""
        reservation = self._reservation
        if reservation is None or not isinstance(error, RequestInProgress):
            return None
        self._reservation = (
            None  # nothing of this request is stored, and nothing of the other one is taken away
        )
        answer = await self._keys.earlier(reservation)
        return None if answer is None else await self._repeated(answer)

    async def end(self, response: Response | None) -> Response | None:
        """
        Store the answer, unless that has happened already, or give the key free.

        Returns: the answer of the request that was first after all, if this one was not.
        """
        known: Answer | None = None
        if self._reservation is not None:
            body = getattr(response, "body", None)
            answer = Answer.of(response) if response is not None and body is not None else None
            try:
                known = await self._keys.finish(self._reservation, answer)
            except DomainError:
                logger.warning("an idempotency key stays reserved", route=self._route.template)
        return None if known is None else await self._repeated(known)

    async def _repeated(self, answer: Answer) -> Response:
        if (replica := self._route._runtime.replica) is not None:
            # the process that wrote may have died before it left a mark, and with it the first answer
            await replica.wrote(self._exchange.context)
        return answer.replay()


async def _run(steps: list[Callable[[], Awaitable[Response | None]]]) -> Response | None:
    for step in steps:
        response = await step()
        if response is not None:
            return response
    return None


def _cause(error: Exception) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"[:500]


def _is_page(model: Any) -> bool:
    return typing.get_origin(model) is Page or model is Page


def _is_invalid(error: Exception) -> bool:
    return isinstance(error, RequestValidationError) or (
        isinstance(error, DomainError) and error.kind is Kind.INVALID
    )


def _inner_handler(context: RouteContext, dependant: Dependant) -> Callable[[Request], Awaitable[Response]]:
    route = context.original_route
    assert isinstance(route, APIRoute)  # noqa: S101  # assembly refuses anything else
    return get_request_handler(
        dependant=dependant,
        body_field=context.body_field,
        status_code=context.status_code,
        response_class=context.response_class,
        response_field=context.response_field,
        response_model_include=context.response_model_include,
        response_model_exclude=context.response_model_exclude,
        response_model_by_alias=context.response_model_by_alias,
        response_model_exclude_unset=context.response_model_exclude_unset,
        response_model_exclude_defaults=context.response_model_exclude_defaults,
        response_model_exclude_none=context.response_model_exclude_none,
        embed_body_fields=context._embed_body_fields,
        strict_content_type=context.strict_content_type,
        form_limits=route.form_limits,
        stream_item_field=context.stream_item_field,
        is_json_stream=context.is_json_stream,
    )


def _bound_dependant(declared: Dependant) -> Dependant:
    """Return a copy that reads JSON strictly, calls a wrapped endpoint, and has its kernel dependencies filled in."""
    endpoint = declared.call
    assert endpoint is not None  # noqa: S101  # a route's dependant calls its endpoint
    strict = taken_at_its_word(declared)
    injected = {d.name: INJECTED[d.call] for d in strict.dependencies if d.call in INJECTED and d.name}
    rest = [d for d in strict.dependencies if d.call not in INJECTED]
    if inspect.isasyncgenfunction(endpoint) or inspect.isgeneratorfunction(endpoint):
        return strict  # a stream: FastAPI calls it in its own way
    return replace(strict, call=_wrapped(endpoint, injected), dependencies=rest)


def _wrapped(
    endpoint: Callable[..., Any], injected: Mapping[str, Callable[[Exchange], Any]]
) -> Callable[..., Awaitable[Any]]:
    is_async = is_async_callable(endpoint)

    async def act(**values: Any) -> Any:
        exchange = current_exchange()
        for name, get in injected.items():
            values[name] = get(exchange)
        if exchange.on_act is not None and exchange.incoming is None:
            early = await exchange.on_act()
            if early is not None:
                return early
        result = await (endpoint(**values) if is_async else run_in_threadpool(endpoint, **values))
        if isinstance(result, Page):
            exchange.page = result
        return result

    # not functools.wraps: FastAPI would look through it, and take a synchronous endpoint for what it calls
    act.__name__, act.__qualname__ = endpoint.__name__, endpoint.__qualname__
    act.__module__, act.__doc__ = endpoint.__module__, endpoint.__doc__
    return act
