"""Uvicorn as the platform runs it: signals are the process's, draining is the application's; private to the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any, Final

import uvicorn

from platform_core._http_protocol import PatientProtocol
from platform_core.errors import OperationError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

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
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the kernel believes X-Forwarded-For of configured proxies only
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,  # `http.traffic.Traffic` has waited before
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
