"""A clamd whose answers a test writes down, for everything that the real one does not do on demand."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest


class ScriptedClamd:
    """
    Speaks clamd's side of INSTREAM on a unix socket.

    Attributes:
        answer: to the content, without its final NUL; None hangs up without one.
        limit_bytes: hangs up in the middle of more, as StreamMaxLength does.
        pause_seconds: before each answer.
        received: every content, whole.
    """

    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self._path = path
        self.answer: bytes | None = b"stream: OK"
        self.limit_bytes = 2**40
        self.pause_seconds = 0.0
        self.received: list[bytes] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            command = await reader.readuntil(b"\0")
            if command == b"zVERSION\0":
                writer.write(b"ClamAV 1.4.6/27000/Mon Nov 23 00:00:00 2026\0")
            else:
                await self._scan(reader, writer)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def _scan(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = b""
        while size := struct.unpack("!I", await reader.readexactly(4))[0]:
            content += await reader.readexactly(size)
            if len(content) > self.limit_bytes:
                writer.write(b"INSTREAM size limit exceeded. ERROR\0")
                return
        self.received.append(content)
        await asyncio.sleep(self.pause_seconds)
        if self.answer is not None:
            writer.write(self.answer + b"\0")


@pytest.fixture
async def clamd(tmp_path: Path) -> AsyncIterator[ScriptedClamd]:
    server = ScriptedClamd(tmp_path / "clamd.sock")
    await server.start()
    yield server
    await server.stop()
