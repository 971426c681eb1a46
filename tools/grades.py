"""
Grade the samples and what `platform modules new` writes, as a stranger would; some minutes, so a session of its own.

    uv run nox -s conformance                   all of them
    uv run nox -s conformance -- bookmarks      one of them

What a module author takes as an example has to be as good as it says, and the spy has to be found out by each check.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from platform_core._conformance.grades import Grade

ROOT: Final = Path(__file__).resolve().parents[1]
SAMPLES: Final = ROOT / "tests" / "samples"


@dataclass(frozen=True)
class Expected:
    """
    What a grading has to come to.

    Attributes:
        grade: at least.
        found: check → what one of its findings says, of who and what; every other check has to pass.
    """

    grade: Grade
    found: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SPY: Final = {
    "quiet_import": (
        "spy/plugin.py",
        "it writes the file spy.log",
        "it prints: the spy is here",
        "it changes environment variables",
        "it changes running threads",
    ),
    "boundaries": (
        "it imports user_management.infrastructure.tables, an internal of user_management",
        "it imports platform_core._pools, the kernel's own",
    ),
    "migrations": ("spy.left_behind is still there", "times"),
    "residue": ("role ", "_peeks: it is left in the database"),
    "problems": (
        "GET /api/v1/spy/users: it answers 500",
        "permission denied",
        "GET /api/v1/spy/wall: it answers 500: ZeroDivisionError: of the route",
        "GET /api/v1/spy/pit: it does not answer within",
        "GET /api/v1/spy/sulk: its 404 is text/plain",
        "were lent and not given back",
    ),
    "kills": (
        "spy.note: an event that comes twice leaves 1 more in spy.sightings",
        "spy.note_elsewhere: a worker killed before its commit leaves 1 more in spy.sightings",
    ),
    "surface": ("GET /api/v1/spy/promised is gone, or no longer stable",),
    "purity": ("it depends on sqlalchemy", "domain imports time", "spy.gadgets"),
    "docs": (
        "README",
        "GET /api/v1/spy/users: nothing says what it does",
        "spy:look: the permission has no description",
        "spy.contracts.SomebodySeen: the event has no description",
        "SpySettings.target: the setting has no description",
    ),
    "own_tests": ("test_the_spy_is_harmless",),
}
"""What the module that does everything wrong is found out by, check by check."""

EXPECTED: Final = {
    "bookmarks": Expected(Grade.GOLD),
    "new": Expected(Grade.GOLD),
    "new --minimal": Expected(Grade.GOLD),
    "spy": Expected(Grade.NONE, SPY),
}


def main() -> int:
    """Grade what was asked for; exit code 1 when something comes to another grade, or hides from a check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPECTED)}; all by default")
    wanted = parser.parse_args().names or list(EXPECTED)
    wrong = []
    for name in wanted:
        with project(name) as folder:
            report = graded(folder)
        found = list(deviations(EXPECTED[name], report))
        seconds = sum(check["seconds"] for check in report["checks"])
        print(
            f"{name:<15} {report['grade']:<9} {seconds:5.0f} s  {'as expected' if not found else ''}",
            flush=True,
        )
        wrong += [f"{name}: {line}" for line in found]
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


@contextlib.contextmanager
def project(name: str) -> Iterator[Path]:
    """Yield the folder of a sample, or of a module that has just been written."""
    if not name.startswith("new"):
        yield SAMPLES / name
        return
    with tempfile.TemporaryDirectory(prefix="platform-grades-") as folder:
        options = name.split()[1:]
        command = ["platform", "modules", "new", "graded_blog", *options, "--into", f"{folder}/blog"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield Path(folder) / "blog"


def graded(folder: Path) -> dict[str, Any]:
    """Return what the command says of a project."""
    command = ["platform", "modules", "check", "--conformance", str(folder), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def deviations(expected: Expected, report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is not as expected: the grade, findings where there should be none, and none where there should be."""
    grades = {grade.label: grade for grade in Grade}
    if grades[report["grade"]] < expected.grade:
        yield f"it is worth {report['grade']}, and should be worth {expected.grade.label}"
    for check in report["checks"]:
        findings = [f"{one['who']}: {one['problem']}" for one in check["findings"]]
        words = expected.found.get(check["name"])
        is_allowed = grades[check["grade"]] > expected.grade > Grade.NONE
        if words is None and (findings or check["not_run"]) and not is_allowed:
            yield f"{check['name']}: {check['status']}: {'; '.join([*findings, check['not_run'] or ''])}"
        for part in words or ():
            if not any(part in finding for finding in findings):
                yield f"{check['name']} does not say {part!r}; it says: {'; '.join(findings)}"


if __name__ == "__main__":
    sys.exit(main())
