"""
The outermost layer: who asked, from where, under which identifiers; what every answer carries; what is logged and
counted of it. Pure ASGI, so that streams stream and a disconnect cancels nothing.

    Shell ─► CORS, where origins are configured ─► ErrorBoundary ─► routes
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from platform_core import logs, tracing
from platform_core.context import Context
from platform_core.domain import new_id
from platform_core.http.addresses import TrustedProxies
from platform_core.http.boundary import OPERATIONS
from platform_core.http.exchange import SCOPE_KEY, Exchange, bound
from platform_core.http.telemetry import traced
from platform_core.http.traffic import Traffic
from platform_core.metrics import Metrics
from platform_core.settings import KernelSettings

__all__ = ["Shell"]

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._~:/+=-]{1,128}")
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)
_WANTED: Final = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"if-match",
        b"if-none-match",
        b"if-range",
        b"range",
        b"traceparent",
        b"tracestate",
        b"user-agent",
        b"x-forwarded-for",
        b"x-request-id",
    }
)
_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_LAST: Final = (b"connection", b"close")
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Shell:
    """
    The outermost layer: identifiers, headers, the access log.

    Args:
        app: everything else; raises only when half an answer is out.
        settings: proxies, and whether this is production.
        metrics, traffic: where requests are counted.
        api_prefix: answers below it are never cached, unless they say so.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: KernelSettings,
        metrics: Metrics,
        traffic: Traffic,
        api_prefix: str,
    ) -> None:
        self._app, self._metrics, self._traffic = app, metrics, traffic
        self._proxies = TrustedProxies(settings.trusted_proxies)
        self._always = (*_ALWAYS, _HSTS) if settings.is_production else _ALWAYS
        self._api_prefix = f"{api_prefix}/"
        self._is_traced = (
            tracing.is_on()
        )  # once: the stack is built with the first request, after the exporter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespans and what is no HTTP pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        exchange = self._exchange(scope)
        scope[SCOPE_KEY] = exchange
        answer = _Answer(send, exchange, self, scope["path"].startswith(self._api_prefix))
        self._traffic.arrived()
        try:
            with bound(exchange):
                if self._is_traced and not scope["path"].startswith(OPERATIONS):
                    await self._trace(scope, receive, answer, exchange)
                else:
                    await self._serve(scope, receive, answer, exchange)
        finally:
            self._traffic.left()
            self._record(exchange, time.perf_counter() - started)

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer, exchange: Exchange) -> None:
        exchange.enter(exchange.context)
        await self._app(scope, receive, answer.send)

    async def _trace(self, scope: Scope, receive: Receive, answer: _Answer, exchange: Exchange) -> None:
        around = trace.get_current_span()
        if around.get_span_context().is_valid:  # somebody's instrumentation lies around the application
            exchange.context = replace(exchange.context, traceparent=tracing.traceparent_of(around))
            await self._serve(scope, receive, answer, exchange)
            return
        with traced(scope, exchange, _incoming(exchange.headers)):
            await self._serve(scope, receive, answer, exchange)

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What every answer carries now."""
        return (*self._always, _LAST) if self._traffic.is_draining else self._always

    def _exchange(self, scope: Scope) -> Exchange:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            if name in _WANTED:
                headers.setdefault(name, []).append(value)
        peer = scope.get("client")
        agent = headers.get(b"user-agent")
        request_id, traceparent = _identifiers(headers)
        context = Context(
            request_id=request_id,
            ip=self._proxies.client(peer[0] if peer else None, headers.get(b"x-forwarded-for", ())),
            user_agent=_printable(agent[0]) if agent else None,
            traceparent=traceparent,
        )
        return Exchange(context, headers, scope["method"])

    def _record(self, exchange: Exchange, seconds: float) -> None:
        method = exchange.method if exchange.method in _METHODS else "other"
        self._metrics.request(exchange.module, exchange.template, method, exchange.status, seconds)
        context = exchange.context
        logs.access(
            method=exchange.method,
            route=exchange.template,
            status=exchange.status,
            duration_ms=round(seconds * 1000, 2),
            request_id=context.request_id,
            trace_id=(context.traceparent or "")[3:35],
            user_id=str(context.principal.user_id) if context.principal.user_id else None,
            ip=context.ip,
        )


class _Answer:
    """Adds to an answer's head what every answer has, and notes its status."""

    __slots__ = ("_exchange", "_is_api", "_send", "_shell")

    def __init__(self, send: Send, exchange: Exchange, shell: Shell, is_api: bool) -> None:
        self._send, self._exchange, self._shell, self._is_api = send, exchange, shell, is_api

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._exchange.status = message["status"]
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
            headers += self._shell.headers
            headers.append((b"x-request-id", self._exchange.context.request_id.encode("ascii")))
            headers += self._exchange.rate_headers
            if self._is_api and not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        elif self._exchange.is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def _printable(value: bytes) -> str:
    """Return a client's own words so that they can be stored and shown: no NUL, no escape sequences for terminals."""
    text = value[:512].decode("latin-1")
    return text if text.isprintable() else "".join(letter for letter in text if letter.isprintable())


def _identifiers(headers: Mapping[bytes, Sequence[bytes]]) -> tuple[str, str]:
    """Return the request's id and trace context: the client's where they are well-formed, else new ones."""
    request_ids = headers.get(b"x-request-id", ())
    made = new_id()
    request_id = str(made)
    if len(request_ids) == 1 and _REQUEST_ID.fullmatch(request_ids[0]):
        request_id = request_ids[0].decode("ascii")
    return request_id, _incoming(headers) or f"00-{made.hex}-{os.urandom(8).hex()}-01"


def _incoming(headers: Mapping[bytes, Sequence[bytes]]) -> str | None:
    parents = headers.get(b"traceparent", ())
    return parents[0].decode("ascii") if len(parents) == 1 and _is_traceparent(parents[0]) else None


def _is_traceparent(value: bytes) -> bool:
    # version 00 has exactly four parts; later versions may have more, of which the first four count
    return bool(_TRACEPARENT.fullmatch(value)) and (
        len(value) == 55 if value.startswith(b"00") else len(value) <= 256
    )
