"""Whether the module starts with each of its optional neighbours missing, and with all of them there."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from platform_core._conformance.grades import Finding, remark
from platform_core._conformance.ground import Ground
from platform_core._conformance.runner import read_results
from platform_core._conformance.subject import Subject

_SECONDS: Final = 300


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Start one process for each set of neighbours, and yield which of them do not stand."""
    if not subject.optional:
        yield remark(subject.name, "it has no optional neighbours")
        return
    for optional in sets(subject):
        yield from _started(subject, optional)


def sets(subject: Subject) -> list[tuple[str, ...]]:
    """Return the sets of optional neighbours: all, and all but each one; none at all is the check `starts`."""
    names = tuple(subject.optional)
    fewer = itertools.combinations(names, len(names) - 1)
    return [names, *(some for some in fewer if some)]


def _started(subject: Subject, optional: tuple[str, ...]) -> Iterator[Finding]:
    smaller = subject.run_with([*subject.requires, *optional])
    about, results = subject.scratch / "subset", subject.scratch / "started"
    about.write_text(smaller.written(), encoding="utf-8")
    results.unlink(missing_ok=True)
    command = [sys.executable, "-m", "platform_core._conformance.alone", "starts", str(about), str(results)]
    beside = f"beside {', '.join(smaller.beside)}"
    try:
        subprocess.run(command, timeout=_SECONDS, check=False)  # noqa: S603  # our own program
    except subprocess.TimeoutExpired:
        yield Finding(beside, f"it does not start within {_SECONDS} s", "find what it waits for")
        return
    findings, not_run, ended = read_results(results)
    for finding in findings:
        yield Finding(f"{beside}, {finding.who}", finding.problem, finding.hint, finding.blocks)
    if not_run or not ended:
        yield Finding(beside, not_run or "its process died while it started", "start it with just these")
