"""What a check is, what it finds, and what all of them come to: data, and no more than the arithmetic of grades."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Grade(IntEnum):
    """What a module has reached; each grade takes all of its own checks and those of the grades below."""

    NONE = 0
    BRONZE = 1
    SILVER = 2
    GOLD = 3

    @property
    def label(self) -> str:
        return "no grade" if self is Grade.NONE else self.name.lower()

    @property
    def means(self) -> str:
        """What a deployer may expect, in one sentence."""
        return {
            Grade.NONE: "it would harm others, or does not start",
            Grade.BRONZE: "it comes, goes and does others no harm",
            Grade.SILVER: "clients, neighbours and faults meet what the platform promises",
            Grade.GOLD: "somebody else can maintain it",
        }[self]


@dataclass(frozen=True, slots=True)
class Check:
    """
    One thing that is looked at.

    Attributes:
        name: also of the module in this package whose function `check` does it.
        grade: which cannot be had without it.
        promise: what is so when nothing is found.
        why: what it would cost somebody if it were not so.
        seconds: after this it counts as hanging; many times what it takes, because a machine may be busy.
        needs_start: whether it runs the platform; False for what is read or imported only.
        people: whether it is made with people who log in, where somebody is installed who knows them.
    """

    name: str
    grade: Grade
    promise: str
    why: str
    seconds: float = 300
    people: bool = False
    needs_start: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was found.

    Attributes:
        who: where: a file and line, a route, a handler, a table.
        problem: what is so, and should not be.
        hint: what to do about it.
        blocks: False for what is only good to know.
    """

    who: str
    problem: str
    hint: str = ""
    blocks: bool = True


def remark(who: str, said: str) -> Finding:
    """Return what is good to know and costs no grade."""
    return Finding(who, said, blocks=False)


class Status(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What came of one check.

    Attributes:
        not_run: why it could not be made; what nobody has looked at does not count as passed.
    """

    check: Check
    findings: Sequence[Finding] = ()
    not_run: str = ""
    seconds: float = 0.0

    @property
    def status(self) -> Status:
        if any(finding.blocks for finding in self.findings):
            return Status.FAILED
        return Status.NOT_RUN if self.not_run else Status.PASSED


@dataclass(frozen=True, slots=True)
class Report:
    """
    What came of all checks of one module.

    Attributes:
        beside: the modules that it was run with.
        is_whole: False when only some checks were wanted; then there is no grade.
    """

    module: str
    version: str
    kernel: str
    beside: Sequence[str]
    outcomes: Sequence[Outcome]
    is_whole: bool = True

    @property
    def grade(self) -> Grade:
        """The highest grade whose checks, and those of the grades below, have all passed."""
        missed = [outcome.check.grade for outcome in self.outcomes if outcome.status is not Status.PASSED]
        if not self.is_whole:
            return Grade.NONE
        return Grade(min(missed) - 1) if missed else Grade.GOLD

    def in_the_way(self, grade: Grade) -> Iterator[Check]:
        """Yield the checks that keep the module from a grade."""
        for outcome in self.outcomes:
            if outcome.check.grade <= grade and outcome.status is not Status.PASSED:
                yield outcome.check


class NotRun(Exception):
    """A check cannot be made here; the message says why."""
