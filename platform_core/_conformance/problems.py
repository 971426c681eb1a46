"""What the module answers to requests that nobody expected."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import random
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from platform_core._conformance.grades import Finding, remark
from platform_core._conformance.ground import Ground
from platform_core._conformance.people import People, people
from platform_core._conformance.routes import Route, known_identities, routes
from platform_core._conformance.subject import Subject
from platform_core.testing import RunningPlatform

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

_CASES_COUNT: Final = 10
"""Of each kind for each operation: well-formed, malformed, and with one value that has broken other programs."""

_SEED: Final = 20261123
"""The same requests every time: a grade must not depend on luck."""

_MEMBERS: Final = {"type", "title", "status"}
_SECONDS: Final = 30
"""For one answer; a route that takes longer hangs."""

_MALFORMED: Final[tuple[dict[str, Any], ...]] = (
    {"content": b"{", "headers": {"content-type": "application/json"}},
    {"content": b"[]", "headers": {"content-type": "application/json"}},
    {"content": b'"\\ud800"', "headers": {"content-type": "application/json"}},
    {"content": b"a=b", "headers": {"content-type": "application/x-www-form-urlencoded"}},
    {"json": {"\0": "\0"}},
    {"json": {}},
)
"""Bodies that are none; sent whether schemathesis is installed or not."""


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Yield each answer that is a server error, a refusal in another shape, or not as described."""
    causes: list[str] = []
    structlog.configure(processors=[_remembering(causes)])
    yield from asyncio.run(_Trial(subject, causes).findings(ground))


