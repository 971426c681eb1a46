"""Whether the module's revisions can be taken, taken back and taken again, beside everybody's work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from platform_core._conformance.grades import Finding, remark
from platform_core._conformance.ground import Ground
from platform_core._conformance.subject import Subject
from platform_core._migrations import ModuleMigrations, read_revisions, squawk
from platform_core._migrations.check import check as round_trip
from platform_core._migrations.lint import findings as lint


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Yield what goes wrong on the way up, down and up again, and what would stop a database in use."""
    modules = asyncio.run(_modules(ground))
    own = next(module for module in modules if module.name == subject.name)
    if not read_revisions(own):
        yield remark(subject.name, "it keeps nothing in the database")
        return
    for problem in round_trip(
        ground.addresses.database_url, modules, only=subject.name, progress=lambda _: None
    ):
        yield Finding(
            f"{problem.module}, {problem.step}",
            problem.problem,
            f"platform db check --module {subject.name} repeats it; mend the newest revision, or write one more",
        )
    yield from dangers(own)


def dangers(module: ModuleMigrations) -> Iterator[Finding]:
    """Yield what would stop a database in use, and that squawk was not asked where it is not there."""
    if not squawk.is_installed():
        yield remark(module.name, f"only the platform's own rules were looked at: {squawk.ABSENT}")
    for finding in lint(module):
        place = f"{finding.file}:{finding.line}"
        yield Finding(place, f"{finding.rule}: {finding.why}", finding.instead)


async def _modules(ground: Ground) -> Sequence[ModuleMigrations]:
    async with ground.platform() as p:
        return p.kernel.migrations
