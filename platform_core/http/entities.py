"""
ETags: what a representation is called, and the conditions that clients attach to that name.

The tag of a JSON representation is a hash of its bytes. A change with `If-Match` is checked twice against what `GET` of
the same path would answer the same caller from the primary: before the command, so that it is not run in vain, and
after its handler has loaded what it changes, right before the commit. Whoever changes the row after that second look
makes the save itself fail, because rows are saved by version.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import Response

__all__ = ["matches", "not_modified", "tag_of"]

_TAGS: Final = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)')


def tag_of(body: bytes) -> str:
    """Return the strong entity tag of a representation."""
    digest = hashlib.blake2b(body, digest_size=15).digest()
    return f'"{base64.urlsafe_b64encode(digest).decode()}"'


def matches(headers: Sequence[bytes], tag: str | None, *, weak: bool) -> bool:
    """
    Evaluate `If-Match` or `If-None-Match` (RFC 9110, 13.1).

    Args:
        headers: every such header.
        tag: of the present representation; None where it has none.
        weak: compare weakly, as If-None-Match does; If-Match compares strongly, so that `W/"…"` never matches.

    Returns: False too for what is no list of quoted tags: a change is then refused, an answer sent in full.
    """
    text = ", ".join(header.decode("latin-1") for header in headers).strip()
    if text == "*":
        return True
    if tag is None:
        return False
    opaque, position = tag.removeprefix("W/"), 0
    tag_is_weak = tag.startswith("W/")
    while position < len(text):
        found = _TAGS.match(text, position)
        if found is None:
            return False
        if f'"{found[2]}"' == opaque and (weak or not (found[1] or tag_is_weak)):
            return True
        position = found.end()
    return False


def not_modified(response: Response) -> Response:
    """Return the 304 that stands for `response`."""
    answer = Response(status_code=304)
    kept = MutableHeaders(raw=answer.raw_headers)
    for name in ("etag", "cache-control", "content-location", "expires", "vary", "link"):
        if name in response.headers:
            kept[name] = response.headers[name]
    del kept["content-length"]
    answer.background = response.background
    return answer
