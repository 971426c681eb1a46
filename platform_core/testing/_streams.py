"""Reading an answer that goes on and on; private to the test kit, published as `listening`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from platform_core.testing._platform import RunningPlatform


@dataclass(frozen=True)
class StreamedEvent:
    """One server-sent event, as a browser would see it."""

    id: str
    name: str
    data: str


@dataclass
class EventStream:
    """
    An answer of server-sent events, read while it is written; made by `listening`.

    Attributes:
        status: of the answer.
        headers: lower-case name → value.
        has_ended: whether the platform has ended it in order.
        spoken: everything that came so far, heartbeats too.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    has_ended: bool = False
    spoken: str = ""
    _text: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    _rest: str = ""

    async def next(self, seconds: float = 10.0) -> StreamedEvent:
        """
        Return the next event.

        Raises:
            TimeoutError: there was none in time.
            EOFError: the stream has ended.
        """
        async with asyncio.timeout(seconds):
            while True:
                while "\n\n" not in self._rest:
                    text = await self._text.get()
                    if text is None:
                        raise EOFError("the stream has ended")
                    self._rest += text
                block, _, self._rest = self._rest.partition("\n\n")
                fields = [line.partition(": ")[::2] for line in block.split("\n")]
                if any(name == "data" for name, _ in fields):
                    named = dict(fields)
                    data = "\n".join(value for name, value in fields if name == "data")
                    return StreamedEvent(named.get("id", ""), named.get("event", "message"), data)

    async def end(self, seconds: float = 10.0) -> None:
        """Wait until the platform ends the stream; what comes before is passed over."""
        with contextlib.suppress(EOFError):
            async with asyncio.timeout(seconds):
                while True:
                    await self.next(seconds)

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        text = message.get("body", b"").decode()
        self.spoken += text
        self._text.put_nowait(text)
        if not message.get("more_body", False):
            self.has_ended = True
            self._text.put_nowait(None)


@contextlib.asynccontextmanager
async def listening(
    p: RunningPlatform, path: str, headers: Mapping[str, str], *, takes: asyncio.Event | None = None
) -> AsyncIterator[EventStream]:
    """
    Read server-sent events for the length of the block, and leave then as a client does that closes its connection.

    Args:
        path: `/api/v1/notifications/stream`.
        headers: sent with the request: `account.client.headers`.
        takes: while it is not set, the client does not read.

    Example:
        async with listening(p, "/api/v1/notifications/stream", eve.client.headers) as stream:
            await announce(p, eve.id)
            event = await stream.next()
    """
    stream, leaving = EventStream(), asyncio.Event()
    began = asyncio.Event()
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Mapping[str, Any]:
        if messages:
            return messages.pop()
        await leaving.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if takes is not None:
            await takes.wait()
        await stream._send(message)
        began.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path.partition("?")[0],
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": [
            (b"host", b"testserver"),
            *((k.lower().encode(), v.encode()) for k, v in headers.items()),
        ],
        "client": ("127.0.0.1", 50_000),
        "server": ("testserver", 443),
    }
    serving = asyncio.create_task(p.app(scope, receive, send), name=f"stream {path}")
    try:
        if takes is None:
            await asyncio.wait(
                [serving, asyncio.create_task(began.wait())], return_when=asyncio.FIRST_COMPLETED
            )
        yield stream
    finally:
        leaving.set()
        await asyncio.wait([serving], timeout=15)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
