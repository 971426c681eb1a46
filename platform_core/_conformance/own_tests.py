"""Whether the module's own tests pass, in this environment."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from platform_core._conformance.grades import Finding, NotRun, remark
from platform_core._conformance.ground import Ground
from platform_core._conformance.subject import Subject

_NOTHING_COLLECTED: Final = 5
_SECONDS: Final = 1500
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)(?: - (.*))?$", re.MULTILINE)


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Run pytest in the copy of the project and yield each test that fails."""
    if subject.source is None:
        raise NotRun("a wheel brings no tests; give the project's folder")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-rfE",
        "--tb=line",
    ]
    try:
        done = subprocess.run(  # noqa: S603  # the module's own tests, which is what is asked for
            command, cwd=subject.source, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding(
            subject.name,
            f"its tests were not through after {_SECONDS:g} s",
            "find the one that waits for ever (pytest -o faulthandler_timeout=60 shows where), or make them quicker",
        )
        return
    said = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["nothing"]
    if done.returncode == _NOTHING_COLLECTED:
        yield Finding(
            subject.name, "it has no tests", "`platform modules new` shows what they could look like"
        )
    elif done.returncode == 0:
        yield remark(subject.name, said[-1].strip("= "))
    elif failed := _FAILED.findall(done.stdout):
        for test, reason in failed:
            yield Finding(test, reason or "it fails", "run pytest in the project's folder")
    else:
        tail = " / ".join(line.strip() for line in [*said, *done.stderr.splitlines()][-4:])
        yield Finding(subject.name, f"its tests do not run: {tail}", "run pytest in the project's folder")
