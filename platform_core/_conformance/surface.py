"""Whether the module still has what its `surface.json` promises to whoever builds on it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

from platform_core._conformance.grades import Finding, remark
from platform_core._conformance.ground import Ground
from platform_core._conformance.subject import Subject
from platform_core._environment import environment

FILE: Final = "surface.json"
_SECONDS: Final = 240


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Compare the file with the code, as `platform modules surface` does."""
    if subject.source is None or not (subject.source / FILE).is_file():
        yield remark(
            subject.name, f"it has no {FILE}, so nothing is promised: see `platform modules surface`"
        )
        return
    command = ["-m", "platform_core", "modules", "surface", subject.name, "--check", "--json"]
    try:
        done = subprocess.run(  # noqa: S603  # our own program
            [sys.executable, *command],
            cwd=subject.source,
            env={
                **environment(),
                "PLATFORM_ENV": "development",
                "PLATFORM_MODULES": ",".join(subject.modules),
            },
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield Finding(
            subject.name,
            f"its surface was not read after {_SECONDS:g} s: it hangs",
            f"find what waits for ever when it is imported or declares: run `platform modules surface {subject.name}`",
        )
        return
    found = _answer(done.stdout)
    if found is None:
        yield Finding(subject.name, f"its surface cannot be read: {done.stderr.strip()[-300:]}")
        return
    for problem in found["problems"]:
        yield Finding(FILE, problem)
    if not (found["problems"] or found["is_current"]):
        hint = f"run `platform modules surface {subject.name}`, and commit it"
        yield Finding(FILE, "it is not what the code says", hint)


def _answer(told: str) -> dict[str, Any] | None:
    """Return what the command has answered, beside whatever a module prints; that it prints is told elsewhere."""
    for brace in re.finditer("{", told):
        with contextlib.suppress(ValueError):
            found, _ = json.JSONDecoder().raw_decode(told, brace.start())
            if {"problems", "is_current"} <= found.keys():
                return dict(found)
    return None
