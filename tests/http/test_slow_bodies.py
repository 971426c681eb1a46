"""How slowly a body may come (B41): a rate with a grace, so that what is large may take its time; over real sockets."""

import asyncio
import contextlib
import json
import time

import pytest
from starlette.requests import Request

from platform_core._http_server import HttpServer, bind
from platform_core.http.bodies import LimitedRequest, Pace
from platform_core.http.problems import RequestTimeout

GRACE_SECONDS = 0.5
RATE = 2000


@pytest.fixture
async def port(build):
    rig = await build(
        PLATFORM_BODY_GRACE_SECONDS=str(GRACE_SECONDS),
        PLATFORM_MIN_BODY_BYTES_PER_SECOND=str(RATE),
        PLATFORM_CORS_ORIGINS="https://app.test",
    )
    listener = bind("127.0.0.1", 0)
    number = listener.getsockname()[1]
    server = HttpServer(rig.app, listener)
    running = asyncio.create_task(server.run_until_told())
    while not server.started:  # noqa: ASYNC110  # uvicorn offers nothing to wait for
        await asyncio.sleep(0.01)
    try:
        yield number
    finally:
        server.stop()
        await running


class Client:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def begin(self, path, content_type="application/json", length=1000):
        head = f"POST /api/v1{path} HTTP/1.1\r\nhost: a\r\norigin: https://app.test\r\ncontent-type: {content_type}\r\n"
        framing = f"content-length: {length}" if length else "transfer-encoding: chunked"
        self.writer.write(f"{head}{framing}\r\n\r\n".encode())

    async def drip(self, data, pause, size=1):
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(data), size):
                self.writer.write(data[start : start + size])
                await self.writer.drain()
                await asyncio.sleep(pause)

    async def answer(self):
        """Read until the server closes, and return status, headers and body."""
        async with asyncio.timeout(10):
            head, _, body = (await self.reader.read()).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), json.loads(body)


@contextlib.asynccontextmanager
async def connected(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("length", [1000, None])
async def test_a_body_that_does_not_come_is_408_and_the_connection_is_closed(port, content_type, length):
    path = "/upload" if content_type.startswith("multipart") else "/deep"
    async with connected(port) as client:
        began = time.monotonic()
        client.begin(path, content_type, length)
        status, headers, problem = await client.answer()
    assert GRACE_SECONDS <= time.monotonic() - began < GRACE_SECONDS + 4
    assert status == problem["status"] == 408
    assert problem["type"] == "/problems/request-timeout"
    assert problem["request_id"] == headers["x-request-id"]
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["access-control-allow-origin"] == "https://app.test"


@pytest.mark.parametrize("data", [b"y" * 1000, b"1;ext\r\ny\r\n" * 100])
async def test_a_body_that_comes_byte_by_byte_is_cut_off_at_the_end_of_the_grace(port, data):
    async with connected(port) as client:
        began = time.monotonic()
        client.begin("/deep", length=None if b"ext" in data else len(data))
        dripping = asyncio.create_task(client.drip(data, 0.05))
        status, _, _ = await client.answer()
        dripping.cancel()
    assert status == 408
    assert time.monotonic() - began < GRACE_SECONDS + 4


async def test_what_flows_may_take_many_times_the_grace(port):
    head = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    data = head + b"y" * 4000 + b"\r\n--x--\r\n"
    async with connected(port) as client:
        began = time.monotonic()
        client.begin("/upload", "multipart/form-data; boundary=x", len(data))
        await client.drip(data, 0.1, size=250)  # somewhat faster than it must be
        answer = await client.reader.readuntil(b"}")
    assert time.monotonic() - began > 3 * GRACE_SECONDS
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b'{"name":"a","size":4000}')


async def test_haste_at_the_beginning_buys_no_time_for_later(port):
    async with connected(port) as client:
        client.begin("/deep", length=20_000)
        client.writer.write(b" " * 10_000)  # the average stays above the rate for 5 s
        began = time.monotonic()
        status, _, _ = await client.answer()
    assert status == 408
    assert time.monotonic() - began < GRACE_SECONDS + 4


async def test_the_time_that_the_application_takes_is_not_the_clients():
    pieces = [{"type": "http.request", "body": b"y", "more_body": more} for more in (True, True, False)]

    async def receive():
        return pieces.pop(0)

    request = LimitedRequest(Request({"type": "http"}, receive), 10, Pace(0.05, RATE))
    received = b""
    async for piece in request.stream():
        received += piece
        await asyncio.sleep(0.1)  # a scanner, a full disk
    assert received == b"yyy"


async def test_the_wait_for_the_clients_leaving_has_no_end():
    waiting = asyncio.Event()

    async def receive():
        if not waiting.is_set():
            waiting.set()
            return {"type": "http.request", "body": b"y", "more_body": False}
        await asyncio.sleep(0.2)
        return {"type": "http.disconnect"}

    request = LimitedRequest(Request({"type": "http"}, receive), 10, Pace(0.05, RATE))
    assert await request.body() == b"y"
    assert (await request.receive())["type"] == "http.disconnect"


async def test_an_endpoint_that_reads_the_body_itself_hears_of_it_as_an_error():
    async def receive():
        await asyncio.sleep(10)

    request = LimitedRequest(Request({"type": "http"}, receive), 10, Pace(0.05, RATE))
    with pytest.raises(RequestTimeout, match="2000 bytes a second"):
        await request.body()
