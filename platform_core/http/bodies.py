"""Reading what the client sent: size, pace, JSON, and text that PostgreSQL could not keep."""

from __future__ import annotations

import asyncio
import types
import urllib.parse
from collections.abc import Generator, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

import orjson
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.types import Message, Scope

from platform_core.errors import FieldError, InvalidInput, pointer
from platform_core.http.problems import BodyTooLarge, RequestTimeout, UnsupportedMediaType
from platform_core.settings import KernelSettings

__all__ = ["LimitedRequest", "Pace", "check_url", "is_text", "read_form", "require_json", "too_large"]

_MESSAGE: Final = "contains a character that text cannot have (NUL or half of a surrogate pair)"
_CODE: Final = "text_invalid"

_MEMBERS_COUNT: Final = 1000
"""Of one JSON object; each that is unknown costs a line of complaint, and a body of 1 MiB holds 100,000 of them."""


class Pace(NamedTuple):
    """
    How slowly a body may come: a rate, so that a large upload may take its time as long as it flows.

    Attributes:
        grace_seconds: so much waiting is forgiven, at the beginning and after every pause that was caught up with.
        bytes_per_second: what comes at this rate never ends.
    """

    grace_seconds: float
    bytes_per_second: float

    @classmethod
    def of(cls, settings: KernelSettings) -> Pace:
        """Return what the deployer allows."""
        return cls(settings.body_grace_seconds, settings.min_body_bytes_per_second)


