"""
The revisions of one module, run on a connection of their own, and again while others hold the locks they need.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import psycopg
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from platform_core._migrations.lock import working_connection
from platform_core._migrations.reports import AppliedRevision
from platform_core._migrations.revisions import ModuleMigrations, Revision
from platform_core._migrations.versions import position, version
from platform_core.errors import MigrationFailed, OperationError

LOCK_ATTEMPTS_COUNT: Final = 10

Progress = Callable[[str], None]


class Observer(Protocol):
    """Somebody who looks on while revisions run."""

    def connected(self, connection: Connection) -> None:
        """Hear of the connection that the next revisions run on; it is in no transaction yet."""

    def starting(self, module: str, revision: Revision) -> None:
        """Hear of a revision before its first statement."""

    def finished(self, module: str, revision: Revision, duration_ms: int) -> None:
        """Hear of it after its last one; it may not be committed yet."""


class Run:
    """The revisions of one module, on a connection of its own."""

    def __init__(
        self,
        url: str,
        module: ModuleMigrations,
        revisions: Sequence[Revision],
        wait_seconds: float,
        progress: Progress,
        observer: Observer | None = None,
    ) -> None:
        self._url, self._module, self._revisions = url, module, revisions
        self._wait_seconds, self._progress, self._observer = wait_seconds, progress, observer
        self._running: Revision | None = None
        self._is_inside = self._has_committed = False
        self._durations_ms: dict[str, int] = {}

    def position(self, connection: psycopg.Connection[Any]) -> int:
        """
        Return how many revisions the database has.

        Raises:
            MigrationFailed: it is at one that this build does not know.
        """
        return position(version(connection, self._module), self._module, self._revisions)

    def applied(self, revisions: Sequence[Revision]) -> tuple[AppliedRevision, ...]:
        """Return `revisions` as a report shows them."""
        return tuple(AppliedRevision(r.id, r.phase, self._durations_ms.get(r.id, 0)) for r in revisions)

    def up(self, revisions: Sequence[Revision]) -> None:
        """
        Run `revisions`; those before one that commits in between are kept although a later one fails.

        Raises:
            MigrationFailed: one of them failed.
        """
        retry(lambda: self._attempt(revisions, upgrade=True), self._progress, self._module.name)

    def down(self, revisions: Sequence[Revision]) -> None:
        """Take `revisions` back, the newest first; raises as `up` does."""
        retry(lambda: self._attempt(revisions, upgrade=False), self._progress, self._module.name)

    def _attempt(self, revisions: Sequence[Revision], *, upgrade: bool) -> None:
        from platform_core._migrations import steps

        self._running = None
        with working_connection(self._url, self._module.name, wait_seconds=self._wait_seconds) as connection:
            # an attempt before this one may have committed some of them
            at = steps.current_revision(connection, self._module)
            connection.rollback()  # reading it began a transaction; Alembic begins its own
            there = self._revisions[: position(at, self._module, self._revisions)]
            todo = [revision for revision in revisions if (revision in there) is not upgrade]
            if not todo:
                return
            if self._observer is not None:
                self._observer.connected(connection)
            event.listen(connection, "begin", self._beginning)
            try:
                steps.run(
                    connection,
                    self._module,
                    todo,
                    upgrade=upgrade,
                    starting=self._starting,
                    finished=self._finished,
                )
            except (Exception, SystemExit) as error:  # a revision is a plugin's code and may raise anything
                if _is_about_locks(error):
                    raise
                raise MigrationFailed(self._explained(error)) from error

    def _starting(self, revision: Revision) -> None:
        self._running = revision
        self._is_inside, self._has_committed = True, False
        self._progress(f"{self._module.name}: {revision.id} {revision.summary}")
        if self._observer is not None:
            self._observer.starting(self._module.name, revision)

    def _beginning(self, _: Connection) -> None:
        # a transaction that begins within a revision follows one that it committed
        self._has_committed = self._has_committed or self._is_inside

    def _finished(self, revision: Revision, duration_ms: int) -> None:
        self._is_inside = False
        self._durations_ms[revision.id] = duration_ms
        if self._observer is not None:
            self._observer.finished(self._module.name, revision, duration_ms)

    def _explained(self, error: BaseException) -> str:
        told = words(error)
        if self._running is None:
            return told
        kept = (
            "What it had done since it last committed is rolled back, what it did before stays"
            if self._has_committed
            else "What its transaction had done is rolled back"
        )
        return (
            f"revision {self._running.id} ({self._running.path.name}) failed: {told} {kept}, and the version table does"
            " not count it. Correct the revision or the data, then run this again."
        )


def retry(statement: Callable[[], None], progress: Progress, what: str) -> None:
    """Run `statement`; again, after a pause, while others hold the locks that it needs."""
    for attempt in range(1, LOCK_ATTEMPTS_COUNT + 1):
        try:
            statement()
            return
        except (DBAPIError, psycopg.Error) as error:
            if not _is_about_locks(error):
                raise
            if attempt == LOCK_ATTEMPTS_COUNT:
                raise MigrationFailed(
                    f"{what}: somebody holds a lock that a revision needs, {attempt} times for 2 s each:"
                    f" {words(error)} Look for long transactions in pg_stat_activity, then run this again."
                ) from error
            pause = min(0.25 * 2**attempt, 5.0) * random.uniform(0.75, 1.25)  # noqa: S311  # spreads retries
            progress(
                f"{what}: a table is in use, trying again in {pause:.1f} s ({attempt} of {LOCK_ATTEMPTS_COUNT})"
            )
            time.sleep(pause)


def _is_about_locks(error: BaseException) -> bool:
    original = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(original, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected)


def words(error: BaseException) -> str:
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, psycopg.Error) and original.diag.message_primary:
        parts = [original.diag.message_primary, original.diag.message_detail, original.diag.message_hint]
        return " ".join(f"{part.rstrip('.')}." for part in parts if part)
    name = "" if isinstance(original, psycopg.Error | OperationError) else f"{type(original).__name__}: "
    return f"{name}{str(original).strip().rstrip('.')}."
