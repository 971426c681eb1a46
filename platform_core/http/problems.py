"""
Every "no" that a client hears: RFC 9457 problem documents, and the one table from kinds to statuses.

Neither the input nor anything of the inside (SQL, paths, traces) is repeated in them.
"""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from platform_core.errors import (
    DomainError,
    FieldError,
    Forbidden,
    InvalidInput,
    Kind,
    NotFound,
    PreconditionFailed,
    RateLimited,
    Unauthenticated,
    Unavailable,
    pointer,
)
from platform_core.http.exchange import SCOPE_KEY, Exchange
from platform_core.http.pages import page

__all__ = ["MEDIA_TYPE", "STATUS", "Catalogue", "problem_of", "respond"]

MEDIA_TYPE: Final = "application/problem+json"

STATUS: Final[Mapping[Kind, int]] = {
    Kind.INVALID: 422,
    Kind.UNAUTHENTICATED: 401,
    Kind.PAYMENT_REQUIRED: 402,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.PRECONDITION_FAILED: 412,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED_TYPE: 415,
    Kind.TIMED_OUT: 408,
    Kind.RATE_LIMITED: 429,
    Kind.UNAVAILABLE: 503,
}
"""The one place that knows which status a kind of refusal has."""


class BodyTooLarge(DomainError, kind=Kind.TOO_LARGE):
    """The body of the request is larger than this route accepts."""


class RequestTimeout(DomainError, kind=Kind.TIMED_OUT):
    """The request took too long to arrive."""


class UnsupportedMediaType(DomainError, kind=Kind.UNSUPPORTED_TYPE):
    """The body is not of a type that this route reads; JSON is sent as `application/json`."""


class IdempotencyKeyReused(DomainError, kind=Kind.INVALID):
    """The Idempotency-Key was used before, with another request."""


class RequestInProgress(DomainError, kind=Kind.CONFLICT):
    """The first request with this Idempotency-Key is still running."""


class ModuleUnavailable(DomainError, kind=Kind.UNAVAILABLE):
    """The module behind this address could not be started; the rest of the platform works."""


class ModuleDisabled(DomainError, kind=Kind.UNAVAILABLE):
    """The module behind this address is switched off for the moment; what was stored stays."""


class ShuttingDown(DomainError, kind=Kind.UNAVAILABLE):
    """The process that got your request is shutting down; another one will answer."""


@dataclass(frozen=True, slots=True)
class Problem:
    """
    What a problem document says.

    Attributes:
        slug: last part of its type, `/problems/<slug>`.
        title: the same for every occurrence of the type.
        detail: what happened this time.
        extra: further members.
    """

    slug: str
    status: int
    title: str
    detail: str
    fields: Sequence[FieldError] = ()
    extra: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None


_BY_STATUS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("bad-request", "The request cannot be understood."),
    405: ("method-not-allowed", "The address does not answer to this method."),
    416: ("range-not-satisfiable", "The range lies outside of the content, or is none."),
    431: ("headers-too-large", "The headers of the request are too large."),
    500: ("internal-error", "Something went wrong on our side; it has been logged."),
}
"""Statuses that no rule of a domain has."""

UNKNOWN_HOST: Final = ("unknown-host", "The host name is not served here.")


def title_of(error: type[DomainError]) -> str:
    """Return the first sentence of an error's docstring: the title of its problem type."""
    return (inspect.getdoc(error) or error.__name__).partition("\n\n")[0].replace("\n", " ")


def problem_of(error: Exception) -> Problem:
    """Describe an error; one that nobody expected says nothing but that it happened."""
    if isinstance(error, DomainError):
        return _of_domain(error)
    if isinstance(error, RequestValidationError):
        return _of_validation(error)
    if isinstance(error, HTTPException):
        return _of_http(error)
    return _of_status(500)


def respond(error: Exception, scope: Scope) -> Response:
    """Return the answer that tells the client about `error`."""
    return render(problem_of(error), scope)


