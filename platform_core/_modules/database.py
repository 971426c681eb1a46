"""What one database has to say about a set of modules; it is asked, and never changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import psycopg

from platform_core._manifest import KERNEL
from platform_core._migrations import DatabaseState, ModuleMigrations, ModuleState, read_database_sync
from platform_core._modules.findings import Area, Finding
from platform_core._pools import libpq_url

_PATIENCE_SECONDS: Final = 2
"""For a database that is only asked by the way."""


def database_findings(
    url: str, modules: Sequence[ModuleMigrations], named: Collection[str] = ()
) -> list[Finding] | None:
    """
    Return what is pending, what is newer than this build, and whose names are taken.

    Args:
        named: modules of this set, those included that cannot be loaded and of which no more is known.

    Returns: None when the database does not answer.
    """
    try:
        with psycopg.connect(
            libpq_url(url), autocommit=True, connect_timeout=_PATIENCE_SECONDS
        ) as connection:
            state = read_database_sync(connection, modules)
            return [*_states(state), *_taken(connection, state), *_left_behind(state, named)]
    except psycopg.OperationalError:
        return None


def _states(state: DatabaseState) -> Iterator[Finding]:
    for module in state.modules.values():
        if module.problem is not None:
            yield Finding(Area.DATABASE, module.name, module.problem, "its revision files need its author")
            continue
        if any(phase == "contract" for _, phase in module.ahead):
            newer = ", ".join(revision for revision, _ in module.ahead)
            yield Finding(
                Area.DATABASE,
                module.name,
                f"the database is newer than this release, which no longer finds what it needs: {newer}",
                f"install the release of {module.name} that these revisions came with",
            )
        if module.pending or module.is_new:
            yield Finding(Area.DATABASE, module.name, _pending(module), "platform db upgrade", blocks=False)


def _pending(module: ModuleState) -> str:
    if not module.pending:
        return "is new here and waits for its schema and its role"
    count = len(module.pending)
    what = "one revision is pending" if count == 1 else f"{count} revisions are pending"
    return f"{what}: {', '.join(revision.id for revision in module.pending)}"


def _taken(connection: psycopg.Connection[Any], state: DatabaseState) -> Iterator[Finding]:
    """Yield schemas that somebody else has made, under the name of a module that is new here."""
    new = [name for name, module in state.modules.items() if module.is_new and name != KERNEL]
    rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s) ORDER BY 1", (new,))
    for (name,) in rows.fetchall():
        yield Finding(
            Area.NAMES,
            name,
            f"the schema {name} is in the database already, and no module has put it there",
            f'rename it (ALTER SCHEMA "{name}" RENAME TO …), or use another database',
        )


def _left_behind(state: DatabaseState, named: Collection[str]) -> Iterator[Finding]:
    for name in state.uninstalled:
        if name in named:
            continue
        yield Finding(
            Area.DATABASE,
            name,
            "is not part of this set, and its tables are still here",
            "they stay for as long as you want",
            blocks=False,
        )
