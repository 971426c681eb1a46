"""
Bodies that are read as they come: a form with a file in it, or plain bytes; never more than a megabyte in memory.

    @router.post("/photos", status_code=201, openapi_extra=form_body(file="The photo."))
    async def upload(incoming: Incoming, ask: Ask, execute: Execute) -> PhotoView:
        allowance = await ask(GetAllowance())  # whether, and how much, before anything is read
        async with incoming.form(limit_bytes=allowance.max_bytes) as form:
            return await execute(AddPhoto(name=form.filename, content=form.content))
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from platform_core.errors import FieldError, InvalidInput, pointer
from platform_core.http.bodies import LimitedRequest, is_text, too_large
from platform_core.http.problems import UnsupportedMediaType
from platform_core.ports import Draft, Storage

__all__ = ["Answered", "IncomingBody", "ReceivedBody", "ReceivedForm", "form_body"]

_FRAMING_BYTES: Final = 64 * 1024
"""What a form may have around its file: boundaries, headers, small fields."""

_FIELD_BYTES: Final = 4096
_PARTS_COUNT: Final = 16


class Answered(Exception):
    """The request was answered while its body was read: it is a repetition of one with the same Idempotency-Key."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True, slots=True)
class ReceivedForm:
    """
    A form whose file has arrived.

    Attributes:
        filename: as the client calls it, checked for nothing but being text.
        content: finished.
        fields: the other fields that were sent, by name.
    """

    filename: str
    content: Draft
    fields: Mapping[str, str]

    def uuid(self, name: str) -> UUID | None:
        """
        Return a field that holds an identity; None where it was not sent, or is empty.

        Raises:
            InvalidInput: it is none.
        """
        text = self.fields.get(name)
        if not text:
            return None
        try:
            return UUID(text)
        except ValueError:
            raise _field(name, "Input should be a valid UUID", "uuid_parsing") from None


@dataclass(frozen=True, slots=True)
class ReceivedBody:
    """
    Plain bytes that have arrived.

    Attributes:
        content: finished.
        is_complete: False when the client left in between.
    """

    content: Draft
    is_complete: bool


class IncomingBody:
    """
    The body of one request, read by the endpoint itself.

    Args:
        request: gives the bytes, within a limit and at no less than a minimum rate.
        storage: where drafts are made.
        on_received: called when the body is there, with what it is; an answer given before comes back.
    """

    def __init__(
        self,
        request: LimitedRequest,
        storage: Storage,
        on_received: Callable[[bytes], Awaitable[Response | None]],
    ) -> None:
        self._request, self._storage, self._on_received = request, storage, on_received
        self.is_exhausted = False

    @property
    def declared_file_bytes(self) -> int:
        """How large the file in the form is at least, as far as the client says; 0 when it does not."""
        declared = self._request.headers.get("content-length", "")
        return max(int(declared[:20]) - _FRAMING_BYTES, 0) if declared.isdecimal() else 0

    @contextlib.asynccontextmanager
    async def form(
        self, *, limit_bytes: int, file: str = "file", fields: Iterable[str] = ()
    ) -> AsyncIterator[ReceivedForm]:
        """
        Read a form with one file; leaving the block forgets the bytes that nobody kept.

        Args:
            limit_bytes: for the file; the form around it may have a little more.
            file: name of the field that holds the file.
            fields: names of the other fields that may be there, short texts.

        Raises:
            UnsupportedMediaType: it is no form.
            BodyTooLarge: the file is larger than the limit.
            InvalidInput: the form is malformed, has an unknown field, or no file.
            ClientDisconnect: nobody is there any more.
        """
        self._allow(limit_bytes + _FRAMING_BYTES)
        boundary = _boundary(self._request.headers.get("content-type"), file)
        async with self._storage.draft() as draft:
            form = _Form(boundary, file, frozenset(fields), draft, limit_bytes)
            async for chunk in self._request.stream():
                await form.feed(chunk)
            await form.end()
            assert form.filename is not None  # noqa: S101  # `end` insists on it
            await self._received(form.summary())
            yield ReceivedForm(form.filename, draft, form.fields)

    @contextlib.asynccontextmanager
    async def body(self, *, limit_bytes: int) -> AsyncIterator[ReceivedBody]:
        """
        Read plain bytes; what arrived counts also when the client left before the end.

        Raises:
            BodyTooLarge: there is more than the limit.
        """
        self._allow(limit_bytes)
        async with self._storage.draft() as draft:
            is_complete = True
            try:
                async for chunk in self._request.stream():
                    await draft.write(chunk)
            except ClientDisconnect:
                is_complete = False
            await draft.finish()
            await self._received(draft.sha256.encode())
            yield ReceivedBody(draft, is_complete)

    def _allow(self, limit_bytes: int) -> None:
        self._request.allow(limit_bytes)
        self._request.check_declared(self._request.headers.get("content-length"))

    async def _received(self, summary: bytes) -> None:
        self.is_exhausted = True
        answer = await self._on_received(summary)
        if answer is not None:
            raise Answered(answer)


