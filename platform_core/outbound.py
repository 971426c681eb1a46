"""
HTTP requests to addresses that somebody else has chosen: never into our own network.

A client that may name an address must not make the platform its messenger to what only the platform can reach: the
loopback, a cloud's metadata, a neighbour's port (server-side request forgery). So the name is resolved here, every
address that it has must be a public one, and the connection goes to that very address, whatever the name says a moment
later. Redirections are answers like any other; nothing follows them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

import h11

from platform_core.errors import OperationError

__all__ = ["ForbiddenAddress", "Outbound", "OutboundAnswer", "OutboundFailed", "is_public"]

_LONGEST_ANSWER_BYTES: Final = 64 * 1024
_PORTS: Final = {"https": 443, "http": 80}
_TRANSLATED: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""IPv4 in the clothes of IPv6 (RFC 6052): what lies behind is not looked into, but refused."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenAddress(OperationError):
    """The address lies inside of a network, or is none that requests are sent to."""


class OutboundFailed(OperationError):
    """There was no answer, or none that could be understood."""


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """
    What the other side answered.

    Attributes:
        headers: lower-case name → value.
        body: its first 64 KiB.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outbound:
    """
    Sends requests, a connection for each.

    Args:
        timeout_seconds: from looking up the name to the end of the answer.
        tls: the system's trusted authorities by default.
    """

    def __init__(self, *, timeout_seconds: float = 10.0, tls: ssl.SSLContext | None = None) -> None:
        self._timeout_seconds, self._tls = timeout_seconds, tls

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, is_trusted: bool = False
    ) -> OutboundAnswer:
        """
        Send a POST and return the answer, whatever its status.

        Args:
            is_trusted: the deployer named the address: it may be a plain or an inner one.

        Raises:
            ForbiddenAddress: nothing was sent there.
            OutboundFailed: nobody answered in time, or not as HTTP.
        """
        target = _target(url, is_trusted=is_trusted)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._exchange(target, headers, body, is_trusted=is_trusted)
        except TimeoutError as error:
            raise OutboundFailed(f"{target.hostname} took longer than {self._timeout_seconds:g} s") from error
        except (OSError, h11.ProtocolError) as error:
            raise OutboundFailed(f"{target.hostname}: {type(error).__name__}: {error}") from error

    async def _exchange(
        self, target: SplitResult, headers: Mapping[str, str], body: bytes, *, is_trusted: bool
    ) -> OutboundAnswer:
        host, port = str(target.hostname), target.port or _PORTS[target.scheme]
        address = await _resolved(host, port, is_trusted=is_trusted)
        is_encrypted = target.scheme == "https"
        tls = (self._tls or ssl.create_default_context()) if is_encrypted else None
        reader, writer = await asyncio.open_connection(
            address, port, ssl=tls, server_hostname=host if is_encrypted else None
        )
        try:
            return await _ask(reader, writer, target, headers, body)
        finally:
            writer.close()
            with contextlib.suppress(OSError):  # a TLS goodbye may fail; everything was said
                await writer.wait_closed()


def is_public(address: IPAddress) -> bool:
    """Tell whether an address is one that anybody can reach, and nobody's inner network."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if inner is not None:
            return is_public(inner)
        if address.sixtofour or address.teredo or any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not address.is_multicast


def _target(url: str, *, is_trusted: bool) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ForbiddenAddress("the address cannot be read") from None
    schemes = ("https", "http") if is_trusted else ("https",)
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise ForbiddenAddress("the address does not begin with https:// and a host")
    if not is_trusted and (parts.username is not None or not url.isascii() or not url.isprintable()):
        raise ForbiddenAddress("the address holds a login, or what belongs into no address")
    return parts


async def _resolved(host: str, port: int, *, is_trusted: bool) -> str:
    """Return one address of a host, all of which have to be public unless the deployer named it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not is_trusted and not all(is_public(ipaddress.ip_address(a.partition("%")[0])) for a in addresses):
        raise ForbiddenAddress(f"{host} is an address inside of a network")
    return addresses[0]


async def _ask(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target: SplitResult,
    headers: Mapping[str, str],
    body: bytes,
) -> OutboundAnswer:
    connection = h11.Connection(our_role=h11.CLIENT)
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    host = target.netloc.rpartition("@")[2]
    framing = {"Host": host, "Content-Length": str(len(body)), "Connection": "close"}
    request = h11.Request(method="POST", target=path, headers=list({**headers, **framing}.items()))
    for part in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    await writer.drain()
    response: h11.Response | None = None
    received = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(16 * 1024))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            received += event.data
        if (
            isinstance(event, h11.EndOfMessage | h11.ConnectionClosed)
            or len(received) > _LONGEST_ANSWER_BYTES
        ):
            break
    if response is None:
        raise OutboundFailed(f"{target.hostname} closed the connection without an answer")
    told = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
    return OutboundAnswer(response.status_code, told, received[:_LONGEST_ANSWER_BYTES])
