"""A small HTTP server whose answers a test writes down beforehand, and a browser that reads what is pushed to it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


@dataclass(frozen=True)
class Received:
    """One request; names of headers in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class HttpServer:
    """
    Takes POSTs on loopback.

    Attributes:
        answers: statuses to come; a number of seconds before one is a pause, what is not scripted is 201.
        says: the body of every answer.
        received: every request, also those that are not answered well.
    """

    answers: deque[int | float] = field(default_factory=deque)
    says: bytes = b"{}"
    received: list[Received] = field(default_factory=list)
    accepted: list[Received] = field(default_factory=list)
    headers: str = ""
    _server: asyncio.Server | None = None
    _busy: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def origin(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in self._busy:
                task.cancel()
            await asyncio.gather(*self._busy, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            await self._answer(reader, writer)
        except asyncio.IncompleteReadError:
            pass  # somebody only looked whether anybody is there
        finally:
            self._busy.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        received = Received(line.split(" ")[1], headers, body)
        self.received.append(received)
        status: int | float = 201
        while self.answers:
            status = self.answers.popleft()
            if isinstance(status, int):
                break
            await asyncio.sleep(status)
        if 200 <= status < 300:
            self.accepted.append(received)
        writer.write(
            f"HTTP/1.1 {status} Whatever\r\ncontent-length: {len(self.says)}\r\n{self.headers}\r\n".encode()
            + self.says
        )
        await writer.drain()


@contextlib.asynccontextmanager
async def http_server() -> AsyncIterator[HttpServer]:
    server = HttpServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class Browser:
    """Subscribes to pushes, and reads them as RFC 8291 tells the receiver to; written apart from the sender."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = b"sixteen bytes ok"
        self._public = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def subscription(self) -> dict[str, Any]:
        """What `PushSubscription.toJSON()` gives."""
        keys = {"p256dh": _base64url(self._public), "auth": _base64url(self._auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    def read(self, request: Received) -> dict[str, Any]:
        """Decrypt a message, and insist on everything that a push service and a browser would insist on."""
        assert request.headers["content-encoding"] == "aes128gcm"
        assert int(request.headers["ttl"]) > 0
        assert len(request.headers["topic"]) <= 32
        assert len(request.body) <= 4096
        salt, size, length = request.body[:16], request.body[16:20], request.body[20]
        assert int.from_bytes(size, "big") == 4096
        sender, sealed = request.body[21 : 21 + length], request.body[21 + length :]
        shared = self._key.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        )
        keying = _hkdf(self._auth, shared, b"WebPush: info\0" + self._public + sender, 32)
        key = _hkdf(salt, keying, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _hkdf(salt, keying, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0")
        assert padded[-1] == 2, "the last record"
        message: dict[str, Any] = json.loads(padded[:-1])
        return message


def vapid_claims(request: Received, public_key: str) -> dict[str, Any]:
    """Check the sender's proof as a push service does (RFC 8292), and return its claims."""
    scheme, _, rest = request.headers["authorization"].partition(" ")
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert (scheme, fields["k"]) == ("vapid", public_key)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _decoded(public_key))
    claims: dict[str, Any] = jwt.decode(
        fields["t"],
        key,
        algorithms=["ES256"],
        options={"verify_aud": False, "require": ["aud", "exp", "sub"]},
    )
    return claims


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
