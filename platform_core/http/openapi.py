"""The description of the whole API: what FastAPI knows of the routes, completed by what the kernel does around them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi

from platform_core.errors import (
    DomainError,
    Forbidden,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from platform_core.http.binding import BoundRoute
from platform_core.http.problems import (
    MEDIA_TYPE,
    STATUS,
    BodyTooLarge,
    IdempotencyKeyReused,
    RequestInProgress,
    RequestTimeout,
    UnsupportedMediaType,
    title_of,
)

if TYPE_CHECKING:
    from platform_core.http.assembly import ModuleRoutes

__all__ = ["LiveDescription", "openapi_document"]

Json = dict[str, Any]

_GONE: Final = 404


class LiveDescription:
    """
    The document as it holds now: made when somebody asks, and again when modules have been switched since.

    Args:
        describe: makes it, without what is switched off.
        off: module → 404 or 503; it changes while this lives.
    """

    def __init__(self, describe: Callable[[Mapping[str, int]], Json], off: Mapping[str, int]) -> None:
        self._describe, self._off = describe, off
        self._made: tuple[Mapping[str, int], Json, bytes] | None = None

    def document(self) -> Json:
        """Return it as data."""
        return self._current()[1]

    def written(self) -> bytes:
        """Return it as JSON."""
        return self._current()[2]

    def _current(self) -> tuple[Mapping[str, int], Json, bytes]:
        if self._made is None or self._made[0] != self._off:
            off = dict(self._off)
            document = self._describe(off)
            self._made = (off, document, orjson.dumps(document))
        return self._made


def openapi_document(
    title: str,
    version: str,
    modules: Sequence[ModuleRoutes],
    routes: Sequence[BoundRoute],
    prefix: str,
    *,
    off: Mapping[str, int] | None = None,
) -> Json:
    """
    Return the OpenAPI 3.1 document.

    Args:
        modules: one tag each.
        routes: the same routes, bound.
        prefix: what the modules' own paths are mounted below.
        off: modules that are switched off, and what their routes answer: those that answer 404 are left out, those
            that come back are marked.
    """
    off = off or {}
    modules = [offered for offered in modules if off.get(offered.module) != _GONE]
    routes = [route for route in routes if off.get(route.module) != _GONE]
    whole = APIRouter()
    for offered in modules:
        for router in offered.routers:
            below = prefix if getattr(router, "prefix_api", True) else ""
            whole.include_router(router, prefix=below, tags=[offered.module])
    document = get_openapi(
        title=title,
        version=version,
        description=_DESCRIPTION,
        routes=whole.routes,
        tags=[
            {"name": offered.module, "description": offered.title + _OFF * (offered.module in off)}
            for offered in modules
        ],
    )
    components = document.setdefault("components", {})
    for kind, entries in _COMPONENTS.items():
        components.setdefault(kind, {}).update(entries)
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for identifier, route, operation in _operations(document, routes):
        operation["operationId"] = identifier
        _complete(operation, route)
        if route.module in off:
            operation["x-switched-off"] = True
    return document


def _operations(document: Json, routes: Sequence[BoundRoute]) -> Iterator[tuple[str, BoundRoute, Json]]:
    described = [
        (route, method, document["paths"][path][method.lower()])
        for route in routes
        for method in sorted(route.methods)
        if (path := _plain(route.template)) in document["paths"]
    ]
    names = Counter(f"{route.module}.{route.name}" for route, _, _ in described)
    taken: set[str] = set()
    for route, method, operation in described:
        identifier = f"{route.module}.{route.name}"
        if (
            names[identifier] > 1
        ):  # two rooms of one module may both have a `get`: tell them apart by their paths
            words = [part for part in route.template.split("/")[3:] if part and "{" not in part]
            identifier = "_".join((identifier, *(re.sub(r"\W", "_", word) for word in words)))
        if identifier in taken:
            identifier = f"{identifier}_{method.lower()}"
        taken.add(identifier)
        yield identifier, route, operation


def _plain(template: str) -> str:
    return re.sub(r":[a-z]+}", "}", template)


def _complete(operation: Json, route: BoundRoute) -> None:
    policy, method = route.policy, next(iter(route.methods))
    operation["security"] = [] if policy.public else [{"bearer": []}]
    if policy.permission is not None:
        note = f"Needs the permission `{policy.permission}`."
        operation["description"] = "\n\n".join(filter(None, (operation.get("description"), note)))
        operation["x-permission"] = policy.permission
    if policy.deprecated is not None:
        note = f"This is {policy.deprecated}."
        operation["description"] = "\n\n".join(filter(None, (operation.get("description"), note)))
        operation["x-deprecation"] = policy.deprecated.json
    parameters = operation.setdefault("parameters", [])
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in _parameters(route, method)]
    _complete_success(operation["responses"], route, method)
    operation["responses"].update(_refusals(route, method, operation))


def _parameters(route: BoundRoute, method: str) -> Iterator[str]:
    yield "RequestId"
    if method == "POST":
        yield "IdempotencyKey"
    if method == "GET" and route.has_tag:
        yield "IfNoneMatch"
    if method in ("PATCH", "PUT", "DELETE") and route.sibling is not None:
        yield "IfMatch"


def _complete_success(responses: Json, route: BoundRoute, method: str) -> None:
    responses.pop("422", None)
    for status in [status for status in responses if status.startswith("2")]:
        names = ["X-Request-ID", "RateLimit", "RateLimit-Policy"]
        if status == "200" and method in ("GET", "PATCH", "PUT") and route.has_tag:
            names.append("ETag")
        if route.is_list:
            names.append("Link")
        if method == "POST":
            names.append("Idempotent-Replayed")
        names += route.policy.deprecated.headers if route.policy.deprecated else ()
        responses[status].setdefault("headers", {}).update(_headers(names))
    if method == "GET" and route.has_tag:
        responses["304"] = {
            "description": "It is still what your If-None-Match names.",
            "headers": _headers(["ETag", "X-Request-ID"]),
        }


def _refusals(route: BoundRoute, method: str, operation: Mapping[str, Any]) -> Json:
    found: dict[int, list[tuple[str, str]]] = {}
    for error in (*_expected(route, method, operation), *route.policy.raises):
        entry = (error.slug, title_of(error))
        entries = found.setdefault(STATUS[error.kind], [])
        if entry[0] not in [slug for slug, _ in entries]:
            entries.append(entry)
    found[500] = [("internal-error", "Something went wrong on our side; it has been logged.")]
    return {str(status): _refusal(status, found[status]) for status in sorted(found)}


def _expected(route: BoundRoute, method: str, operation: Mapping[str, Any]) -> Iterator[type[DomainError]]:
    policy, has_body = route.policy, "requestBody" in operation
    if not policy.public:
        yield Unauthenticated
    if policy.permission is not None:
        yield Forbidden
    if policy.visible is not None:
        yield NotFound
    if method == "POST":
        yield from (RequestInProgress, InvalidInput, IdempotencyKeyReused)
    if method in ("PATCH", "PUT", "DELETE") and route.sibling is not None:
        yield PreconditionFailed
    if has_body:
        yield from (RequestTimeout, BodyTooLarge, UnsupportedMediaType)
    if has_body or any("name" in parameter for parameter in operation.get("parameters", ())):
        yield InvalidInput
    yield from (RateLimited, Unavailable)


def _refusal(status: int, problems: Iterable[tuple[str, str]]) -> Json:
    problems = list(problems)
    schema = "ValidationProblem" if status == 422 else "Problem"
    names = ["X-Request-ID"]
    if status in (429, 503, 409):
        names.append("Retry-After")
    if status == 401:
        names.append("WWW-Authenticate")
    examples = {
        slug: {"value": {"type": f"/problems/{slug}", "title": title, "status": status, "detail": title}}
        for slug, title in problems
    }
    return {
        "description": " ".join(dict.fromkeys(title for _, title in problems)),
        "headers": _headers(names),
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": examples}},
    }


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


_OFF: Final = " (switched off at the moment)"

_DESCRIPTION: Final = """\
Errors are `application/problem+json` (RFC 9457); the address in `type` explains each. Lists take `limit` and `cursor`,
and answer `next_cursor`. One thing is answered with an `ETag`, for `If-None-Match` and `If-Match`. Every POST takes an
`Idempotency-Key`. `RateLimit` tells what is left of the caller's requests."""


