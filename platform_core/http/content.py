"""
Bytes that go out as they are: ranges, ETag, and headers under which no browser runs what somebody uploaded.

    return await download(Content(name=…, media_type=…, size_bytes=…, tag=sha256, read=storage_reader))
"""

from __future__ import annotations

import contextlib
import re
import urllib.parse
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from platform_core.errors import NotFound
from platform_core.http.exchange import current_exchange

__all__ = ["Content", "download"]

_RANGE: Final = re.compile(r"(\d{0,19})-(\d{0,19})")
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """
    Bytes that can be downloaded, whole or in part.

    Attributes:
        name: what the client should call the file; any text.
        tag: opaque, another one for other bytes; becomes the ETag.
        read: (start, stop) → the bytes in between, piece by piece.
        is_inline: may be shown in the page that refers to it, which is for pictures made here only.
    """

    name: str
    media_type: str
    size_bytes: int
    tag: str
    read: Callable[[int, int], AsyncGenerator[bytes, None]]
    is_inline: bool = False


async def download(content: Content) -> Response:
    """
    Answer the running request with `content`, or the part of it that `Range` asks for.

    The first bytes are read before the head of the answer goes out, so that what is away is told as what it is.

    Raises:
        HTTPException: 416, the range lies outside, or is none.
        NotFound: the bytes are gone.
        Unavailable: the storage is away.
    """
    exchange = current_exchange()
    tag = f'"{content.tag}"'
    asked = exchange.header(b"range")
    condition = exchange.header(b"if-range")
    span = None
    if asked is not None and (condition is None or condition == tag):
        span = _span(asked, content.size_bytes)
    start, stop = span or (0, content.size_bytes)
    source = _Source(content.read(start, stop))
    if not exchange.is_head:
        await source.open()
    response = _Stream(source, status_code=200 if span is None else 206)
    response.headers.update(_headers(content))
    response.headers["ETag"] = tag
    response.headers["Content-Length"] = str(stop - start)
    if span is not None:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size_bytes}"
    return response


class _Source:
    """The bytes of one answer, the first of them in hand."""

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self._chunks = chunks
        self._first = b""

    async def open(self) -> None:
        try:
            self._first = await anext(self._chunks, b"")
        except FileNotFoundError as error:
            raise NotFound("The content is gone.") from error

    async def send(self, send: Send) -> None:
        # closed at once when the client leaves, not when somebody collects the garbage
        async with contextlib.aclosing(self._chunks):
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            async for chunk in self._chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def close(self) -> None:
        await self._chunks.aclose()


class _Stream(Response):
    """An answer whose body is read while it is sent."""

    def __init__(self, source: _Source, *, status_code: int) -> None:
        self._source = source
        self.status_code, self.background = status_code, None
        self.media_type = None
        self.init_headers({})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD" or current_exchange().is_head:
            await self._source.close()
            await send({"type": "http.response.body", "body": b""})
            return
        await self._source.send(send)


def _span(asked: str, size_bytes: int) -> tuple[int, int] | None:
    """
    Read a `Range` header (RFC 9110, 14).

    Returns: (start, stop), or None where the whole is answered: another unit, or several ranges at once, which cost
        more than they bring.
    """
    unit, _, ranges = asked.partition("=")
    if unit.strip().lower() != "bytes":
        return None
    if "," in ranges:
        return None
    found = _RANGE.fullmatch(ranges.strip())
    first, last = (found[1], found[2]) if found else ("", "")
    if first:
        start, stop = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
    elif last:
        start, stop = max(size_bytes - int(last), 0), size_bytes
    else:
        start = stop = 0
    if start >= stop:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{size_bytes}"})
    return start, stop


def _headers(content: Content) -> dict[str, str]:
    kind = content.media_type if _MEDIA_TYPE.fullmatch(content.media_type) else "application/octet-stream"
    return {
        "Content-Type": kind,
        "Content-Disposition": _disposition(content.name, is_inline=content.is_inline),
        # nothing in it runs or loads anything, should a browser show it after all
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Accept-Ranges": "bytes",
    }


def _disposition(name: str, *, is_inline: bool) -> str:
    """Return the header of RFC 6266: a plain name for old programs, the real one encoded as RFC 8187 says."""
    plain = re.sub(r"[^A-Za-z0-9 !#$&'()+,.;=@^_`{}~-]", "_", name)[:150]
    encoded = urllib.parse.quote(name, safe="", errors="replace")
    return f"{'inline' if is_inline else 'attachment'}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
