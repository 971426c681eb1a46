"""
Refresh the pins: every version the workspace resolves to, in `pyproject.toml` for uv and in `constraints.txt` for pip.

    uv run nox -s pin                    newest versions the declared bounds allow
    uv run nox -s pin -- --keep          keep what is pinned, add what a changed dependency needs

The resolution runs on a copy of the workspace's `pyproject.toml` files, so that uv's lock file, which would carry the
addresses it was resolved from, never lies in the tree.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(
    r"(?<=^# pins: begin\n)constraint-dependencies = \[\n(?P<pins>.*?)^\]\n(?=# pins: end$)", re.S | re.M
)
HEADER = (
    "# What `uv run` installs, for pip: `pip install -c constraints.txt …`. Written by `uv run nox -s pin`.\n"
)


def workspace_projects(root: Path = ROOT) -> list[Path]:
    """
    The `pyproject.toml` of the kernel and of every plugin of this workspace.
    """
    return [root / "pyproject.toml", *sorted(root.glob("plugins/*/pyproject.toml"))]


def resolve(pyproject: str) -> list[str]:
    """
    Resolve the whole workspace for every supported platform and Python.

    Args:
        pyproject: the text of the root's `pyproject.toml`, with or without pins in it.

    Returns: one requirement with an exact version per line, sorted by name.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for project in workspace_projects():
            copy = Path(scratch) / project.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(project, copy)
        (Path(scratch) / "pyproject.toml").write_text(pyproject)
        command = ["uv", "export", "--quiet", "--project", scratch, "--format", "requirements.txt"]
        command += ["--all-packages", "--all-extras", "--all-groups", "--no-emit-workspace"]
        command += ["--no-annotate", "--no-hashes", "--no-header"]
        exported = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted(line.strip() for line in exported.splitlines() if line.strip())


def with_pins(pyproject: str, pins: Sequence[str]) -> str:
    """
    The same `pyproject.toml` with these pins in its marked block.
    """
    lines = "".join(f'    "{pin}",\n' for pin in pins)
    text, count = BLOCK.subn(lambda _: f"constraint-dependencies = [\n{lines}]\n", pyproject)
    if count != 1:
        raise SystemExit("pyproject.toml: the block between '# pins: begin' and '# pins: end' is missing")
    return text


def constraints(pins: Sequence[str]) -> str:
    """
    The text of `constraints.txt` for these pins.
    """
    return HEADER + "".join(f"{pin}\n" for pin in pins)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Write both files; exit code 0.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="start from the present pins")
    options = parser.parse_args(arguments)
    path = ROOT / "pyproject.toml"
    present = path.read_text()
    pins = resolve(present if options.keep else with_pins(present, []))
    path.write_text(with_pins(present, pins))
    (ROOT / "constraints.txt").write_text(constraints(pins))
    print(f"{len(pins)} versions pinned")
    return 0


if __name__ == "__main__":
    sys.exit(main())
