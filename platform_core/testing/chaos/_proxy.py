"""
A TCP proxy of ours before a server: it delays, swallows, resets and cuts what passes; private to the test kit.

    platform's processes ──► 127.0.0.1:port ──► server (a port or a Unix socket)

It runs in a thread with an event loop of its own, so that a test that is busy does not slow it down.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

R = TypeVar("R")

_CHUNK_BYTES = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: a host and port, or the path of a Unix socket."""

    host: str = "127.0.0.1"
    port: int = 0
    path: str | None = None

    @classmethod
    def of(cls, url: str) -> Address:
        """Return where the server of a `DATABASE_URL` or `REDIS_URL` listens."""
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return cls(path=parts.path)
        if parts.scheme.startswith("postgres"):
            directory = parse_qs(parts.query).get("host", [""])[0]
            port = parts.port or 5432
            return (
                cls(path=f"{directory}/.s.PGSQL.{port}")
                if directory
                else cls(parts.hostname or "127.0.0.1", port)
            )
        return cls(parts.hostname or "127.0.0.1", parts.port or 6379)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.path is not None:
            return await asyncio.open_unix_connection(self.path)
        return await asyncio.open_connection(self.host, self.port)


def through(url: str, port: int) -> str:
    """Return `url` with the proxy's address in place of the server's; database, user and password stay."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    if parts.scheme.startswith("postgres"):
        return f"{parts.scheme}://{login}{at}127.0.0.1:{port}{parts.path}?sslmode=disable"
    number = parse_qs(parts.query).get("db", ["0"])[0] if parts.scheme == "unix" else parts.path.strip("/")
    return f"redis://{login}{at}127.0.0.1:{port}/{number}"


class Proxy:
    """
    One proxy before one server; every method takes effect at once and for connections that are open, too.

    Attributes:
        port: where it listens on the loopback.

    Example:
        with proxy(Address.of(redis_url)) as before_redis:
            before_redis.black_hole()
    """

    def __init__(self, target: Address) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._pairs: set[_Pair] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay_seconds = 0.0
        self._is_refusing = False
        self.port = 0

    def delay(self, seconds: float) -> None:
        """Hand on each piece so much later, in both directions."""
        self._delay_seconds = seconds

    def black_hole(self) -> None:
        """Take connections and bytes, and hand on nothing."""
        self._do(self._flowing.clear)

    def reset(self) -> None:
        """Reset (RST) every open connection, on both sides."""
        self._do(self._reset_all)

    def refuse(self) -> None:
        """Reset every open connection and whoever tries to connect, as if nobody listened."""
        self._is_refusing = True
        self.reset()

    def cut_after(self, count: int) -> None:
        """Let each open connection receive so many more bytes, then reset it: answers end in the middle."""

        def limit() -> None:
            for pair in self._pairs:
                pair.bytes_left = count

        self._do(limit)

    def heal(self) -> None:
        """Be a wire again; what a black hole holds goes on."""
        self._delay_seconds, self._is_refusing = 0.0, False
        self._do(self._flowing.set)

    @property
    def connections_count(self) -> int:
        """How many connections are open."""
        return len(self._pairs)

    # ── its thread ───────────────────────────────────────────────────────────────────────────────

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        server.close()
        self._reset_all()
        # whoever was let in a moment ago becomes a task only now, hence again and again until nobody is left
        while tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(
            asyncio.sleep(0)
        )  # transports close their sockets in the loop's next round
        self._loop.close()

    def _do(self, act: Callable[[], object]) -> None:
        done = threading.Event()

        def acting() -> None:
            act()
            done.set()

        self._loop.call_soon_threadsafe(acting)
        done.wait(10)

    def _reset_all(self) -> None:
        for pair in list(self._pairs):
            pair.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):  # nobody listens behind, or the proxy ends
            _reset(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_refusing:
            raise ConnectionRefusedError
        await self._flowing.wait()
        behind_reader, behind_writer = await self._target.connect()
        pair = _Pair(writer, behind_writer)
        self._pairs.add(pair)
        pumps = [
            asyncio.ensure_future(self._pump(pair, reader, behind_writer, is_answer=False)),
            asyncio.ensure_future(self._pump(pair, behind_reader, writer, is_answer=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pairs.discard(pair)
            for pump in pumps:
                pump.cancel()
            for side in (writer, behind_writer):
                side.close()

    async def _pump(
        self, pair: _Pair, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK_BYTES):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                await self._flowing.wait()
                if is_answer and pair.bytes_left is not None:
                    data, pair.bytes_left = data[: pair.bytes_left], max(0, pair.bytes_left - len(data))
                sink.write(data)
                await sink.drain()
                if is_answer and pair.bytes_left == 0:
                    pair.reset()
                    return


@dataclass(eq=False, slots=True)
class _Pair:
    """The two sides of one connection."""

    front: asyncio.StreamWriter
    behind: asyncio.StreamWriter
    bytes_left: int | None = None

    def reset(self) -> None:
        _reset(self.front)
        _reset(self.behind)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST where the transport is TCP: what was written and not yet sent is gone, too."""
    wire: socket.socket | None = writer.get_extra_info("socket")
    if wire is not None and wire.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


@contextlib.contextmanager
def proxy(target: Address) -> Iterator[Proxy]:
    """Run a proxy before `target` for the length of the block."""
    running, started = Proxy(target), threading.Event()
    thread = threading.Thread(target=running._run, args=(started,), name="proxy", daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield running
    finally:
        running._loop.call_soon_threadsafe(running._loop.stop)
        thread.join(10)
