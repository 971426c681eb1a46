"""
The code of an earlier commit on this tree's tables, as between the two steps of a rolling deployment.

    uv run nox -s compat                      the latest release's tag; before there is one, the commit before this
    uv run nox -s compat -- --ref HEAD~20     any commit
    uv run nox -s compat -- -k login          other arguments go to pytest

The session checks the earlier commit out and installs it into an environment of its own. Its own tests are run from
there; each database they use has been migrated by the earlier code, then by the expand revisions of this tree (its
test kit asks for that: `TEST_UPGRADE_COMMAND`). What fails is something that the earlier code needs and an expand
revision took away.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from platform_core._migrations import installed_migrations, read_database_sync, upgrade
from platform_core.embedded import embedded_services
from platform_core.testing._next_release import VARIABLE

ROOT: Final = Path(__file__).resolve().parents[1]
REVISIONS: Final = ("alembic/versions/*.py", "plugins/*/src/*/migrations/versions/*.py")

KIT: Final = "platform_core/testing/_next_release.py"
"""What runs the command; commits from before it was written cannot be tried."""

TESTS: Final = ("plugins", "tests/http")
"""What the code does with its tables. Whole processes and faults add time, and no statement that these do not make."""

NOT_ITS_BUSINESS: Final = "--ignore-glob=*/test_migrations.py"
"""The earlier migrator is not run on tables that are newer than it; it would refuse, and rightly."""


def expand(database_url: str) -> None:
    """
    Run this tree's expand revisions, for those modules that the earlier code has migrated there.

    Raises:
        MigrationFailed: one of them failed.
    """
    installed = installed_migrations().modules
    there = read_database_sync(database_url, installed).remembered
    wanted = [module for module in installed if module.name in there]
    upgrade(database_url, wanted, phase="expand").raise_for_failures()


def revisions(tree: Path) -> dict[str, str]:
    """
    Every revision file of a tree with its text.
    """
    found = (path for pattern in REVISIONS for path in sorted(tree.glob(pattern)))
    return {str(path.relative_to(tree)): path.read_text(encoding="utf-8") for path in found}


def tried(earlier: Path, arguments: Sequence[str]) -> int:
    """
    Run the tests of the tree in `earlier` and say what they were run on; 0 when they passed.
    """
    before, now = revisions(earlier), revisions(ROOT)
    if edited := sorted(name for name, text in before.items() if now.get(name) != text):
        print("Edited or removed since:", *edited, sep="\n  ")
        print("A database that has run a revision does not run it again: leave it, and write another one.")
        return 1
    if not (earlier / KIT).exists():
        print(f"That commit's test kit does not know {VARIABLE}: nothing can be tried with it.")
        return 1
    added = sorted(now.keys() - before.keys())
    print("Revisions that came since:", *(added or ["none, so its tables are today's tables"]), sep="\n  ")
    with tempfile.TemporaryDirectory(prefix="platform-compat-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user where this runs as root, and has to get there
        log = folder / "expanded"
        with embedded_services(folder / "data", durable=False) as servers:
            further = [sys.executable, str(Path(__file__).resolve()), "expand", str(log)]
            environment = {
                **os.environ,
                "TEST_DATABASE_URL": str(servers.database_url),
                "TEST_REDIS_URL": str(servers.redis_url),
                VARIABLE: shlex.join(further),
            }
            paths = () if any((earlier / argument).exists() for argument in arguments) else TESTS
            command = ["pytest", "-n", "2", "--dist", "worksteal", NOT_ITS_BUSINESS, *paths, *arguments]
            failed = subprocess.run(command, cwd=earlier, env=environment, check=False).returncode
        if not failed and not log.exists():
            print(
                "Nothing was tried: none of these tests has a database, or that commit's kit cannot do this yet."
            )
            return 1
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the tests of an earlier tree; or, asked by its test kit, migrate `DATABASE_URL` and write that down.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    trying = commands.add_parser(
        "try", help="run the tests of the tree at EARLIER; what follows goes to pytest"
    )
    trying.add_argument("earlier", type=Path)
    expanding = commands.add_parser(
        "expand", help="run expand revisions on DATABASE_URL, and append a line to LOG"
    )
    expanding.add_argument("log", type=Path)
    options, rest = parser.parse_known_args(arguments)
    if options.command == "try":
        return tried(options.earlier, rest)
    expand(os.environ["DATABASE_URL"])
    with options.log.open("a") as log:
        log.write("done\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
