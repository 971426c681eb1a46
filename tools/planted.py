"""
Plant known bugs one at a time and see a test go red for each: a suite that stays green proves little.

    uv run nox -s planted              every patch in tests/chaos/planted/
    uv run nox -s planted -- d-        those whose name begins so

Each patch says in its head what is wrong in it and which test is meant to notice. It is applied to a copy of the tree,
never to the tree; a patch that no longer applies or that no test notices fails the session.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PATCHES: Final = ROOT / "tests" / "chaos" / "planted"
PYTEST: Final = [sys.executable, "-m", "pytest", "-q", "-rf", "--tb=line", "-p", "no:cacheprovider"]
TEST_FAILED: Final = 1  # pytest's exit code; 2 and above mean that it could not run them


@dataclass(frozen=True)
class Verdict:
    """
    What became of one patch.

    Attributes:
        noticed_by: the tests that failed, and how; none when nobody noticed, or when something else went wrong.
        said: what to tell.
    """

    noticed_by: Sequence[str]
    said: str


def try_patch(patch: Path, tree: Path) -> Verdict:
    """
    Apply one patch to a copy of the tree and run the tests that its head names.
    """
    text = patch.read_text(encoding="utf-8")
    tests = re.findall(r"^Caught by: (.+)$", text, re.MULTILINE)
    if not tests:
        return Verdict([], "its head names no test: add a line `Caught by: path::test`")
    applied = subprocess.run(
        ["git", "apply", str(patch)], cwd=tree, check=False, capture_output=True, text=True
    )
    if applied.returncode:
        return Verdict([], f"it no longer applies; make it anew:\n{applied.stderr.strip()}")
    environment = _looking_at(tree)
    if _platform_of(tree, environment) != tree / "platform_core" / "__init__.py":
        return Verdict([], "the tests would not have seen the copy")
    ran = subprocess.run(
        [*PYTEST, *tests], cwd=tree, env=environment, check=False, capture_output=True, text=True
    )
    noticed = re.findall(r"^FAILED (.+)$", ran.stdout, re.MULTILINE)
    if ran.returncode != TEST_FAILED or not noticed:
        return Verdict([], f"nobody noticed:\n{ran.stdout[-3000:]}{ran.stderr[-1000:]}")
    return Verdict(noticed, "noticed by " + "; ".join(noticed))


def copy(tree: Path) -> None:
    """
    Copy what git knows and what is new, as it stands now; nothing that it ignores.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def _looking_at(tree: Path) -> dict[str, str]:
    """
    An environment in which the copy's packages are found before the installed ones.
    """
    sources = [tree, *sorted(tree.glob("plugins/*/src"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sources)), "COLUMNS": "250"}


def _platform_of(tree: Path, environment: dict[str, str]) -> Path:
    asked = [sys.executable, "-c", "import platform_core; print(platform_core.__file__)"]
    said = subprocess.run(asked, cwd=tree, env=environment, check=True, capture_output=True, text=True)
    return Path(said.stdout.strip())


def main(arguments: Sequence[str]) -> int:
    """
    Try every patch, or those whose names begin with an argument; exit code 1 when one went unnoticed.
    """
    wanted = tuple(arguments) or ("",)
    patches = [patch for patch in sorted(PATCHES.glob("*.patch")) if patch.name.startswith(wanted)]
    unnoticed = 0 if patches else 1
    for patch in patches:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="platform-planted-") as directory:
            tree = Path(directory).resolve()
            tree.chmod(0o755)
            copy(tree)
            verdict = try_patch(patch, tree)
        unnoticed += not verdict.noticed_by
        print(f"{patch.stem}: {verdict.said} ({time.monotonic() - started:.0f} s)", flush=True)
    print(f"{len(patches)} bugs planted, {unnoticed} unnoticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
