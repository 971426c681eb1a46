"""Clients that say nothing, say it slowly, or never listen cost the others nothing (B41); against a real process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from platform_core._http_protocol import TAKE_SECONDS
from platform_core.testing import PlatformFactory, RunningPlatform, RunPlatform, eventually

pytestmark = [pytest.mark.processes, pytest.mark.long]

COUNT = 1000
PATH = "/api/v1/users/register"
SLOW = {
    "idle": b"",
    "head": b"GET / HTTP/1.1\r\nhost: a\r\nx: y",
    "body": f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n".encode()
    + b'content-length: 900\r\n\r\n{"email": "',
}
CUT_OFF_SECONDS = 10
LARGEST_GROWTH_BYTES = 40 * 1024 * 1024
"""Of the process, with a thousand connections and requests at once; 40 KiB each."""


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(modules=["user_management"]) as running:
        yield running


@pytest.fixture(autouse=True)
def _enough_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * COUNT)), hard))


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


async def p95_seconds(port: int) -> float:
    """Return the best of three rounds, as a machine that is busy with something else for a moment proves nothing."""
    return min([await one_round(port) for _ in range(3)])


async def one_round(port: int, count: int = 150) -> float:
    """Ask for something on one kept connection, again and again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        writer.write(b"GET /api/v1/users/me HTTP/1.1\r\nhost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401")
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
    writer.close()
    return statistics.quantiles(taken, n=20)[-1]


@contextlib.asynccontextmanager
async def a_thousand(port: int, said: bytes) -> AsyncIterator[list[asyncio.StreamReader]]:
    clients = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(COUNT)))
    try:
        for _, writer in clients:
            writer.write(said)
        yield [reader for reader, _ in clients]
    finally:
        for _, writer in clients:
            writer.transport.abort()


async def test_a_thousand_slow_clients_of_each_kind_leave_the_others_alone_and_are_cut_off(
    p: RunningPlatform, run_platform: RunPlatform
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    variables = {
        **p.environment,
        "PLATFORM_RATE_LIMIT_ANONYMOUS": "1000000/minute",
        "PLATFORM_RATE_LIMIT_SIGNUP": "1000000/minute",
    }
    with run_platform("serve", "--port", str(port), env=variables, ready="serving") as serve:
        await asyncio.to_thread(serve.wait_for_url, f"http://127.0.0.1:{port}/health/ready")
        await one_round(port)
        for kind, said in SLOW.items():
            alone = await p95_seconds(port)
            before = resident_bytes(serve.pid)
            async with asyncio.timeout(CUT_OFF_SECONDS + 20), a_thousand(port, said) as clients:
                among = await p95_seconds(port)
                growth = resident_bytes(serve.pid) - before
                answers = {(await reader.read())[9:12] for reader in clients}
            print(f"{kind}: p95 {alone * 1000:.1f} → {among * 1000:.1f} ms, {growth / 1024 / 1024:.1f} MiB")
            assert answers == ({b""} if kind == "idle" else {b"408"})
            assert growth < LARGEST_GROWTH_BYTES, kind
            # double is the most that was ever seen; what costs by the client costs hundreds of times as much
            assert among < 5 * alone + 0.02, (kind, alone, among)


async def test_clients_that_never_read_their_answers_are_cut_off(
    p: RunningPlatform, run_platform: RunPlatform
) -> None:
    """Red without the look at what clients take: their connections stay for as long as they like."""
    environment = {**p.environment, "PLATFORM_RATE_LIMIT_ANONYMOUS": "1000000/minute"}
    with run_platform("serve", "--port", "0", env=environment) as serve:
        port = int((await asyncio.to_thread(serve.wait_for_line, r"http://127\.0\.0\.1:(\d+)"))[1])
        await asyncio.to_thread(serve.wait_for_url, f"http://127.0.0.1:{port}/health/ready")
        await one_round(port, count=10)
        before = open_files_count(serve.pid)
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                client = stack.enter_context(socket.socket())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(("127.0.0.1", port))
                client.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n" * 100)
            await eventually(lambda: enough(open_files_count(serve.pid) > before + 15), within_seconds=10)
            took = await eventually(
                lambda: enough(open_files_count(serve.pid) < before + 5), within_seconds=2 * TAKE_SECONDS + 10
            )
            assert took > TAKE_SECONDS / 2
        assert await asyncio.to_thread(serve.terminate) == 0


async def enough(is_enough: bool) -> bool:
    return is_enough


def open_files_count(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
