"""
Requests invented from `/openapi.json`, some with one value that has broken other programs.

They are what the repository's own fuzzing sends, too. Imported only where schemathesis is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import hypothesis
import schemathesis
from hypothesis import strategies
from schemathesis import GenerationMode

JSON_VALUES = [
    '"\' OR 1=1--"',
    '"\\u0000"',
    '"%00"',
    '"\\ud800"',
    "9223372036854775808",
    "-9223372036854775809",
    "NaN",
    "1e400",
    "9" * 100_000,
    f'"{"9" * 100_000}"',
    '"\U0001f468\u200d\U0001f469\u200d\U0001f467"',
    '"\u202e\u0130\ufb03"',
    "null",
    "[[[[[[]]]]]]",
]
"""Put where a value of a JSON body was; written out, because some are no JSON, or none that Python would write."""

URL_VALUES = [
    "%27%20OR%201%3D1--",
    "%00",
    "%ed%a0%80",
    "9223372036854775808",
    "-1",
    "NaN",
    "1e400",
    "9" * 5000,
    "%F0%9F%91%BB",
    "%2e%2e%2f",
    "*",
]
"""Put where a parameter of the path or the query was."""

_HERE = "\ue000"
# what the generator knows no example of: the parts of a resumable upload
schemathesis.openapi.media_type("application/offset+octet-stream", strategies.binary(max_size=100))

_BASE = "https://testserver"


async def invented(operation: Any, mode: GenerationMode, seed: int, count: int) -> list[Any]:
    """Let hypothesis invent cases; empty where the operation has nothing that could be wrong."""
    cases: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        cases.append(case)

    # the platform's event loop goes on meanwhile; the cases are sent afterwards, in it
    with contextlib.suppress(hypothesis.errors.Unsatisfiable, schemathesis.errors.SchemathesisError):
        await asyncio.to_thread(collect)
    return cases


def aimed(case: Any, known: Mapping[str, str]) -> Any:
    """Let a case pass the checks of single values: an invented identity belongs to nothing."""
    parameters = case.path_parameters or {}
    parameters.update({name: known[name] for name in parameters.keys() & known.keys()})
    pending = [case.body]
    while pending:
        if isinstance(body := pending.pop(), dict):
            body.update({name: known[name] for name in body.keys() & known.keys()})
            pending += body.values()
    return case


def request_of(case: Any) -> dict[str, Any]:
    """Return a case as arguments of a client's `request`."""
    arguments = case.as_transport_kwargs(base_url=_BASE)
    body = {name: arguments[name] for name in ("json", "data", "files") if arguments.get(name) is not None}
    if isinstance(body.get("data"), bytes | str):
        body = {"content": body["data"]}
    if "files" in body:
        body["files"] = [(name, _sendable(part)) for name, part in body["files"]]
    headers = {
        name: value
        for name, value in arguments["headers"].items()
        if name.lower() not in ("authorization", "user-agent") and value.isascii()
    }
    return {
        "method": arguments["method"],
        "url": arguments["url"],
        "params": arguments.get("params"),
        "headers": headers,
        **body,
    }


def _sendable(part: Any) -> Any:
    """A form has only texts and bytes, whatever kind of value was invented for a part of it."""
    if isinstance(part, tuple):
        name, content, *rest = part
        return (name, _sendable(content), *rest)
    return part if isinstance(part, bytes | str) else json.dumps(part)


def poisoned(case: Any, chance: random.Random) -> dict[str, Any] | None:
    """Return a well-formed case with one of its values replaced; None where it has none."""
    request = request_of(case)
    ways = list(_ways(request.get("json")))
    parameters = [
        (kind, parameter.name)
        for kind, found in (("path", case.operation.path_parameters), ("query", case.operation.query))
        for parameter in found
    ]
    if not ways and not parameters:
        return None
    number = chance.randrange(len(ways) + len(parameters))
    if number < len(ways):
        return _with_poisoned_body(request, ways[number], chance.choice(JSON_VALUES))
    kind, name = parameters[number - len(ways)]
    value = chance.choice(URL_VALUES)
    if kind == "query":
        return {**request, "params": None, "url": f"{request['url']}?{name}={value}"}
    path = case.operation.path.replace(f"{{{name}}}", value)
    for other, given in (case.path_parameters or {}).items():
        path = path.replace(f"{{{other}}}", str(given))
    return {**request, "url": f"{_BASE}{path}"}


def _with_poisoned_body(request: dict[str, Any], way: tuple[Any, ...], value: str) -> dict[str, Any]:
    body = json.dumps(_replaced(request.pop("json"), way)).replace(json.dumps(_HERE), value)
    headers = {**request["headers"], "Content-Type": "application/json"}
    return {**request, "headers": headers, "content": body.encode()}


def _ways(body: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value inside of a JSON body."""
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in inner:
        yield (*way, key)
        yield from _ways(value, (*way, key))


def _replaced(body: Any, way: tuple[Any, ...]) -> Any:
    if not way:
        return _HERE
    key, *rest = way
    copy = body.copy()
    copy[key] = _replaced(body[key], tuple(rest))
    return copy