def render(problem: Problem, scope: Scope) -> Response:
    """Return a problem document for one request."""
    exchange: Exchange | None = scope.get(SCOPE_KEY)
    document: dict[str, Any] = {
        **(problem.extra or {}),
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": _instance(scope),
        "request_id": exchange.context.request_id if exchange else None,
    }
    fields = problem.fields
    if problem.status == _UNPROCESSABLE and not fields:  # every 422 points at something
        fields = [FieldError("/body", problem.detail, problem.slug)]
    if fields:
        document["errors"] = [
            {"pointer": field.pointer, "message": field.message, "code": field.code} for field in fields
        ]
    return Response(
        orjson.dumps(document, default=str),
        status_code=problem.status,
        headers=dict(problem.headers or {}),
        media_type=MEDIA_TYPE,
    )


def _of_domain(error: DomainError) -> Problem:
    headers: dict[str, str] = {}
    retry_after = error.retry_after_seconds or _RETRY_AFTER_SECONDS.get(error.kind)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if error.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = str(getattr(error, "challenge", "Bearer"))
    fields = error.fields[:_ERRORS_COUNT]
    extra = {key: value for key, value in error.extra.items() if key not in _RESERVED}
    status = STATUS[error.kind]
    return Problem(error.slug, status, title_of(type(error)), error.message, fields, extra, headers)


_RETRY_AFTER_SECONDS: Final = {Kind.UNAVAILABLE: 1, Kind.RATE_LIMITED: 60}
"""Where the error does not say."""

_UNPROCESSABLE: Final = 422
_RESERVED: Final = frozenset({"type", "title", "status", "detail", "instance", "request_id", "errors"})
_ERRORS_COUNT: Final = 100


def _of_validation(error: RequestValidationError) -> Problem:
    fields = [_field(detail) for detail in error.errors()[:_ERRORS_COUNT]]
    where = fields[0].pointer if fields else "the request"
    detail = f"{where}: {fields[0].message}" if len(fields) == 1 else f"{len(fields)} fields break a rule."
    return Problem(InvalidInput.slug, 422, title_of(InvalidInput), detail, fields)


def _field(detail: Mapping[str, Any]) -> FieldError:
    location = tuple(detail.get("loc", ()))
    if detail.get("type") == "json_invalid":
        location = location[:1]
    code = _CODES.get(code := str(detail.get("type", "invalid")), code)
    message = _MESSAGES.get(code) or str(detail.get("msg", "is not valid")).removeprefix("Value error, ")
    return FieldError(pointer(location), message, code)


_CODES: Final = {"unexpected_keyword_argument": "extra_forbidden"}
"""Dataclasses and models call the same mistake by different names."""

_MESSAGES: Final = {
    "extra_forbidden": "Extra inputs are not permitted",
    "uuid_parsing": "Input should be a valid UUID",  # pydantic's own quotes the input
}


def _of_http(error: HTTPException) -> Problem:
    headers = {key: value for key, value in (error.headers or {}).items() if key.lower() != "content-type"}
    known = _of_status(error.status_code)
    return Problem(known.slug, known.status, known.title, known.detail, headers=headers)


def _of_status(status: int) -> Problem:
    if status in _BY_STATUS:
        slug, title = _BY_STATUS[status]
        return Problem(slug, status, title, title)
    for error in _PLAIN_ERRORS:
        if STATUS[error.kind] == status:
            return Problem(error.slug, status, title_of(error), title_of(error))
    phrase = HTTPStatus(status).phrase
    return Problem(re.sub(r"[^a-z]+", "-", phrase.lower()), status, phrase, phrase)


_PLAIN_ERRORS: Final[Sequence[type[DomainError]]] = (
    NotFound,
    Unauthenticated,
    Forbidden,
    PreconditionFailed,
    RateLimited,
    Unavailable,
    InvalidInput,
    BodyTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)
