"""
What a run over all modules did, as commands print it and start-up reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from platform_core._migrations.links import LinkReport
from platform_core._migrations.revisions import Phase
from platform_core.errors import MigrationFailed


@dataclass(frozen=True, slots=True)
class AppliedRevision:
    """One revision that was run; `duration_ms` is the time of its own statements."""

    revision: str
    phase: Phase
    duration_ms: int


@dataclass(frozen=True, slots=True)
class WaitingRevision:
    """One revision that this run left for later, because of the phase or the target it was given."""

    revision: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class ModuleReport:
    """
    What became of one module.

    Attributes:
        applied: revisions that were run and are kept, in this order.
        waiting: revisions that were left for later.
        error: why it failed; None when it is as it should be.
        skipped_for: the failed module that it needs; nothing of it was tried.
    """

    name: str
    applied: tuple[AppliedRevision, ...] = ()
    waiting: tuple[WaitingRevision, ...] = ()
    error: str | None = None
    skipped_for: str | None = None
    duration_seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.error is None and self.skipped_for is None


@dataclass(frozen=True, slots=True)
class Report:
    """
    What a run over all modules did.

    Attributes:
        roles: whether the modules have database roles; None when they were not asked for or not looked at.
        notes: what an operator should know though nothing failed.
        is_downgrade: what was applied was taken back.
    """

    modules: tuple[ModuleReport, ...]
    links: tuple[LinkReport, ...] = ()
    roles: bool | None = None
    notes: tuple[str, ...] = ()
    is_downgrade: bool = False

    @property
    def failed(self) -> Mapping[str, str]:
        """Module → why it is not as it should be, dependents and links included."""
        reasons = {
            m.name: m.error or f"skipped, because {m.skipped_for} failed" for m in self.modules if not m.ok
        }
        for link in self.links:
            if link.state == "failed":
                reasons.setdefault(link.module, f"link {link.link}: {link.detail}")
        return reasons

    @property
    def ok(self) -> bool:
        return not self.failed

    @property
    def applied_count(self) -> int:
        """How many revisions were run."""
        return sum(len(module.applied) for module in self.modules)

    def lines(self) -> Iterator[str]:
        """Tell what happened, for people: a line for each thing that was done, waits or failed."""
        for module in self.modules:
            if module.applied:
                took_ms = sum(revision.duration_ms for revision in module.applied)
                done = "taken back" if self.is_downgrade else "done"
                yield f"{module.name}: {', '.join(r.revision for r in module.applied)} {done} in {took_ms} ms"
            if module.waiting:
                told = ", ".join(f"{waiting.revision} ({waiting.phase})" for waiting in module.waiting)
                yield f"{module.name}: waits for a run that includes it: {told}"
        for link in self.links:
            if link.state in ("added", "removed"):
                yield f"link {link.link} {link.state}"
        yield from self.notes
        if self.ok and not self.applied_count:
            yield "nothing to do"

    def raise_for_failures(self) -> None:
        """
        Turn failures into one error, for callers that need all or nothing.

        Raises:
            MigrationFailed: with every module that failed and why.
        """
        if self.failed:
            raise MigrationFailed("; ".join(f"{name}: {reason}" for name, reason in self.failed.items()))
