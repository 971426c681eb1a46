"""Whether the module starts beside what it requires, when everything else is out of reach."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from platform_core._conformance.grades import Finding
from platform_core._conformance.ground import Ground
from platform_core._conformance.subject import Subject
from platform_core._modules.packages import missing_packages
from platform_core.errors import StartupError, StartupFailed


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Yield what a start says, and what of its Python packages is missing."""
    for missing in missing_packages(subject.modules):
        yield Finding(missing.module, missing.problem, missing.hint)
    try:
        yield from asyncio.run(_started(ground))
    except StartupFailed as failed:
        for error in failed.exceptions:
            if isinstance(error, StartupError):
                yield Finding(error.cause.plugin, error.cause.problem, error.cause.hint)


async def _started(ground: Ground) -> list[Finding]:
    async with ground.platform() as p:
        answer = await p.client.get("/health/ready")
        if answer.status_code == 200:
            return []
        hint = "see the checks that it names; each has a time limit"
        return [Finding("GET /health/ready", f"it answers {answer.status_code}: {answer.text[:300]}", hint)]
