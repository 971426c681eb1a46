"""What came of a run, for people at a terminal and for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

import typer

from platform_core._conformance.environment import Bench
from platform_core._conformance.grades import Check, Finding, Grade, Outcome, Report, Status

_MARKS: Final = {Status.PASSED: ("✓", "green"), Status.FAILED: ("✗", "red"), Status.NOT_RUN: ("-", "yellow")}
_COLOURS: Final = {
    Grade.NONE: "red",
    Grade.BRONZE: "yellow",
    Grade.SILVER: "bright_white",
    Grade.GOLD: "bright_yellow",
}
_SHOWN: Final = 8
"""Findings of one check at a terminal."""

_WIDTH: Final = max(len("authorization"), 14)


def heading(bench: Bench, kernel: str) -> Iterator[str]:
    """Yield what is going to be looked at."""
    subject = bench.subject
    beside = ", ".join([f"platform-core {kernel}", *subject.beside])
    yield f"{typer.style(f'{subject.name} {subject.version}', bold=True)} beside {beside}"


def grade_heading(grade: Grade) -> Iterator[str]:
    """Yield what stands above the checks of one grade."""
    yield ""
    yield f"{typer.style(grade.label.upper(), fg=_COLOURS[grade], bold=True)}  {typer.style(grade.means, dim=True)}"


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield one check: what it promises, and for each finding who, what, why and what to do."""
    check = outcome.check
    mark, colour = _MARKS[outcome.status]
    name = typer.style(f"{check.name.replace('_', ' '):<{_WIDTH}}", bold=True)
    took = typer.style(f"  {outcome.seconds:.1f} s", dim=True)
    yield f"  {typer.style(mark, fg=colour)} {name} {_said(outcome)}{took}"
    blocking = [finding for finding in outcome.findings if finding.blocks]
    for finding, following in zip_longest(blocking[:_SHOWN], blocking[1:_SHOWN]):
        yield from _block(finding, has_hint=following is None or following.hint != finding.hint)
    if len(blocking) > _SHOWN:
        yield f"      and {len(blocking) - _SHOWN} more; --json has all of them"
    if blocking:
        yield typer.style(f"      why: {check.why}", dim=True)
    for finding in outcome.findings:
        if not finding.blocks:
            yield typer.style(f"      · {finding.who}: {finding.problem}", dim=True)


def _said(outcome: Outcome) -> str:
    if outcome.status is Status.NOT_RUN:
        return f"not run: {outcome.not_run}"
    count = sum(finding.blocks for finding in outcome.findings)
    if count:
        return f"{count} {'thing' if count == 1 else 'things'} to mend"
    return outcome.check.promise


def _block(finding: Finding, *, has_hint: bool) -> Iterator[str]:
    yield f"      {typer.style(finding.who, fg='red')}: {finding.problem}"
    if finding.hint and has_hint:  # said once for several in a row
        yield f"        → {finding.hint}"


def verdict(report: Report, wanted: Grade) -> Iterator[str]:
    """Yield what it comes to, and what the next grade takes."""
    yield ""
    if not report.is_whole:
        yield "Only some checks were made, so there is no grade."
        return
    grade = report.grade
    label = typer.style(grade.label.upper(), fg=_COLOURS[grade], bold=True)
    yield f"{report.module} {report.version}: {label}, {grade.means}."
    if grade < Grade.GOLD:
        upwards = Grade(max(grade + 1, min(wanted, Grade.GOLD)))
        yield f"For {upwards.label}: {_names(list(report.in_the_way(upwards)))}."
    if grade < wanted:
        yield typer.style(f"That is below {wanted.label}, which was asked for.", fg="red")


def _names(checks: Sequence[Check]) -> str:
    return ", ".join(check.name.replace("_", " ") for check in checks)


def as_json(report: Report, wanted: Grade) -> Mapping[str, Any]:
    """Return everything, for scripts."""
    return {
        "module": report.module,
        "version": report.version,
        "kernel": report.kernel,
        "beside": list(report.beside),
        "grade": report.grade.label if report.is_whole else None,
        "at_least": wanted.label,
        "ok": is_enough(report, wanted),
        "checks": [_plain(outcome) for outcome in report.outcomes],
    }


def is_enough(report: Report, wanted: Grade) -> bool:
    """Whether the grade that was asked for is reached; of a part of the checks, whether all have passed."""
    if not report.is_whole:
        return all(outcome.status is Status.PASSED for outcome in report.outcomes)
    return report.grade >= wanted


def _plain(outcome: Outcome) -> Mapping[str, Any]:
    check = outcome.check
    return {
        "name": check.name,
        "grade": check.grade.label,
        "status": outcome.status,
        "promise": check.promise,
        "why": check.why,
        "not_run": outcome.not_run or None,
        "seconds": round(outcome.seconds, 2),
        "findings": [_told(finding) for finding in outcome.findings if finding.blocks],
        "remarks": [_told(finding) for finding in outcome.findings if not finding.blocks],
    }


def _told(finding: Finding) -> Mapping[str, str]:
    return {"who": finding.who, "problem": finding.problem, "hint": finding.hint}
