"""Asking clamd: content goes over by INSTREAM (clamd(8)), and only an explicit OK is clean."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
import urllib.parse
from collections.abc import AsyncIterator
from typing import Final

from file_management.hookspecs import CLEAN, ScannerAway, Verdict
from platform_core.ports import Draft
from platform_core.settings import KernelSettings

_CLEAN: Final = b"stream: OK"
_FOUND: Final = re.compile(rb"stream: (.{1,200}) FOUND")
_CONNECT_SECONDS: Final = 2.0
_ANSWER_BYTES: Final = 4096


class ClamdScanner:
    """
    One clamd, reached over a socket; each content is a connection of its own.

    Args:
        url: `unix:///run/clamav/clamd.ctl`, or `tcp://host:3310` in a network that nobody else is in: clamd knows no
            passwords.
    """

    def __init__(self, url: str) -> None:
        self._url = urllib.parse.urlsplit(url)
        if self._url.scheme not in ("unix", "tcp"):
            raise ValueError(
                "PLATFORM_CLAMD_URL is no address such as unix:///run/clamav/clamd.ctl or tcp://host:3310"
            )

    async def scan(self, content: Draft) -> Verdict:
        async with self._connected() as (reader, writer):
            answering = asyncio.create_task(reader.readuntil(b"\0"))
            try:
                await self._send(content, writer, answering)
                return _verdict(await answering)
            except (OSError, EOFError) as error:
                # above its StreamMaxLength clamd answers, or just hangs up, in the middle
                said = answering.result() if _has_answer(answering) else b""
                raise ScannerAway(f"clamd hung up: {_shown(said) or type(error).__name__}") from error
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)

    async def check(self) -> str | None:
        async with self._connected() as (reader, writer):
            writer.write(b"zVERSION\0")
            await writer.drain()
            version = await reader.readuntil(b"\0")
        return _shown(version).partition("/")[0]

    async def _send(
        self, content: Draft, writer: asyncio.StreamWriter, answering: asyncio.Task[bytes]
    ) -> None:
        writer.write(b"zINSTREAM\0")
        async with contextlib.aclosing(content.chunks()) as pieces:
            async for piece in pieces:
                if answering.done():  # whatever it says, it has not seen everything
                    raise ScannerAway(f"clamd did not wait for the end: {_shown(answering.result())}")
                writer.write(struct.pack("!I", len(piece)) + piece)
                await writer.drain()
        writer.write(struct.pack("!I", 0))
        await writer.drain()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await self._connect()
        except (OSError, TimeoutError) as error:
            raise ScannerAway(f"clamd cannot be reached: {type(error).__name__}") from error
        try:
            yield reader, writer
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:
            raise ScannerAway(f"clamd gave no answer: {type(error).__name__}") from error
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._url.scheme == "unix":
            return await asyncio.open_unix_connection(self._url.path, limit=_ANSWER_BYTES)
        return await asyncio.open_connection(self._url.hostname, self._url.port or 3310, limit=_ANSWER_BYTES)


def clamd_scanner(settings: KernelSettings) -> ClamdScanner | None:
    """Make the scanner, where an address is configured."""
    return ClamdScanner(settings.clamd_url) if settings.clamd_url else None


def _verdict(answer: bytes) -> Verdict:
    said = answer.rstrip(b"\0").strip()
    if said == _CLEAN:
        return CLEAN
    found = _FOUND.fullmatch(said)
    if found is None:
        raise ScannerAway(f"clamd answered: {_shown(said)}")
    return Verdict("infected", _shown(found[1]))


def _has_answer(answering: asyncio.Task[bytes]) -> bool:
    return answering.done() and not answering.cancelled() and answering.exception() is None


def _shown(said: bytes) -> str:
    text = said.rstrip(b"\0").decode("ascii", "replace")
    return "".join(letter for letter in text if letter.isprintable())[:200]