def _remembering(causes: list[str]) -> Any:
    def remember(_logger: Any, _method: str, entry: dict[str, Any]) -> str:
        error = sys.exc_info()[1]
        if entry.get("event") == "unhandled error" and error is not None:
            causes.append(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        raise structlog.DropEvent

    return remember


class _Trial:
    """One round of requests, and what was wrong with the answers, each thing told once for each operation."""

    def __init__(self, subject: Subject, causes: list[str]) -> None:
        self._subject, self._causes = subject, causes
        self._found: dict[tuple[str, str], Finding] = {}
        self._sent = 0
        self._hanging: set[str] = set()

    async def findings(self, ground: Ground) -> list[Finding]:
        async with ground.platform(seeds=True) as p:
            offered = list(routes(p, self._subject.name))
            if not offered:
                return [remark(self._subject.name, "it has no routes")]
            everybody, known = await people(p, self._subject), await known_identities(p)
            for route in offered:
                await self._malformed(route, everybody, known)
            told = await self._invented(p, offered, everybody, known)
            self._connections(p)
            return [*self._found.values(), remark(self._subject.name, told)]

    async def _malformed(self, route: Route, everybody: People, known: Mapping[str, str]) -> None:
        for client in (everybody.administrator, everybody.member, everybody.visitor):
            for path in (route.path(known), route.path({})):
                for request in _MALFORMED if route.has_body else ({},):
                    await self._send(str(route), client, {"method": route.method, "url": path, **request})

    async def _invented(
        self, p: RunningPlatform, offered: list[Route], everybody: People, known: Mapping[str, str]
    ) -> str:
        if importlib.util.find_spec("schemathesis") is None:
            return (
                f"{self._sent} malformed requests; none were invented, because schemathesis is not installed:"
                " pip install 'platform-core[conformance]'"
            )
        from schemathesis import GenerationMode, openapi
        from schemathesis.core.result import Ok

        from platform_core._conformance.invented import aimed, invented, poisoned, request_of

        labels = {str(route) for route in offered}
        chance = random.Random(_SEED)  # noqa: S311  # no secret is made of it
        document = (await p.client.get("/openapi.json")).json()
        for found in openapi.from_dict(document).get_all_operations():
            operation: Any = found.ok() if isinstance(found, Ok) else None
            if operation is None or operation.label not in labels or _is_endless(operation.definition.raw):
                continue
            good = await invented(operation, GenerationMode.POSITIVE, _SEED, _CASES_COUNT)
            bad = await invented(operation, GenerationMode.NEGATIVE, _SEED, _CASES_COUNT)
            for case in good[::2]:
                aimed(case, known)
            spoilt = [(case, poisoned(case, chance)) for case in good]
            requests = [(case, request_of(case)) for case in good + bad]
            requests += [(case, request) for case, request in spoilt if request is not None]
            for case, request in requests:
                for client in (everybody.administrator, everybody.member, everybody.visitor):
                    answer = await self._send(operation.label, client, request)
                    if answer is not None:
                        self._compare(operation.label, case, answer)
        return f"{self._sent} requests, malformed or invented by schemathesis"

    async def _send(self, label: str, client: AsyncClient, request: Mapping[str, Any]) -> Response | None:
        if label in self._hanging:
            return None  # once is enough to know
        self._sent += 1
        self._causes.clear()
        try:
            async with asyncio.timeout(_SECONDS):
                answer = await client.request(**request)
        except TimeoutError:
            hint = "give whatever it waits for a time limit below the clients'"
            self._tell(label, f"it does not answer within {_SECONDS} s", hint)
            self._hanging.add(label)
            return None
        except Exception as error:  # noqa: BLE001  # of the module, after half of its answer was out
            hint = "find out whether it can be answered before the first byte is sent"
            self._tell(label, f"it breaks its answer off: {type(error).__name__}: {error}", hint)
            return None
        if answer.status_code >= 500:
            cause = f": {self._causes[-1]}" if self._causes else ""
            hint = "refuse what cannot be with a DomainError, and give every field its limits"
            self._tell(label, f"it answers {answer.status_code}{cause}", hint)
        elif answer.status_code >= 400:
            self._shape(label, answer)
        return answer

    def _shape(self, label: str, answer: Response) -> None:
        kind = answer.headers.get("content-type", "")
        hint = "raise a DomainError; the platform makes the problem of it"
        if not kind.startswith("application/problem+json"):
            if answer.content or answer.request.method != "HEAD":
                self._tell(label, f"its {answer.status_code} is {kind or 'of no type'} and no problem", hint)
            return
        body = json.loads(answer.content)
        if missing := sorted(_MEMBERS - body.keys()):
            self._tell(label, f"its {answer.status_code} has no {', '.join(missing)}", hint)

    def _compare(self, label: str, case: Any, answer: Response) -> None:
        """Hold an answer against what OpenAPI says of the operation."""
        from schemathesis import checks

        described = [
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_schema_conformance,
        ]
        answer.request.read()  # a form is a stream, which the checks want to show
        try:
            case.validate_response(answer, checks=described)
        except* Exception as failures:  # noqa: BLE001  # each is told
            for failure in failures.exceptions:
                first = str(failure).strip().splitlines()
                said = " ".join(line.strip() for line in first[:3] if line.strip())
                self._tell(label, f"its {answer.status_code} is not as described: {said}", _DESCRIBE)

    def _connections(self, p: RunningPlatform) -> None:
        kept = {
            purpose: pool.used_count
            for (module, purpose), pool in p.kernel.pools.opened().items()
            if module == self._subject.name and pool.used_count
        }
        for purpose, count in kept.items():
            self._tell(
                self._subject.name,
                f"{count} connections of its pool for {purpose} were lent and not given back",
                "ask Reads and UnitOfWork, which give back what they take; keep none in a service",
            )

    def _tell(self, who: str, problem: str, hint: str) -> None:
        self._found.setdefault((who, problem.partition(":")[0]), Finding(who, problem, hint))


_DESCRIBE: Final = "name what it may refuse in `raises=`, and annotate what it returns"


def _is_endless(operation: Mapping[str, Any]) -> bool:
    """Whether an answer goes on for as long as somebody listens."""
    answers = operation.get("responses", {}).values()
    return any("text/event-stream" in answer.get("content", {}) for answer in answers)
