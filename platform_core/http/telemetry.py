"""
The server span of a request: OpenTelemetry's semantic conventions for HTTP, stable since 1.23.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server

FastAPI has spans of its own, which are switched off: it does not know the platform's routes, and it exports query
strings (cursors, searches) and the text of exceptions.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from opentelemetry.trace import Span, StatusCode
from starlette.types import Scope

from platform_core.http.exchange import GONE, UNMATCHED, Exchange
from platform_core.tracing import server_span, traceparent_of

__all__ = ["traced"]

_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)


_SERVER: Final = re.compile(r"(?P<address>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:(?P<port>\d{1,5}))?")


@contextlib.contextmanager
def traced(scope: Scope, exchange: Exchange, incoming: str | None) -> Iterator[None]:
    """
    Open the span of a request for the block, and make it what events and jobs of the request hang below.

    Args:
        incoming: the client's trace context, if it sent a well-formed one.
    """
    name = exchange.method if exchange.method in _METHODS else "HTTP"
    carrier = {} if incoming is None else {"traceparent": incoming}
    state = exchange.header(b"tracestate")
    if incoming is not None and state is not None:
        carrier["tracestate"] = state
    with server_span(name, _known_before(scope, exchange), carrier) as span:
        exchange.context = replace(exchange.context, traceparent=traceparent_of(span))
        try:
            yield
        except BaseException as error:
            _failed(span, type(error).__qualname__)
            raise
        finally:
            _describe(span, name, exchange)


def _known_before(scope: Scope, exchange: Exchange) -> dict[str, str | int]:
    known = exchange.method in _METHODS
    attributes: dict[str, str | int] = {
        "http.request.method": exchange.method if known else "_OTHER",
        "url.scheme": scope["scheme"],
        "url.path": scope["path"],
        "network.protocol.version": scope["http_version"],
    }
    if not known:
        attributes["http.request.method_original"] = exchange.method
    context = exchange.context
    if context.ip is not None:
        attributes["client.address"] = context.ip
    if context.user_agent is not None:
        attributes["user_agent.original"] = context.user_agent
    if (host := _SERVER.fullmatch(exchange.header(b"host") or "")) is not None:
        attributes["server.address"] = host["address"]
        if host["port"] is not None:
            attributes["server.port"] = int(host["port"])
    return attributes


def _describe(span: Span, name: str, exchange: Exchange) -> None:
    if exchange.template != UNMATCHED:
        span.update_name(f"{name} {exchange.template}")
        span.set_attribute("http.route", exchange.template)
    if exchange.status == GONE:
        _failed(span, "ClientDisconnect")  # nothing was answered
    elif exchange.status:
        span.set_attribute("http.response.status_code", exchange.status)
        if exchange.status >= 500:
            _failed(span, str(exchange.status))


def _failed(span: Span, kind: str) -> None:
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", kind)
