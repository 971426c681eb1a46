"""A thousand clients that say nothing, or say it slowly, cost the others nothing (B41); against a real process."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from platform_core.testing import PlatformFactory, RunningPlatform, run_process

pytestmark = pytest.mark.processes

COUNT = 1000
PATH = "/api/v1/users/register"
SLOW = {
    "idle": b"",
    "head": b"GET / HTTP/1.1\r\nhost: a\r\nx: y",
    "body": f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n".encode()
    + b'content-length: 900\r\n\r\n{"email": "',
}
CUT_OFF_SECONDS = 10
LARGEST_GROWTH_BYTES = 60 * 1024 * 1024
"""Of the process, with a thousand connections and requests at once; 60 KiB each."""


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


async def p95_seconds(port: int, count: int = 200) -> float:
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


async def opened(port: int, said: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    return reader, writer


async def test_a_thousand_slow_clients_of_each_kind_leave_the_others_alone_and_are_cut_off(
    p: RunningPlatform,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    variables = {
        **p.environment,
        "PLATFORM_RATE_LIMIT_ANONYMOUS": "1000000/minute",
        "PLATFORM_RATE_LIMIT_SIGNUP": "1000000/minute",
    }
    with run_process(["platform", "serve", "--port", str(port)], env=variables, ready="serving") as serve:
        await asyncio.to_thread(serve.wait_for_url, f"http://127.0.0.1:{port}/health/ready")
        await p95_seconds(port)
        for kind, said in SLOW.items():
            alone = await p95_seconds(port)
            before = resident_bytes(serve.pid)
            clients = await asyncio.gather(*(opened(port, said) for _ in range(COUNT)))
            begun = time.monotonic()
            among = await p95_seconds(port)
            assert resident_bytes(serve.pid) - before < LARGEST_GROWTH_BYTES, kind
            # this machine may be busy with something else for a moment
            assert among < 2 * alone + 0.01, (kind, alone, among)
            async with asyncio.timeout(CUT_OFF_SECONDS + 10 - (time.monotonic() - begun)):
                answers = {(await reader.read())[9:12] for reader, _ in clients}
            assert answers == ({b""} if kind == "idle" else {b"408"})
            for _, writer in clients:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