def _text_header(description: str, example: str) -> Json:
    return {"description": description, "schema": {"type": "string"}, "example": example}


def _text_parameter(name: str, description: str, **schema: Any) -> Json:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


_PROBLEM: Final[Json] = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "Explains this kind of problem.",
        },
        "title": {"type": "string", "description": "The same for every occurrence of the type."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What happened this time."},
        "instance": {"type": "string", "format": "uri-reference", "description": "The path that was asked."},
        "request_id": {"type": ["string", "null"], "description": "Finds this request in the logs."},
    },
}
_VALIDATION: Final[Json] = {
    "title": "ValidationProblem",
    "allOf": [
        {"$ref": "#/components/schemas/Problem"},
        {
            "type": "object",
            "required": ["errors"],
            "properties": {
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["pointer", "message", "code"],
                        "properties": {
                            "pointer": {
                                "type": "string",
                                "description": "JSON pointer, such as /body/email.",
                            },
                            "message": {"type": "string"},
                            "code": {"type": "string"},
                        },
                    },
                }
            },
        },
    ],
}
_COMPONENTS: Final[Mapping[str, Json]] = {
    "schemas": {"Problem": _PROBLEM, "ValidationProblem": _VALIDATION},
    "securitySchemes": {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An access token, from the login."}
    },
    "headers": {
        "Deprecation": _text_header("Since when nobody new should use this (RFC 9745).", "@1768435200"),
        "ETag": _text_header("Names this representation.", '"Jr8qgVqLbXbYk0sS2vTj"'),
        "Idempotent-Replayed": _text_header("The answer was given before, to the same key.", "true"),
        "Link": _text_header("The next page, if there is one.", '</api/v1/…?cursor=…>; rel="next"'),
        "RateLimit": _text_header("Requests left, and seconds until the window ends.", '"user";r=1187;t=42'),
        "RateLimit-Policy": _text_header("Which limits count, per how many seconds.", '"user";q=1200;w=60'),
        "Retry-After": _text_header("Seconds to wait.", "1"),
        "Sunset": _text_header("When it will be gone (RFC 8594).", "Sat, 15 Jan 2028 00:00:00 GMT"),
        "WWW-Authenticate": _text_header("What is asked for.", "Bearer"),
        "X-Request-ID": _text_header("Yours, or one of ours.", "01a20642-efa1-7266-8d38-9a0b4f4ef27a"),
    },
    "parameters": {
        "RequestId": _text_parameter(
            "X-Request-ID",
            "Comes back, and appears in logs and events.",
            pattern="^[A-Za-z0-9._~:/+=-]{1,128}$",
        ),
        "IdempotencyKey": _text_parameter(
            "Idempotency-Key",
            "The same key with the same request has its effect once, and its answer again.",
            minLength=1,
            maxLength=255,
        ),
        "IfMatch": _text_parameter("If-Match", "Only if it still is what this ETag names; 412 otherwise."),
        "IfNoneMatch": _text_parameter(
            "If-None-Match", "Only if it no longer is what this ETag names; 304 otherwise."
        ),
    },
}
