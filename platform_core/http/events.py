"""
Server-sent events: an answer that goes on for as long as somebody listens and may.

    @router.get("/news/stream", response_class=Response, responses=EVENT_STREAM)
    async def stream(ask: Ask) -> Response:
        return event_stream(await ask(FollowNews()))  # an async generator of `ServerSentEvent`

The kernel keeps the connection alive, and ends the stream in order when the process shuts down, when the session is
revoked or its token ends. A client that does not read is dropped: events are made one at a time, when the one before
was taken, so nothing piles up. It continues where it was with the next connection (`Last-Event-ID`).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from platform_core.http.exchange import current_exchange

__all__ = ["EVENT_STREAM", "ServerSentEvent", "event_stream"]

logger = structlog.get_logger("platform_core.http")

EVENT_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Events as they come.", "content": {"text/event-stream": {}}}
}
"""What a route says about such an answer."""

_LOOK_SECONDS: Final = 1.0
"""How often a silent stream asks itself whether it may go on."""

_HEARTBEAT_SECONDS: Final = 15.0
"""Less than the idle time-outs of common proxies."""

_SLOW_SECONDS: Final = 10.0
"""A client that has not taken an event after this is dropped."""

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_RECONNECT: Final = b"retry: 2000\n\n"
_HEARTBEAT: Final = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """
    One event.

    Attributes:
        id: what the client sends as `Last-Event-ID` when it comes back; one line.
        name: of the sort of event; one line.
        data: any text.
    """

    id: str
    name: str
    data: str

    def encode(self) -> bytes:
        """Return it as it is sent (HTML standard, 9.2.6)."""
        lines = "".join(f"data: {line}\n" for line in _LINE_END.split(self.data))
        return f"id: {self.id}\nevent: {self.name}\n{lines}\n".encode()


def event_stream(events: AsyncGenerator[ServerSentEvent, None]) -> Response:
    """
    Answer the running request with events.

    Args:
        events: asked for the next event when the one before was taken; closed at the end. It should hold no connection
            while it waits.
    """
    return _EventStream(events)


class _EventStream(Response):
    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[ServerSentEvent, None]) -> None:
        self._events = events
        self._spoke_at = 0.0
        self.status_code, self.background = 200, None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = current_exchange()
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(self._events):
            if not exchange.is_head:
                assert exchange.route is not None  # noqa: S101  # a route is answering
                gone = asyncio.create_task(_gone(receive), name="client gone")
                try:
                    await self._speak(send, _RECONNECT)
                    await self._go_on(send, gone, exchange.route.vigil(exchange))
                finally:
                    gone.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _go_on(self, send: Send, gone: asyncio.Task[None], may: Callable[[], Awaitable[bool]]) -> None:
        following = self._next()
        try:
            while True:
                await asyncio.wait(
                    [following, gone], timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if gone.done() or not await may():
                    return
                if following.done():
                    event = following.result()
                    if event is None:
                        return
                    await self._speak(send, event.encode())
                    following = self._next()
                elif time.monotonic() - self._spoke_at >= _HEARTBEAT_SECONDS:
                    await self._speak(send, _HEARTBEAT)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    def _next(self) -> asyncio.Task[ServerSentEvent | None]:
        async def next_event() -> ServerSentEvent | None:
            return await anext(self._events, None)

        return asyncio.create_task(next_event(), name="next event")

    async def _speak(self, send: Send, words: bytes) -> None:
        try:
            async with asyncio.timeout(_SLOW_SECONDS):
                await send({"type": "http.response.body", "body": words, "more_body": True})
        except TimeoutError as error:
            logger.info("a client that does not read its events was dropped")
            raise ClientDisconnect from error
        self._spoke_at = time.monotonic()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # what is left of a body nobody wants
