"""
Where the kernel meets Alembic: the steps of one module, run or written as SQL; private to the kernel.

Alembic orders the revisions of one module; everything across modules is `_migrations`. Importing this costs a
noticeable part of a second, so only what really migrates does.
"""

from __future__ import annotations

import contextlib
import functools
import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TextIO

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from platform_core._migrations.boundary import kept_inside
from platform_core._migrations.revisions import ModuleMigrations, Revision, alembic_directory

VERSION_TABLE: Final = "alembic_version"

_ONE_AT_A_TIME: Final = threading.Lock()
"""`alembic.op` is one proxy for the whole process, so two threads would change each other's databases."""


def script_directory(module: ModuleMigrations) -> ScriptDirectory:
    """Return Alembic's view of one module's revisions."""
    return ScriptDirectory(str(alembic_directory()), version_locations=[str(module.directory)])


def current_revision(connection: Connection, module: ModuleMigrations) -> str | None:
    """Return what the module's version table holds; None before its first revision."""
    return _context(module, connection=connection).get_current_revision()


def run(
    connection: Connection,
    module: ModuleMigrations,
    revisions: Sequence[Revision],
    *,
    upgrade: bool,
    starting: Callable[[Revision], None],
    finished: Callable[[Revision, int], None],
) -> None:
    """
    Run revisions of one module in one transaction, each with its line in the ledger.

    Args:
        connection: not in a transaction; revisions that need it commit in between (`autocommit_block`).
        revisions: in the order to run them; up they follow the current one, down they begin with it.
        starting: called with each revision before it is run.
        finished: called with each revision and its milliseconds after it was run; it may still be rolled back.

    Raises:
        RuntimeError: the database is at another revision than the first of `revisions` needs.
    """
    context = _context(module, connection=connection)
    context._migrations_fn = _steps(context, module, revisions, upgrade, starting, finished)
    with _ONE_AT_A_TIME, Operations.context(context), context.begin_transaction():
        context.run_migrations()


def write_sql(
    module: ModuleMigrations,
    revisions: Sequence[Revision],
    start: str | None,
    *,
    upgrade: bool,
    script: io.StringIO | None = None,
) -> str:
    """
    Return the SQL of the same steps, for a database administrator who runs it by hand.

    Args:
        start: what the version table holds before.
        script: where it is written, statement by statement; for who wants to know which line wrote what.
    """
    script = script if script is not None else io.StringIO()
    context = _context(module, output=script, start=start)
    context._migrations_fn = _steps(context, module, revisions, upgrade, lambda _: None, lambda *_: None)
    with _ONE_AT_A_TIME, Operations.context(context), context.begin_transaction():
        context.run_migrations()
    return script.getvalue()


def _context(
    module: ModuleMigrations,
    *,
    connection: Connection | None = None,
    output: TextIO | None = None,
    start: str | None = None,
) -> MigrationContext:
    options: dict[str, Any] = {
        "version_table": VERSION_TABLE,
        "version_table_schema": module.name,
        "target_metadata": module.metadata,
        "as_sql": output is not None,
        "script": script_directory(module),
        "fn": lambda heads, context: (),
    }
    if output is not None:
        options |= {"output_buffer": output, "starting_rev": start, "literal_binds": True}
        return MigrationContext.configure(dialect_name="postgresql", opts=options)
    return MigrationContext.configure(connection, opts=options)


def _steps(
    context: MigrationContext,
    module: ModuleMigrations,
    revisions: Sequence[Revision],
    upgrade: bool,
    starting: Callable[[Revision], None],
    finished: Callable[[Revision, int], None],
) -> Callable[[Any, Any], Iterable[RevisionStep]]:
    def steps(heads: Sequence[str], _: object) -> Iterator[RevisionStep]:
        expected = (revisions[0].down if upgrade else revisions[0].id) if revisions else None
        if revisions and (heads[0] if heads else None) != expected:
            raise RuntimeError(
                f"{module.name} is at {heads}, not at {expected}: somebody else migrated it meanwhile"
            )
        assert context.script is not None  # noqa: S101  # `_context` gives one
        for revision in revisions:
            script = context.script.get_revision(revision.id)
            assert script is not None  # noqa: S101  # it was read from the same directory
            step = RevisionStep(context.script.revision_map, script, upgrade)
            step.migration_fn = _recorded(
                context, module, revision, step.migration_fn, upgrade, starting, finished
            )
            yield step

    return steps


def _recorded(
    context: MigrationContext,
    module: ModuleMigrations,
    revision: Revision,
    migrate: Callable[..., Any],
    upgrade: bool,
    starting: Callable[[Revision], None],
    finished: Callable[[Revision, int], None],
) -> Callable[..., None]:
    """Wrap a revision's `upgrade` or `downgrade`: the ledger's line is written in its transaction."""

    @functools.wraps(migrate)
    def recorded(**_: Any) -> None:
        with _boundary(context, module):
            starting(revision)
            began = time.monotonic()
            migrate()
            duration_ms = round((time.monotonic() - began) * 1000)
        context.execute(_ledger(module.name, revision, duration_ms, upgrade))
        finished(revision, duration_ms)

    return recorded


def _boundary(context: MigrationContext, module: ModuleMigrations) -> contextlib.AbstractContextManager[None]:
    if context.as_sql or context.connection is None:  # written, not run
        return contextlib.nullcontext()
    return kept_inside(context.connection, module.name, module.schemas)


def _ledger(module: str, revision: Revision, duration_ms: int, upgrade: bool) -> str:
    if upgrade:
        return (
            "INSERT INTO platform.migrations (module, revision, phase, duration_ms)"  # noqa: S608  # checked names
            f" VALUES ('{module}', '{_quoted(revision.id)}', '{revision.phase}', {duration_ms})"
        )
    # the kernel's first revision takes the ledger itself away
    return (
        "DO $$ BEGIN IF to_regclass('platform.migrations') IS NOT NULL THEN"  # noqa: S608  # checked names
        f" DELETE FROM platform.migrations WHERE module = '{module}' AND revision = '{_quoted(revision.id)}';"
        " END IF; END $$"
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")
