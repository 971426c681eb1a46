"""Requests to addresses that somebody else has chosen: never into our own network (row C71)."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from platform_core.outbound import ForbiddenAddress, Outbound, OutboundFailed, is_public


@pytest.fixture
async def hits() -> AsyncIterator[list[int]]:
    """Listen on loopback, and count who comes; its port is the first entry."""
    found: list[int] = []

    async def hit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.append(1)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hit, "127.0.0.1", 0)
    found.append(server.sockets[0].getsockname()[1])
    yield found
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:{port}/",
        "https://[::1]:{port}/",
        "https://[::ffff:127.0.0.1]:{port}/",
        "https://0:{port}/",
        "https://2130706433:{port}/",
        "https://0x7f.1:{port}/",
        "https://localhost:{port}/",
        "https://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:{port}/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
        "https://user:pw@127.0.0.1:{port}/",  # pragma: allowlist secret
        "https://",
        "https://[",
        "https://127.0.0.1:{port}/\r\nX-Injected: 1",
    ],
)
async def test_nobody_gets_into_our_own_network(hits: list[int], url: str) -> None:
    with pytest.raises((ForbiddenAddress, OutboundFailed)):
        await Outbound(timeout_seconds=5).post(url.format(port=hits[0]), headers={}, body=b"")
    assert len(hits) == 1


async def test_a_name_that_has_an_inner_address_too_is_refused(
    hits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server may answer whatever its owner wants, and something else a moment later."""
    loop = asyncio.get_running_loop()

    async def resolve(*_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, hits[0]))
            for address in ("8.8.8.8", "127.0.0.1")
        ]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    with pytest.raises(ForbiddenAddress):
        await Outbound().post("https://rebind.example.com/", headers={}, body=b"")
    assert len(hits) == 1


async def test_what_the_deployer_names_may_lie_inside(hits: list[int]) -> None:
    answer = await Outbound().post(
        f"http://127.0.0.1:{hits[0]}/", headers={"A": "b"}, body=b"x", is_trusted=True
    )
    assert (answer.status, len(hits)) == (204, 2)


@pytest.mark.parametrize(
    "answer", [b"", b"no http at all\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"]
)
async def test_an_answer_that_is_none_is_a_failure_and_no_surprise(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(OutboundFailed):
        await Outbound(timeout_seconds=2).post(
            f"http://127.0.0.1:{port}/", headers={}, body=b"", is_trusted=True
        )
    server.close()
    await server.wait_closed()


async def test_an_endless_answer_is_read_no_further_than_needed() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            pass
        finally:  # also where the test ends before the server has noticed
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answer = await Outbound(timeout_seconds=5).post(
        f"http://127.0.0.1:{port}/", headers={}, body=b"", is_trusted=True
    )
    assert len(answer.body) == 64 * 1024
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("192.0.2.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("::", False),
    ],
)
def test_public_is_what_anybody_can_reach(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public
