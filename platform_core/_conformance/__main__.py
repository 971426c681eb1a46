"""`python -m platform_core._conformance PATH`: what `platform modules check --conformance` runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from platform_core import __version__
from platform_core._conformance import badge as pictures
from platform_core._conformance import report as reports
from platform_core._conformance.catalogue import CHECKS
from platform_core._conformance.environment import Bench, prepared
from platform_core._conformance.grades import Check, Grade, Outcome, Report, Status
from platform_core._conformance.runner import run, servers
from platform_core.cli._output import print_json
from platform_core.errors import PlatformError

_GRADES = {grade.name.lower(): grade for grade in Grade}


def grade(
    path: Path,
    at_least: Annotated[str, typer.Option()] = "bronze",
    badge: Annotated[Path | None, typer.Option()] = None,
    only: Annotated[list[str] | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Grade one module; the options are those of `platform modules check`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that everything is put away
    wanted = _GRADES[at_least]
    checks = _chosen(only or [])
    try:
        with prepared(path) as bench, _servers(checks) as addresses:
            outcomes = list(_told(bench, checks, addresses, quiet=json))
            report = _report(bench, outcomes, is_whole=len(checks) == len(CHECKS))
    except PlatformError as error:
        raise _refusal(error.message, 1) from None
    if json:
        print_json(reports.as_json(report, wanted))
    else:
        _print(reports.verdict(report, wanted))
    if badge is not None and report.is_whole:
        badge.write_text(pictures.svg(report.grade, __version__), encoding="utf-8")
    raise typer.Exit(0 if reports.is_enough(report, wanted) else 1)


def _report(bench: Bench, outcomes: Sequence[Outcome], *, is_whole: bool) -> Report:
    subject = bench.subject
    return Report(subject.name, subject.version, __version__, subject.beside, outcomes, is_whole=is_whole)


def _servers(checks: Sequence[Check]) -> AbstractContextManager[Mapping[str, str]]:
    """Start them where a check needs them."""
    return servers() if any(check.needs_start for check in checks) else nullcontext({})


def _chosen(names: list[str]) -> list[Check]:
    known = [check.name for check in CHECKS]
    if unknown := sorted(set(names) - set(known)):
        raise _refusal(f"There is no check {', '.join(unknown)}. There are: {', '.join(known)}.", 2)
    return [check for check in CHECKS if not names or check.name in names]


def _refusal(said: str, code: int) -> typer.Exit:
    """Say why there is nothing to grade, and return what ends the process."""
    typer.secho(f"platform: {said}", err=True, fg="red")
    return typer.Exit(code)


def _told(
    bench: Bench, checks: list[Check], addresses: Mapping[str, str], *, quiet: bool
) -> Iterator[Outcome]:
    """Make the checks, and tell each as soon as it is made."""
    if not quiet:
        _print(reports.heading(bench, __version__))
    shown: Grade | None = None
    starts = True
    for check in checks:
        if not quiet and check.grade is not shown:
            _print(reports.grade_heading(shown := check.grade))
        outcome = run(check, bench, addresses) if starts or not check.needs_start else _unstarted(check)
        starts = starts and (check.name != "starts" or outcome.status is not Status.FAILED)
        if not quiet:
            _print(reports.lines(outcome))
        yield outcome


def _unstarted(check: Check) -> Outcome:
    return Outcome(check, not_run="it does not start")


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        typer.echo(line)
    sys.stdout.flush()


if __name__ == "__main__":
    typer.run(grade)
