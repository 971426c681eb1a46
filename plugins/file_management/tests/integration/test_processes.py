"""Real processes: a gigabyte that costs no memory, a real tus client, real clamd; faults B40, B42."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any

import httpx2
import psutil
import pytest
from tusclient.client import TusClient

from platform_core.testing import PlatformFactory, RunningPlatform, RunningProcess, RunPlatform
from user_management.testing import Account, essentials, sign_up

MODULES = ["user_management", "file_management"]
MEBIBYTE = 1024 * 1024
PIECE = os.urandom(MEBIBYTE)

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(MODULES, seed=essentials) as running:
        yield running


@pytest.fixture
def server(p: RunningPlatform, run_platform: RunPlatform) -> Iterator[tuple[RunningProcess, str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with run_platform("serve", "--port", str(port), env=p.environment, timeout_seconds=60) as one:
        one.wait_for_url(f"http://127.0.0.1:{port}/health/live", timeout_seconds=60)
        yield one, f"http://127.0.0.1:{port}"


def rss(process: RunningProcess) -> int:
    one = psutil.Process(process.pid)
    return sum(member.memory_info().rss for member in (one, *one.children(recursive=True)))


def body(count: int) -> Iterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
    for _ in range(count):
        yield PIECE
    yield b"\r\n--x--\r\n"


def _left_after(seconds: float, p: RunningPlatform) -> list[Path]:
    """Return what still lies in the storage when it is empty, or the time is over."""
    storage = Path(p.environment["STORAGE_URL"].removeprefix("file://"))
    end = time.monotonic() + seconds
    while True:
        left = [path for path in storage.rglob("*") if path.is_file()]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


async def client_of(p: RunningPlatform, url: str) -> tuple[Account, httpx2.AsyncClient]:
    eve = await sign_up(p, "eve")
    headers = {"Authorization": f"Bearer {eve.access_token}"}
    return eve, httpx2.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=120)


async def test_a_gigabyte_goes_through_a_process_whose_memory_stays_as_it_was(
    p: RunningPlatform, server: tuple[RunningProcess, str]
) -> None:
    process, url = server
    _, client = await client_of(p, url)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}

    async def pieces(count: int) -> AsyncIterator[bytes]:
        for piece in body(count):
            yield piece

    async with client:
        small = await client.post("/files/upload", content=pieces(2), headers=headers)
        assert small.status_code == 201, small.text
        await client.delete(f"/files/{small.json()['id']}")
        measured = [rss(process)]

        async def measure() -> None:
            while True:
                await asyncio.sleep(0.25)
                measured.append(await asyncio.to_thread(rss, process))

        measuring = asyncio.create_task(measure())
        file = await client.post("/files/upload", content=pieces(1000), headers=headers)
        assert file.status_code == 201, file.text
        digest = hashlib.sha256()
        async with client.stream("GET", f"/files/{file.json()['id']}/content") as answer:
            async for piece in answer.aiter_bytes(MEBIBYTE):
                digest.update(piece)
        measuring.cancel()
        assert digest.hexdigest() == file.json()["checksum_sha256"]
    rose_mebibytes = (max(measured) - measured[0]) / MEBIBYTE
    assert rose_mebibytes < 30, rose_mebibytes


async def test_b40_clients_that_leave_in_the_middle_leave_nothing(
    p: RunningPlatform, server: tuple[RunningProcess, str]
) -> None:
    _, url = server
    eve, client = await client_of(p, url)
    port = int(url.rpartition(":")[2])
    head = (
        f"POST /api/v1/files/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {eve.access_token}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 99999999\r\n\r\n"
    ).encode()
    first = next(body(1))
    for _ in range(50):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + first + PIECE + PIECE[:1000])
        await writer.drain()
        writer.transport.abort()
    assert await asyncio.to_thread(_left_after, 20, p) == []
    assert await p.sql("SELECT id FROM file_management.files") == []
    async with client:
        assert (await client.get("/files")).json()["items"] == []


async def test_b42_a_body_that_is_declared_too_large_is_refused_before_it_comes(
    p: RunningPlatform, server: tuple[RunningProcess, str]
) -> None:
    process, url = server
    eve, client = await client_of(p, url)
    head = (
        f"POST /api/v1/files/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {eve.access_token}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5368709120\r\n\r\n"
    ).encode()

    async with client:
        await client.get("/files")
        before = rss(process)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(head)
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()
        assert rss(process) - before < 20 * MEBIBYTE
    assert await asyncio.to_thread(_left_after, 20, p) == []


async def test_a_real_tus_client_uploads_and_goes_on_after_a_crash(
    p: RunningPlatform, server: tuple[RunningProcess, str], tmp_path: Path
) -> None:
    _, url = server
    eve, client = await client_of(p, url)
    film = tmp_path / "film.bin"
    film.write_bytes(PIECE * 5 + b"end")
    tus = TusClient(f"{url}/api/v1/files/uploads", headers={"Authorization": f"Bearer {eve.access_token}"})

    def send() -> str:
        with film.open("rb") as source:
            return parts(source)

    def parts(source: IO[bytes]) -> str:
        options: dict[str, Any] = {"chunk_size": 2 * MEBIBYTE, "upload_checksum": True}
        uploader: Any = tus.uploader(file_stream=source, metadata={"filename": "film.bin"}, **options)
        uploader.upload_chunk()
        again: Any = tus.uploader(file_stream=source, url=uploader.url, **options)
        assert again.offset == 2 * MEBIBYTE, "the server knows how far it was"
        again.upload()
        return str(again.url)

    location = await asyncio.to_thread(send)
    async with client:
        upload = (await client.get(location)).json()
        content = await client.get(f"/files/{upload['file_id']}/content")
    assert content.content == film.read_bytes()
