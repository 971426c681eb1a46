"""Who may call which of the module's routes: everybody who should not is tried on each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from platform_core._conformance.grades import Finding, remark
from platform_core._conformance.ground import Ground
from platform_core._conformance.people import People, people
from platform_core._conformance.routes import Route, known_identities, routes
from platform_core._conformance.subject import Subject

_NONSENSE = {"nonsense": 1}
"""A body that nobody accepts: who may not call must not learn even that."""


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Yield each route that answers somebody whom it should refuse."""
    yield from asyncio.run(_tried(subject, ground))


async def _tried(subject: Subject, ground: Ground) -> list[Finding]:
    async with ground.platform(seeds=True) as p:
        offered = list(routes(p, subject.name))
        if not offered:
            return [remark(subject.name, "it has no routes")]
        everybody, known = await people(p, subject), await known_identities(p)
        found: list[Finding] = []
        for route in offered:
            found += await _refusals(route, route.path(known), everybody)
        public = [str(route) for route in offered if route.policy.public]
        if public:
            found.append(remark(subject.name, f"open to everybody: {', '.join(public)}"))
        return found


async def _refusals(route: Route, path: str, everybody: People) -> list[Finding]:
    found: list[Finding] = []
    body: dict[str, Any] = {"json": _NONSENSE} if route.has_body else {}
    if not route.policy.public:
        status = (await everybody.visitor.request(route.method, path, **body)).status_code
        if status != 401:
            hint = "leave the check of the token to the platform: no dependency or middleware of its own before it"
            found.append(Finding(str(route), f"it answers a visitor {status} instead of 401", hint))
    if route.policy.permission:
        status = (await everybody.stranger.request(route.method, path, **body)).status_code
        if status not in (403, 404):
            problem = (
                f"it answers {status} to somebody without {route.policy.permission}, instead of 403 or 404"
            )
            found.append(Finding(str(route), problem, "see `permission=` of its Router"))
    return found