class LimitedRequest(Request):
    """
    A request that stops reading when its body grows too large or comes too slowly, and whose JSON is strict.

    Args:
        limit_bytes: for the whole body, however it is framed.
        pace: counted while somebody waits for the body only: what the application does in between costs nothing.

    Attributes:
        received: what an endpoint says about a body that it read itself; tells one request from another.
    """

    def __init__(self, request: Request, limit_bytes: int, pace: Pace) -> None:
        super().__init__(request.scope, self._limited)
        self._inner = request.receive
        self.received = b""
        self._left_bytes = limit_bytes
        self._limit_bytes = limit_bytes
        self._pace, self._patience_seconds = pace, pace.grace_seconds
        self._is_complete = False

    def allow(self, limit_bytes: int) -> None:
        """Change the limit, before anything is read: for routes that read the body themselves."""
        self._left_bytes = self._limit_bytes = limit_bytes

    def check_declared(self, declared: str | None) -> None:
        """
        Refuse by the declared length, before anything is read.

        Raises:
            BodyTooLarge: it is more than the limit.
        """
        if declared is not None and declared.isdecimal() and int(declared[:20]) > self._limit_bytes:
            raise too_large(self._limit_bytes)

    async def json(self) -> Any:
        """
        Return the body's JSON; strict, so NaN, lone surrogates and bottomless nesting are malformed.

        Raises:
            InvalidInput: it is malformed, or has NUL in a text.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            try:
                self._json = orjson.loads(body)
            except orjson.JSONDecodeError as error:
                message = error.msg.partition(":")[0] or "is not JSON"
                raise _malformed(message) from None
            if b"\\u0000" in body:
                where = _find_nul(self._json)
                if where is not None:
                    raise _not_text(where)
            if body.count(b":") > _MEMBERS_COUNT:
                _check_members(self._json)
        return self._json

    async def _limited(self) -> Message:
        if self._is_complete:
            return await self._inner()  # tells of the client's leaving, which may come at any time
        message = await self._in_time()
        if message["type"] == "http.request":
            self._is_complete = not message.get("more_body", False)
            self._left_bytes -= len(message.get("body", b""))
            if self._left_bytes < 0:
                raise too_large(self._limit_bytes)
        return message

    async def _in_time(self) -> Message:
        receiving = self._inner().__await__()
        try:
            pending = next(receiving)
        except StopIteration as arrived:  # most bodies are there already: no timer is made for them
            message: Message = arrived.value
        else:
            message = await self._patiently(receiving, pending)
        earned = len(message.get("body", b"")) / self._pace.bytes_per_second
        self._patience_seconds = min(self._pace.grace_seconds, self._patience_seconds + earned)
        return message

    async def _patiently(self, receiving: Generator[Any, Any, Message], pending: Any) -> Message:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await _resumed(receiving, pending)
        except TimeoutError:
            raise _too_slow(self._pace) from None
        finally:
            self._patience_seconds -= clock() - began


@types.coroutine
def _resumed(begun: Generator[Any, Any, Message], pending: Any) -> Generator[Any, Any, Message]:
    """Go on with a coroutine that has begun and waits for `pending`."""
    try:
        yield pending
    except BaseException as error:
        begun.throw(error)  # it puts away what it waited with
        raise
    return (yield from begun)


def require_json(content_type: str | None) -> None:
    """
    Insist on a JSON body.

    Raises:
        UnsupportedMediaType: it is declared as something else, or not at all.
    """
    essence = (content_type or "").partition(";")[0].strip().lower()
    if essence != "application/json" and not (
        essence.startswith("application/") and essence.endswith("+json")
    ):
        raise UnsupportedMediaType


def check_url(scope: Scope) -> None:
    """
    Refuse an address whose decoded form is no proper text.

    Raises:
        InvalidInput: with a pointer to the parameter.
    """
    raw_path: bytes = scope.get("raw_path") or b""
    if b"%" in raw_path or not raw_path.isascii():
        for name, value in scope["path_params"].items():
            if "\x00" in str(value):
                raise _not_text(f"/path/{name}")
        if not _is_text(raw_path.partition(b"?")[0]):
            raise _not_text("/path")
    query: bytes = scope["query_string"]
    if b"%" in query or not query.isascii():
        for part in query.split(b"&"):
            if not _is_text(part.replace(b"+", b" ")):
                name = urllib.parse.unquote_plus(part.partition(b"=")[0].decode("latin-1"))
                raise _not_text(f"/query/{name[:100]}".replace("\x00", ""))


async def read_form(request: Request, closing: AsyncExitStack, limits: Mapping[str, Any]) -> None:
    """
    Parse the form here, where an error is still told as what it is; FastAPI finds it parsed.

    Args:
        closing: closes its files after the answer.
        limits: `max_files`, `max_fields` and `max_part_size`, where the route sets them.

    Raises:
        InvalidInput: a field's name or text is no proper text.
    """
    form = await request.form(**limits)
    closing.push_async_callback(form.close)
    _check_form(form)


def _check_form(form: FormData) -> None:
    for name, value in form.multi_items():
        text = value if isinstance(value, str) else value.filename or ""
        if "\x00" in name or not is_text(text):
            raise _not_text(f"/body/{name[:100]}".replace("\x00", ""))


def _is_text(part: bytes) -> bool:
    decoded = urllib.parse.unquote_to_bytes(part)
    if b"\x00" in decoded:
        return False
    try:
        decoded.decode("utf-8")  # surrogates are no UTF-8
    except UnicodeDecodeError:
        return False
    return True


def is_text(text: str) -> bool:
    """Tell whether PostgreSQL could keep this."""
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Place(NamedTuple):
    """Where something is: in what, under which key or index; a chain, because a body may have a million places."""

    outer: _Place | None
    key: object

    def pointer(self) -> str:
        keys: list[object] = []
        place: _Place | None = self
        while place is not None:
            keys.append(place.key)
            place = place.outer
        return pointer(reversed(keys))


def _find_nul(value: Any) -> str | None:
    """Return the JSON pointer of a text with NUL, or of the object that has it in a key."""
    pending: list[tuple[_Place, Any]] = [(_Place(None, "body"), value)]
    while pending:
        place, item = pending.pop()
        if isinstance(item, str) and "\x00" in item:
            return place.pointer()
        if isinstance(item, list):
            pending += [(_Place(place, index), element) for index, element in enumerate(item)]
        elif isinstance(item, dict):
            for key, element in item.items():
                if "\x00" in key:
                    return place.pointer()
                pending.append((_Place(place, key), element))
    return None


def _check_members(value: Any) -> None:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += item
        elif isinstance(item, dict):
            if len(item) > _MEMBERS_COUNT:
                raise _malformed(f"an object has more than {_MEMBERS_COUNT} members")
            pending += item.values()


def _not_text(where: str) -> InvalidInput:
    return InvalidInput(f"{where} {_MESSAGE}.", fields=[FieldError(where, _MESSAGE, _CODE)])


def _malformed(message: str) -> InvalidInput:
    return InvalidInput(
        "The body is not valid JSON.", fields=[FieldError("/body", f"JSON: {message}", "json_invalid")]
    )


def _too_slow(pace: Pace) -> RequestTimeout:
    return RequestTimeout(
        f"The body came more slowly than {pace.bytes_per_second:g} bytes a second for {pace.grace_seconds:g} s."
    )


def too_large(limit_bytes: int) -> BodyTooLarge:
    """Return the refusal of more than so many bytes."""
    return BodyTooLarge(f"At most {limit_bytes} bytes are accepted here.", extra={"limit_bytes": limit_bytes})
