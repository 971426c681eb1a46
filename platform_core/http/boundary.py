"""
Between the layers that serve every answer and the routes: what is refused before any route is looked for, and what
becomes of an error that nobody below has turned into an answer.

It lies below CORS, so that a browser of an allowed origin can read these answers like any other.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from platform_core.http.exchange import GONE, Exchange, exchange_of
from platform_core.http.problems import UNKNOWN_HOST, Problem, ShuttingDown, problem_of, render
from platform_core.http.traffic import Traffic
from platform_core.settings import KernelSettings

__all__ = ["OPERATIONS", "ErrorBoundary"]

logger = structlog.get_logger("platform_core.http")

OPERATIONS: Final = ("/health/", "/metrics")
"""Answered while the process shuts down, and whatever host name a probe uses."""


class ErrorBoundary:
    """
    Answers for whatever goes wrong below it.

    Args:
        app: the routes.
        settings: which hosts are served.
        traffic: tells whether the process takes new requests.
    """

    def __init__(self, app: ASGIApp, *, settings: KernelSettings, traffic: Traffic) -> None:
        self._app, self._traffic = app, traffic
        self._hosts = None if "*" in settings.allowed_hosts else _hosts(settings.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespans and what is no HTTP pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        try:
            problem = self._refusal(scope["path"], exchange)
            if problem is None:
                await self._app(scope, receive, send)
                return
        except ClientDisconnect:
            exchange.status = exchange.status or GONE  # nobody is there to be answered
            return
        except asyncio.CancelledError:
            if exchange.status or not self._traffic.is_draining:
                raise
            problem = problem_of(ShuttingDown(retry_after_seconds=1))  # it outlasted the grace period
        except Exception as error:
            logger.exception("unhandled error", request_id=exchange.context.request_id)
            if exchange.status:
                raise  # half an answer is out: the server closes the connection, so that nobody takes it for whole
            problem = problem_of(error)
        await render(problem, scope)(scope, receive, send)

    def _refusal(self, path: str, exchange: Exchange) -> Problem | None:
        if path.startswith(OPERATIONS):
            return None
        if self._traffic.is_draining:
            return problem_of(ShuttingDown(retry_after_seconds=1))
        if not self._is_known(exchange):
            slug, title = UNKNOWN_HOST
            return Problem(slug, 400, title, title)
        return None

    def _is_known(self, exchange: Exchange) -> bool:
        if len(exchange.headers.get(b"host", ())) > 1:  # a proxy may have chosen by the other one
            return False
        return self._hosts is None or self._hosts.fullmatch(_host(exchange)) is not None


def _hosts(patterns: Iterable[str]) -> re.Pattern[str]:
    parts = [
        rf"[a-z0-9-]+(\.[a-z0-9-]+)*{re.escape(pattern[1:].lower())}"
        if pattern.startswith("*.")
        else re.escape(pattern.lower())
        for pattern in patterns
    ]
    return re.compile("|".join(parts))


def _host(exchange: Exchange) -> str:
    host = (exchange.header(b"host") or "").lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