def form_body(*, file: str, **fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Describe a form for OpenAPI; what a route that reads one passes as `openapi_extra`.

    Args:
        file: what the file is, for people.
        fields: name → JSON schema.
    """
    content = {"type": "string", "format": "binary", "description": file}
    schema = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": content, **fields},
        "additionalProperties": False,
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


class _Form:
    """One form, fed chunk by chunk: the parser only notes what it sees, and acting on it may wait for a disk."""

    def __init__(
        self, boundary: bytes, file: str, known: frozenset[str], draft: Draft, limit_bytes: int
    ) -> None:
        self._file, self._known, self._draft, self._limit_bytes = file, known, draft, limit_bytes
        self._seen: list[tuple[str, bytes]] = []
        self._headers: dict[bytes, bytes] = {}
        self._header = b""
        self._name: str | None = None
        self._parts_count = 0
        self._is_complete = False
        self._text = bytearray()
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._declared_type = ""
        note = self._note
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": lambda: note("begin"),
                "on_header_field": lambda data, start, end: note("header", data[start:end]),
                "on_header_value": lambda data, start, end: note("value", data[start:end]),
                "on_header_end": lambda: note("header_end"),
                "on_headers_finished": lambda: note("headers"),
                "on_part_data": lambda data, start, end: note("data", data[start:end]),
                "on_part_end": lambda: note("part_end"),
                "on_end": lambda: note("end"),
            },
        )
        self._value = b""

    async def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise _malformed("is no well-formed multipart/form-data") from None
        seen, self._seen = self._seen, []
        for kind, data in seen:
            if kind == "data":
                await self._take(data)
            else:
                self._act(kind, data)

    async def end(self) -> None:
        """Insist that everything is there, and finish the draft."""
        if not self._is_complete:
            raise _malformed("ends before its last boundary")
        if self.filename is None:
            raise _missing(self._file)
        await self._draft.finish()

    def summary(self) -> bytes:
        """Return what makes the form what it is; clients make up a new boundary for each try."""
        parts = [sorted(self.fields.items()), self.filename, self._declared_type, self._draft.sha256]
        return orjson.dumps(parts)

    def _note(self, kind: str, data: bytes = b"") -> None:
        self._seen.append((kind, data))

    async def _take(self, data: bytes) -> None:
        if self._name != self._file:
            self._text += data
            if len(self._text) > _FIELD_BYTES:
                raise _field(self._name or "", "is too long", "string_too_long")
            return
        if self._draft.size_bytes + len(data) > self._limit_bytes:
            raise too_large(self._limit_bytes)
        await self._draft.write(data)

    def _act(self, kind: str, data: bytes) -> None:
        match kind:
            case "begin":
                self._headers, self._parts_count = {}, self._parts_count + 1
                if self._parts_count > _PARTS_COUNT:
                    raise _malformed(f"has more than {_PARTS_COUNT} parts")
            case "header":
                self._header += data
            case "value":
                self._value += data
            case "header_end":
                self._headers[self._header.lower()] = self._value
                self._header = self._value = b""
            case "headers":
                self._open_part()
            case "part_end" if self._name != self._file:
                self._close_field()
            case "end":
                self._is_complete = True

    def _open_part(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = _text(options.get(b"name"))
        if kind != b"form-data" or not name:
            raise _malformed("has a part without a name")
        filename = _text(options.get(b"filename"))
        if name != self._file and (name not in self._known or filename is not None):
            raise _field(name, "Extra inputs are not permitted", "extra_forbidden")
        if name in self.fields or (name == self._file and self.filename is not None):
            raise _field(name, "is there more than once", "repeated")
        if name == self._file and filename is None:
            raise _field(name, "is a text, not a file", "file_expected")
        self._name, self._text = name, bytearray()
        if name == self._file:
            self.filename = filename
            self._declared_type = self._headers.get(b"content-type", b"").decode("latin-1")

    def _close_field(self) -> None:
        assert self._name is not None  # noqa: S101  # a part ends after it began
        self.fields[self._name] = _text(bytes(self._text)) or ""


def _boundary(content_type: str | None, file: str) -> bytes:
    if content_type is None:
        raise _missing(file)
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise UnsupportedMediaType("The body is no form; files are sent as `multipart/form-data`.")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # RFC 2046, 5.1.1
        raise _malformed("has no boundary of 1 to 70 characters")
    return boundary


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed("has a name or text that is not UTF-8") from None
    if not is_text(text):
        raise _malformed("has a character that text cannot have (NUL)")
    return text


def _missing(name: str) -> InvalidInput:
    return _field(name, "Field required", "missing")


def _field(name: str, message: str, code: str) -> InvalidInput:
    return InvalidInput.of(pointer((name,)).removeprefix("/"), message, code)


def _malformed(message: str) -> InvalidInput:
    return InvalidInput(
        f"The body {message}.", fields=[FieldError("/body", f"form: {message}", "multipart_invalid")]
    )
