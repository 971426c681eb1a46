"""The HTTP server's patience: heads that come slowly or are too large, bodies that nobody wants (B41, B42, E23)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from platform_core import _http_protocol
from platform_core._http_server import HttpServer, PortTaken, bind, http_url
from platform_core.http.problems import Catalogue

PIECE = b"x" * 32 * 1024
LARGE = {
    "/large": (800, []),
    "/last-large": (800, [(b"connection", b"close")]),
    "/last-small": (1, [(b"connection", b"close")]),
}
"""So many pieces; 800 are more than the operating systems of both sides hold for a client that does not read."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    if scope["path"] in LARGE:
        count, headers = LARGE[scope["path"]]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(count):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body"})
        return
    headers = [(b"content-length", b"2")]
    if scope["path"] == "/last":
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.asynccontextmanager
async def serving(*, held_bytes: int | None = None) -> AsyncIterator[HttpServer]:
    """Serve; the operating system holds at most `held_bytes` of what is written, or much more by itself."""
    listener = bind("127.0.0.1", 0)
    if held_bytes is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, held_bytes)
    server = HttpServer(app, listener)
    running = asyncio.create_task(server.run_until_told())
    while not server.started:  # noqa: ASYNC110  # uvicorn offers nothing to wait for
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.stop()
        await running


def port_of(server: HttpServer) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpServer]:
    monkeypatch.setattr(_http_protocol, "HEAD_SECONDS", 0.3)
    async with serving() as one:
        yield one


@pytest.fixture
def port(server: HttpServer) -> int:
    return port_of(server)


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def everything(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.read()


def problem_type(answer: bytes) -> str:
    """Return the type of a problem that the server itself told, which is one that `/problems/…` explains."""
    head, _, body = answer.partition(b"\r\n\r\n")
    told = json.loads(body)
    kind: str = told["type"]
    known = Catalogue().find(kind.removeprefix("/problems/"))
    assert known is not None
    assert (known.title, known.status) == (told["title"], told["status"])
    assert b"content-type: application/problem+json" in head
    return kind


async def test_answers_name_no_server(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        head = await everything(reader)
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"\r\nserver:" not in head.lower()


async def test_connection_that_says_nothing_is_closed(port: int) -> None:
    async with connected(port) as (reader, _writer):
        assert await everything(reader) == b""


async def test_head_that_comes_byte_by_byte_is_cut_off(port: int) -> None:
    async with connected(port) as (reader, writer):
        dripping = asyncio.create_task(drip(writer, b"GET / HTTP/1.1\r\nx: " + b"y" * 1000))
        assert problem_type(await everything(reader)) == "/problems/request-timeout"
        dripping.cancel()


async def test_slow_second_head_on_a_kept_connection_is_cut_off_too(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.5)  # idle between requests is fine
        writer.write(b"GET / HT")
        assert b"408 Request Timeout" in await everything(reader)


async def test_answer_that_takes_longer_than_a_head_may_is_not_cut_off(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\nGET / HT")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


async def drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)


async def test_rest_of_a_body_that_nobody_wanted_is_not_waited_for(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n")
        dripping = asyncio.create_task(drip(writer, b"y" * 1000))
        assert (await everything(reader)).endswith(b"ok")
        dripping.cancel()


async def test_rest_of_a_body_that_comes_soon_keeps_the_connection(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.write(b"yyyyy")
        await asyncio.sleep(0.5)  # longer than the rest of a body may take
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


async def test_client_that_is_still_sending_can_read_the_last_answer(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"POST /last HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n")
        for _ in range(20):  # closed at once, the connection would be reset by the second piece
            writer.write(b"y" * 100_000)
            await writer.drain()
            await asyncio.sleep(0.02)
        assert (await everything(reader)).endswith(b"ok")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at what clients take every 0.4 s."""
    monkeypatch.setattr(_http_protocol, "TAKE_SECONDS", 0.4)


@contextlib.contextmanager
def deaf(server: HttpServer, path: str) -> Iterator[socket.socket]:
    """A client that asks and reads nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port_of(server)))
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        yield client


async def nothing_left(server: HttpServer) -> None:
    """Wait until no connection is held, and no request at work."""
    async with asyncio.timeout(5):
        while server.server_state.connections or server.server_state.tasks:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("path", ["/large", "/last-large"])
async def test_client_that_never_reads_its_answer_is_cut_off(
    server: HttpServer, hasty: None, path: str
) -> None:
    with deaf(server, path):
        await asyncio.sleep(0.2)
        assert len(server.server_state.tasks) == 1
        await nothing_left(server)


async def test_client_that_leaves_with_requests_in_a_row_is_missed_by_the_one_at_work(
    server: HttpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with deaf(server, "/large") as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 3)
        await asyncio.sleep(0.2)
    await nothing_left(server)
    assert caplog.records == []


async def test_end_of_an_answer_that_nobody_reads_does_not_keep_the_connection(hasty: None) -> None:
    """Closing waits for what is still to be written, which may be too little for anybody to wait before."""
    async with serving(held_bytes=4096) as server:
        with deaf(server, "/last-small"):
            await asyncio.sleep(0.2)
            assert len(server.server_state.connections) == 1
            assert not server.server_state.tasks
            await nothing_left(server)


async def test_client_that_reads_slowly_but_steadily_gets_all_of_it(port: int, hasty: None) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET /last-large HTTP/1.1\r\nhost: a\r\n\r\n")
        count = 0
        while piece := await reader.read(128 * 1024):
            count += len(piece)
            await asyncio.sleep(0.01)
        assert count > 800 * len(PIECE)


@pytest.mark.parametrize("pieces", [1, 50])
async def test_head_that_is_too_large_is_431(port: int, pieces: int) -> None:
    async with connected(port) as (reader, writer):
        head = b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 100_000 + b"\r\n\r\n"
        size = -(-len(head) // pieces)
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(head), size):
                writer.write(head[start : start + size])
                await writer.drain()
        answer = await everything(reader)
        assert b" 431 " in answer
        assert problem_type(answer) == "/problems/headers-too-large"


async def test_what_is_no_http_is_a_problem_document(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"hello there\r\n\r\n")
        answer = await everything(reader)
        assert answer.startswith(b"HTTP/1.1 400")
        assert problem_type(answer) == "/problems/bad-request"


async def test_taken_port_is_an_error_of_its_own() -> None:
    async with serving() as server:
        port = port_of(server)
        with pytest.raises(PortTaken, match=f"Port {port} on 127.0.0.1 is taken.*--port"):
            bind("127.0.0.1", port)


def test_addresses_are_shown_so_that_people_can_click_them() -> None:
    for host, shown in (("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:")):  # noqa: S104  # closed at once
        with bind(host, 0) as listener:
            assert http_url(listener).startswith(shown)