"""What an HTTPException of FastAPI or Starlette means in the platform's own words."""


def _instance(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or b""
    return raw.partition(b"?")[0].decode("latin-1")[:2048]


def _subclasses(error: type[DomainError]) -> Iterator[type[DomainError]]:
    for child in error.__subclasses__():
        yield child
        yield from _subclasses(child)


class Catalogue:
    """
    What each problem type means, for the person who follows its address.

    Args:
        raised: the errors that routes say they raise, with their modules.
    """

    def __init__(self, raised: Iterable[tuple[str, type[DomainError]]] = ()) -> None:
        self._modules = {error.slug: module for module, error in raised}

    def find(self, slug: str) -> Problem | None:
        """Return the general description of a type."""
        for status, (known, title) in (*_BY_STATUS.items(), (400, UNKNOWN_HOST)):
            if known == slug:
                return Problem(slug, status, title, title)
        for error in _subclasses(DomainError):
            if error.__dict__.get("slug") == slug and hasattr(error, "kind"):
                text = inspect.getdoc(error) or error.__name__
                return Problem(slug, STATUS[error.kind], title_of(error), text.partition("\n\n")[2])
        return None

    def answer(self, slug: str, request: Request) -> Response:
        """Explain a type: a page for browsers, JSON for programs."""
        problem = self.find(slug)
        if problem is None:
            raise HTTPException(404)
        phrase = HTTPStatus(problem.status).phrase
        if "text/html" not in request.headers.get("accept", ""):
            document = {"type": f"/problems/{slug}", "title": problem.title, "status": problem.status}
            document |= {
                "detail": problem.detail or _ADVICE.get(problem.status, ""),
                "module": self._modules.get(slug),
            }
            return Response(orjson.dumps(document), media_type="application/json")
        paragraphs = [problem.detail, _ADVICE.get(problem.status, "")]
        body = "".join(f"<p>{html.escape(text)}</p>" for text in paragraphs if text and text != problem.title)
        return page(
            problem.title,
            f"<p class=status>{problem.status} {html.escape(phrase)}</p><h1>{html.escape(problem.title)}</h1>{body}"
            f"<p>Answers of this kind carry <code>&quot;type&quot;: &quot;/problems/{html.escape(slug)}&quot;</code>"
            " (RFC 9457). If you ask somebody for help, tell them the answer's <code>request_id</code>.</p>"
            "<p><a href=/docs>All routes</a></p>",
        )


_ADVICE: Final[Mapping[int, str]] = {
    400: "The request is not well-formed HTTP for this server; repeating it unchanged will not help.",
    401: "Send a valid access token as “Authorization: Bearer …”. Access tokens are short-lived: get a new pair with"
    " your refresh token, or log in again.",
    402: "The payment did not go through. Nothing was bought; try again with another means of payment.",
    403: "Your account lacks a permission that this needs. Ask an administrator for a role that has it.",
    404: "Check the address. If it is right, the thing was deleted, or your account may not see it.",
    405: "The answer's “Allow” header lists the methods that this address knows.",
    408: "Send it again over a better connection, or in smaller parts. How slowly a body may come is a setting of this"
    " installation.",
    409: "The request is fine, but not in the present state of things. Read the state again, then decide.",
    412: "Somebody changed it since you read it. Read it again, apply your change to what it is now, and send"
    " its new ETag as “If-Match”.",
    413: "Send less at once. The largest size is a setting of this installation.",
    415: "Set “Content-Type” to what the route's description says.",
    416: "The answer's “Content-Range” says how long the content is. Ask for bytes that lie within it.",
    422: "The member “errors” points to each field at fault, with a message for people and a code for programs.",
    429: "Wait for the number of seconds in “Retry-After”. The “RateLimit” header of every answer tells what is left.",
    500: "This is a defect, not your fault. It has been logged under the answer's request id.",
    503: "Try again after “Retry-After” seconds. With an Idempotency-Key, a repeated POST has its effect only once.",
}
