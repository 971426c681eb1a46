"""Makes checks, each in a process of its own that may hang or die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from platform_core._conformance.environment import Bench
from platform_core._conformance.grades import Check, Finding, Outcome
from platform_core._conformance.subject import Subject
from platform_core.testing._servers import OwnServers

_TAIL: Final = 6
"""Lines of its output that are told of a process that died."""


@contextlib.contextmanager
def servers() -> Iterator[Mapping[str, str]]:
    """Start a PostgreSQL and a Redis for one run, and yield where its processes find them."""
    with contextlib.closing(OwnServers(None, None)) as own:
        addresses = own.addresses()
        yield {"TEST_DATABASE_URL": addresses.database_url, "TEST_REDIS_URL": addresses.redis_url}


def run(check: Check, bench: Bench, servers: Mapping[str, str]) -> Outcome:
    """Make one check and return what came of it, whatever the module does to the process."""
    subject = bench.subject.run_with_people() if check.people else bench.subject
    began = time.monotonic()
    findings, not_run = made(check.name, subject, bench, servers, check.seconds)
    return Outcome(check, findings, not_run, time.monotonic() - began)


def made(
    name: str, subject: Subject, bench: Bench, servers: Mapping[str, str], seconds: float
) -> tuple[Sequence[Finding], str]:
    """
    Run a check's process to its end, or end it.

    Returns: what it found, and why it was not made, if it was not.
    """
    paths = [bench.folder / f"{name}.{kind}" for kind in ("subject", "results", "output")]
    about, results, output = paths
    about.write_text(subject.written(), encoding="utf-8")
    results.touch()
    with output.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  # our own program
            [str(bench.python), "-m", "platform_core._conformance.alone", name, str(about), str(results)],
            cwd=bench.folder / "desk",
            env={**bench.variables, **servers},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ended: int | None = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                ended = process.wait(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    findings, not_run, is_through = read_results(results)
    if not is_through:
        tail = output.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        findings.append(_cut_short(subject, ended, seconds, tail))
    return findings, not_run


def read_results(path: Path) -> tuple[list[Finding], str, bool]:
    """Return what a check's process has written down: findings, why it was not made, and whether it came to its end."""
    written = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = [json.loads(line) for line in written.splitlines()]
    findings = [Finding(**line["finding"]) for line in lines if "finding" in line]
    not_run = next((line["not_run"] for line in lines if "not_run" in line), "")
    return findings, not_run, any("end" in line for line in lines)


def _cut_short(subject: Subject, ended: int | None, seconds: float, tail: Sequence[str]) -> Finding:
    if ended is None:
        hint = "find what waits for ever: a loop, a lock, a call without a time limit"
        return Finding(subject.name, f"it was not through after {seconds:g} s: it hangs", hint)
    how = f"signal {-ended}" if ended < 0 else f"exit code {ended}"
    said = f"; its last words: {' / '.join(tail)}" if tail else ""
    hint = "a module never ends its process: raise an exception, and let the platform decide"
    return Finding(subject.name, f"it ended its own process ({how}){said}", hint)
