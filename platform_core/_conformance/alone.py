"""
One check in a process of its own: `python -m platform_core._conformance.alone CHECK SUBJECT RESULTS`.

A module that hangs, exits or crashes its interpreter ends this process, and nothing else. What is found is written down
line by line, so that it is known even then.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from platform_core._conformance.grades import Finding, NotRun
from platform_core._conformance.ground import Ground
from platform_core._conformance.subject import Subject
from platform_core.errors import OperationError, StartupFailed

Checking = Callable[[Subject, Ground], Iterator[Finding]]
"""What each kind of check is: a function `check` that yields what it finds, and may raise `NotRun`."""


class _Hidden(MetaPathFinder):
    """Lets packages be absent that are installed."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = frozenset(packages)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def main(arguments: Sequence[str]) -> None:
    """Make one check and write down what it finds."""
    name, subject_path, results_path = arguments
    subject = Subject.read(Path(subject_path).read_text(encoding="utf-8"))
    sys.meta_path.insert(0, _Hidden(subject.hidden))
    with Path(results_path).open("w", encoding="utf-8") as results, Ground(subject) as ground:

        def tell(line: dict[str, Any]) -> None:
            results.write(json.dumps(line) + "\n")
            results.flush()

        try:
            for finding in _function(name)(subject, ground):
                tell({"finding": asdict(finding)})
        except NotRun as reason:
            tell({"not_run": str(reason)})
        except StartupFailed as failed:
            first = failed.exceptions[0]
            tell({"not_run": f"the platform does not start with it: {first}"})
        except OperationError as error:
            tell({"not_run": error.message})
        except Exception as error:  # noqa: BLE001  # whatever a module raises is told, not shown as our crash
            traceback.print_exc()
            tell({"finding": asdict(_raised(error, subject))})
        tell({"end": True})


def _function(name: str) -> Checking:
    function: Checking = importlib.import_module(f"platform_core._conformance.{name}").check
    return function


def _raised(error: Exception, subject: Subject) -> Finding:
    """Blame the innermost line of the module that is on the way to an exception."""
    who = subject.name
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.is_relative_to(subject.package):
            who = f"{path.relative_to(subject.package.parent)}:{frame.lineno}"
    hint = "mend that line; if it is none of the module's, the check itself is wrong: tell the platform's authors"
    return Finding(who, f"it raised {type(error).__name__}: {error}", hint)


if __name__ == "__main__":
    main(sys.argv[1:])
