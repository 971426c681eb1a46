"""
Uvicorn as the platform runs it: leaves signals alone, has little patience with slow clients; private to the kernel.

Uvicorn has no deadline for headers and no limit on their size: a client that sends one byte a minute would keep a
connection for ever. `_Protocol` adds both.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any, Final

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from platform_core.errors import OperationError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEAD_SECONDS: Final = 10.0
"""A request's line and headers have to be complete this long after its first byte, or after connecting."""

LINGER_SECONDS: Final = 1.0
"""A refused client may go on sending for so long, unheard, while it reads why."""

LONGEST_HEAD_BYTES: Final = 64 * 1024
KEEP_ALIVE_SECONDS: Final = 75
"""Longer than common proxies keep an idle connection (60 s), so that they never write into a closed one."""

BACKLOG_COUNT: Final = 2048


class PortTaken(OperationError):
    """Somebody else listens on that port."""


def bind(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """
    Take a port, without answering on it yet.

    Args:
        port: 0 takes a free one.
        option: what the message tells people to change.

    Raises:
        PortTaken: it is in use.
        OperationError: there is no such address, or ports so low are not for this account.
    """
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, OverflowError) as error:
        raise OperationError(
            f"There is no address {shown} to listen on: {error}. Choose another with --host."
        ) from error
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Port {port} on {host} is taken: another program listens there. "
                f"Stop it, or choose another port with {option}."
            ) from error
        raise OperationError(
            f"{shown} cannot be listened on: {error.strerror}. Choose another address."
        ) from error
    listener.setblocking(False)
    return listener


def http_url(listener: socket.socket) -> str:
    """Return the address at which people on this machine reach a bound socket."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _problem(status: int, title: str, detail: str) -> bytes:
    slug = title.lower().replace(" ", "-")
    return orjson.dumps({"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail})


class HttpServer(uvicorn.Server):
    """
    A uvicorn that leaves signals to its process.

    Args:
        app: its services are running; its lifespan, if any, is the caller's business.
        listener: bound; closed at the end.
    """

    def __init__(self, app: App, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the kernel believes X-Forwarded-For of configured proxies only
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,  # `http.middleware.Traffic` has waited before
            backlog=BACKLOG_COUNT,
        )
        super().__init__(config)
        # from here on clients wait instead of being refused: who is told the address may use it
        listener.listen(BACKLOG_COUNT)
        self._listener = listener

    async def run_until_told(self) -> None:
        """Serve until `stop`."""
        try:
            await self.serve(sockets=[self._listener])
        finally:
            self._listener.close()

    def stop(self) -> None:
        """Close the port and every idle connection; cut off what is still busy a second later."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def uvloop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes a fast event loop, or None where there is none."""
    if sys.platform not in ("linux", "darwin"):
        return None
    import uvloop

    return uvloop.new_event_loop


class _Protocol(HttpToolsProtocol):
    """Uvicorn's protocol with a deadline and a limit for the head of a request."""

    _deadline: asyncio.TimerHandle | None = None
    _in_head = False
    _is_too_large = False
    _is_refused = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_refused:
            super().data_received(data)
            self._watch_head(len(data))

    def _watch_head(self, count: int) -> None:
        if self._is_refused or self.transport.is_closing():
            return
        if not self._in_head:
            self._disarm()
        else:
            # usually a head comes in one piece, and no timer is ever made
            self._head_bytes += count
            if self._head_bytes > LONGEST_HEAD_BYTES:
                self._refuse_head()
            elif self._deadline is None:
                self._arm()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        if (
            len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            > LONGEST_HEAD_BYTES
        ):
            self._is_too_large = True
            raise ValueError("the head is too large")  # the parser turns it into a bad request
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if self._is_too_large:
            self._refuse_head()
        else:
            self._answer_and_close(400, "Bad request", "This is no HTTP request that can be understood.")

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = (
            self.cycle
        )  # None until the first request, whatever uvicorn declares
        if cycle is not None and not cycle.response_complete:
            self._arm()  # an earlier request of this connection is still being answered
        elif self._in_head:
            self._answer_and_close(408, "Request timeout", "The request took too long to arrive.")
        else:
            self.transport.close()

    def _refuse_head(self) -> None:
        self._answer_and_close(431, "Request header fields too large", "The request's headers are too large.")

    def _answer_and_close(self, status: int, title: str, detail: str) -> None:
        body = _problem(status, title, detail)
        head = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            head += [name, b": ", value, b"\r\n"]
        head += [
            b"content-type: application/problem+json\r\ncontent-length: ",
            str(len(body)).encode(),
            b"\r\nconnection: close\r\n\r\n",
        ]
        self.transport.write(b"".join(head) + body)
        # closed with bytes still unread, the connection would be reset and the client never see the answer
        self._is_refused = True
        self._disarm()
        self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.close)
