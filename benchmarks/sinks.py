"""
A mail server and a trace collector that take everything and keep nothing: `python -m benchmarks.sinks SMTP OTLP`.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop


class _Mailbox(asyncio.Protocol):
    """Just enough of RFC 5321 for a client that does not ask for more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # TCP
        self._transport, self._buffer, self._in_data = transport, b"", False
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = b"\r\n.\r\n" if self._in_data else b"\r\n"
            part, found, rest = self._buffer.partition(end)
            if not found:
                return
            self._buffer = rest
            self._answer(part[:4].upper())

    def _answer(self, verb: bytes) -> None:
        if self._in_data:
            self._in_data = False
            self._transport.write(b"250 taken\r\n")
        elif verb == b"DATA":
            self._in_data = True
            self._transport.write(b"354 go on\r\n")
        elif verb == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 ok\r\n")


class _Collector(asyncio.Protocol):
    """Answers each POST, whatever is in it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # TCP
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].partition(b":")[2]) if lengths else 0
        if len(body) >= length:
            self._buffer = body[length:]
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


async def main(smtp_port: int, otlp_port: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(_Mailbox, "127.0.0.1", smtp_port),
        await loop.create_server(_Collector, "127.0.0.1", otlp_port),
    ]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
