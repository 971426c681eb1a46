"""
Uvicorn's HTTP protocol with little patience for slow clients, and manners at the end; private to the kernel.

Uvicorn has no deadline for headers and no limit on their size: a client that sends one byte a minute would keep a
connection for ever; so would one that never reads its answer. How slowly a *body* may come is the application's
business (`http.bodies`), because only it knows whether anybody waits for it; what is left of a body that nobody wanted
is this module's.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
from typing import Any, Final

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

HEAD_SECONDS: Final = 10.0
"""A request's line and headers have to be complete this long after its first byte, or after connecting; so has the
rest of a body whose request was answered without it."""

LINGER_SECONDS: Final = 1.0
"""A refused client may go on sending for so long, unheard, while it reads why."""

TAKE_SECONDS: Final = 30.0
LEAST_TAKEN_BYTES: Final = 16 * 1024
"""An answer that waits for its client has to be taken at half a kilobyte a second; nginx waits twice as long for any
byte at all. Looked at in long steps, because TCP makes room for some ten kilobytes at once."""

LONGEST_HEAD_BYTES: Final = 64 * 1024


class PatientProtocol(HttpToolsProtocol):
    """One connection, with deadlines for what the application never sees, and limits for the head of a request."""

    _deadline: asyncio.TimerHandle | None = None
    _outlet: _Outlet
    _in_head = False
    _in_body = False
    _is_too_large = False
    _is_ending = False
    _head_bytes = 0
    _taking: asyncio.TimerHandle | None = None
    _untaken_bytes = 0
    _has_resumed = False
    _running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        super().connection_made(transport)
        self._outlet = _Outlet(self, transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._taking is not None:
            self._taking.cancel()
        if self._running is not None:
            # uvicorn tells only the latest of several requests in a row, which may not have begun
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_ending:
            super().data_received(data)
            self._watch(len(data))

    def _watch(self, count: int) -> None:
        if self._is_ending or self.transport.is_closing():
            return
        if not self._in_head:
            if not self._is_leftover:
                self._disarm()
        else:
            # usually a head comes in one piece, and no timer is ever made
            self._head_bytes += count
            if self._head_bytes > LONGEST_HEAD_BYTES:
                self._refuse_head()
            elif self._deadline is None:
                self._arm()

    @property
    def _is_leftover(self) -> bool:
        """Whether what comes now belongs to a body whose request is answered already."""
        return self._in_body and self.cycle.response_complete

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
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._is_ending:
            self.flow.resume_reading()  # what is still sent is thrown away, so that the client gets to our answer
            return
        super().on_response_complete()
        if self._is_leftover and not self.transport.is_closing():
            self._disarm()
            self._arm()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        cycle.transport = self._outlet  # type: ignore[assignment]  # it offers what a cycle uses
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_taking()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._has_resumed = True

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_taking()

    def _watch_taking(self) -> None:
        """Cut the connection off when its client does not take what waits for it; once nothing waits, look no more."""
        if self._taking is None and self.transport.get_write_buffer_size():
            self._untaken_bytes, self._has_resumed = _untaken_bytes(self.transport), False
            self._taking = self.loop.call_later(TAKE_SECONDS, self._look_at_taking)

    def _look_at_taking(self) -> None:
        self._taking = None
        # the application writes again only when most of what it wrote before has left
        has_moved = self._has_resumed or (
            self._untaken_bytes - _untaken_bytes(self.transport) >= LEAST_TAKEN_BYTES
        )
        if has_moved or not self.transport.get_write_buffer_size():
            self._watch_taking()
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        if self._is_too_large:
            self._refuse_head()
        else:
            self._refuse(400, "bad-request", "The request cannot be understood.", "This is no HTTP.")

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
            title = "The request took too long to arrive."
            self._refuse(408, "request-timeout", title, f"Its head was not complete in {HEAD_SECONDS:g} s.")
        else:
            self._close()

    def _refuse_head(self) -> None:
        title = "The headers of the request are too large."
        self._refuse(431, "headers-too-large", title, f"At most {LONGEST_HEAD_BYTES} bytes are read.")

    def _refuse(self, status: int, slug: str, title: str, detail: str) -> None:
        """Answer what never became a request, and close; types and titles are those of `http.problems`."""
        body = orjson.dumps({"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail})
        head = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            head += [name, b": ", value, b"\r\n"]
        head += [
            b"content-type: application/problem+json\r\ncontent-length: ",
            str(len(body)).encode(),
            b"\r\nconnection: close\r\n\r\n",
        ]
        self.transport.write(b"".join(head) + body)
        self._linger()

    def finish(self) -> None:
        """Close after the last answer of this connection."""
        if self._in_body and not self.transport.is_closing():
            self._linger()
        else:
            self._close()

    def _close(self) -> None:
        self.transport.close()
        self._watch_taking()  # closing waits for what is still unwritten

    def _linger(self) -> None:
        # closed with bytes still unread, the connection would be reset and the client never see the answer
        self._is_ending = True
        self._disarm()
        self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self._close)


class _Outlet:
    """What answers are written to: the transport, but closed only when a client that is still sending has read."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, protocol: PatientProtocol, transport: asyncio.Transport) -> None:
        self.write, self.is_closing, self.close = transport.write, transport.is_closing, protocol.finish


def _untaken_bytes(transport: asyncio.Transport) -> int:
    """Return how much was written and is not yet acknowledged, what the operating system holds included."""
    held = 0
    with contextlib.suppress(OSError):  # not every system tells
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        held = int(struct.unpack("i", answer)[0])
    return transport.get_write_buffer_size() + held
