"""
Pending revisions on a copy of a database, to know beforehand what they will take; private to the kernel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from platform_core._migrations.clone import How, clone
from platform_core._migrations.lock import connect
from platform_core._migrations.plan import goal
from platform_core._migrations.revisions import ModuleMigrations, Phase
from platform_core._migrations.run import Progress
from platform_core._migrations.state import read_database_sync
from platform_core._migrations.upgrade import upgrade
from platform_core._migrations.watch import TableChange, Watch, WatchedRevision


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """
    What pending revisions did to a copy.

    Attributes:
        database: that was copied; nothing of it was changed.
        how: `files` or `dump`; None when nothing was pending, and so nothing was copied.
        copy_seconds: what making the copy took.
        bytes_before, bytes_after: of the whole database.
        failed: module → why its revisions, or a link of it, failed.
    """

    database: str
    how: How | None = None
    copy_seconds: float = 0.0
    bytes_before: int = 0
    bytes_after: int = 0
    revisions: tuple[WatchedRevision, ...] = ()
    failed: Mapping[str, str] | None = None

    @property
    def ok(self) -> bool:
        """Tell whether everything could be migrated."""
        return not self.failed


def rehearse(
    database_url: str,
    modules: Sequence[ModuleMigrations],
    *,
    phase: Phase | None = None,
    only: str | None = None,
    free_bytes: int | None = None,
    progress: Progress = lambda _: None,
) -> Rehearsal:
    """
    Run what is pending on a copy of a database beside it, and tell what it took.

    Database roles are left alone: they belong to the whole server, not to the copy.

    Args:
        phase, only: as of `upgrade`.
        free_bytes: room on the server's disk, where it cannot be looked at from here.

    Raises:
        MigrationFailed: no copy can be made; the message says why.
    """
    with contextlib.closing(connect(database_url)) as connection:
        name, state = connection.info.dbname, read_database_sync(connection, modules)
    wanted = goal(modules, state, "head", only, phase)
    if not any(wanted.runnable(m.name, state.modules[m.name].pending) for m in wanted.modules):
        return Rehearsal(name)
    with clone(database_url, free_bytes=free_bytes, progress=progress) as copy:
        watch = Watch(copy.url)
        with watch.looking():
            report = upgrade(
                copy.url, modules, phase=phase, only=only, roles=False, progress=progress, observer=watch
            )
        return Rehearsal(
            name,
            copy.how,
            copy.seconds,
            copy.size_bytes,
            _size(copy.url),
            watch.revisions,
            dict(report.failed),
        )


def lines(rehearsal: Rehearsal) -> Iterator[Sequence[str]]:
    """Yield a row for each revision: what it is, how long it took, whom it stops, which rows it wrote, its size."""
    for seen in rehearsal.revisions:
        # the strongest of a table comes first
        strongest = {lock.relation: lock for lock in reversed(seen.locks) if lock.stops}
        stops = [f"{name}: {lock.stops} {lock.held_ms} ms" for name, lock in sorted(strongest.items())]
        rows = [told for table in seen.tables if (told := _rows(table.relation, _counts(table)))]
        grown = sum(table.bytes_after - table.bytes_before for table in seen.tables)
        yield (
            seen.revision,
            seen.phase,
            f"{seen.duration_ms} ms",
            "; ".join(stops) or "nobody",
            "; ".join(rows) or "none",
            f"{grown / 1e6:+.1f} MB" if grown else "same",
        )


def _counts(table: TableChange) -> Mapping[str, int]:
    return {
        name: count
        for name in ("rewritten", "inserted", "updated", "deleted")
        if (count := getattr(table, name))
    }


def _rows(relation: str, counts: Mapping[str, int]) -> str:
    return f"{relation}: {', '.join(f'{count} {name}' for name, count in counts.items())}" if counts else ""


def _size(url: str) -> int:
    with contextlib.closing(connect(url)) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0
