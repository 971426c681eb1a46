"""
What tests of a release say to the next release's tables; private to the test kit.

While a release is rolled out, code of the one before works on tables that expand revisions have changed already.
Whether it can is for its own tests to say. So the kit, once it has migrated a database, runs the command in
`TEST_UPGRADE_COMMAND` with that database as `DATABASE_URL`: usually `platform db upgrade --phase expand` of
another environment, where the next release is installed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import Final

from platform_core.errors import MigrationFailed

VARIABLE: Final = "TEST_UPGRADE_COMMAND"


def next_release() -> str:
    """Return the command that migrates further; empty where this release's own tables are tested."""
    return os.environ.get(VARIABLE, "")


def migrate_further(database_url: str) -> None:
    """
    Bring a migrated database to the next release's tables, if there is a command for it.

    Raises:
        MigrationFailed: the command failed; what it printed is in the message.
    """
    command = next_release()
    if not command:
        return
    further = subprocess.run(  # noqa: S603 - the developer's own command
        shlex.split(command),
        env={**os.environ, "DATABASE_URL": database_url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if further.returncode:
        raise MigrationFailed(f"{VARIABLE} ended with {further.returncode}: {command}\n{further.stdout}")
