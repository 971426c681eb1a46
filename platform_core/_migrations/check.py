"""
Whether revisions hold what they promise: up, down and up again on a scratch database, and waiting for somebody's run.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from platform_core._migrations.downgrade import downgrade
from platform_core._migrations.lock import connect
from platform_core._migrations.revisions import ModuleMigrations
from platform_core._migrations.run import Progress
from platform_core._migrations.state import DatabaseState, read_database_sync
from platform_core._migrations.upgrade import upgrade
from platform_core.errors import MigrationFailed


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be; `step` is where it was seen: up, models, down, up again."""

    module: str
    step: str
    problem: str

    def __str__(self) -> str:
        return f"{self.module}, {self.step}: {self.problem}"


def check(
    database_url: str, modules: Sequence[ModuleMigrations], *, only: str | None = None, progress: Progress
) -> Sequence[Problem]:
    """
    Run every revision up, down and up again on a scratch database, and compare models and tables.

    Args:
        database_url: the scratch database is made beside this one, which is not touched.
        only: compare and take back this module only.

    Raises:
        MigrationFailed: the database does not answer, or this login may not create databases.
    """
    with scratch_database(database_url) as url:
        return list(_problems(url, modules, only, progress))


@contextlib.contextmanager
def scratch_database(database_url: str) -> Iterator[str]:
    """Yield the address of an empty database beside the given one; it is dropped afterwards, with its roles."""
    with contextlib.closing(connect(database_url)) as connection:
        name = f"{connection.info.dbname[:30]}_check_{os.getpid()}_{secrets.token_hex(3)}"
        try:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege as error:
            raise MigrationFailed(
                f"A scratch database is needed, and {connection.info.user} may not create one: ALTER ROLE"
                f" {connection.info.user} CREATEDB, or run this against a development database."
            ) from error
        url = make_url(database_url).set(database=name).render_as_string(hide_password=False)
        try:
            yield url
        finally:
            roles = _roles(url)
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            for role in roles:
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def wait(
    database_url: str, modules: Sequence[ModuleMigrations], *, timeout_seconds: float, waiting: Progress
) -> DatabaseState:
    """
    Return once nothing is pending that this build needs, whoever runs it.

    Args:
        waiting: told each time that the reason for waiting changes.

    Raises:
        MigrationFailed: it did not come to that in time; the message says what is missing.
    """
    deadline, told = time.monotonic() + timeout_seconds, ""
    while True:
        try:
            state = read_database_sync(database_url, modules)
            if not state.not_ready:
                return state
            reason = "; ".join(str(module) for module in state.not_ready)
        except MigrationFailed as error:
            reason = error.message
        if reason != told:
            waiting(reason)
            told = reason
        if time.monotonic() >= deadline:
            raise MigrationFailed(
                f"After {timeout_seconds:g} s the database is still not what this build needs: {reason}."
                " Run `platform db upgrade`, or look at why the job that does has not ended."
            )
        time.sleep(min(0.5, max(deadline - time.monotonic(), 0.05)))


def _problems(
    url: str, modules: Sequence[ModuleMigrations], only: str | None, progress: Progress
) -> Iterator[Problem]:
    from platform_core._migrations.autogenerate import differences

    wanted = [module for module in modules if only in (None, module.name)]
    for step in ("up", "up again"):
        report = upgrade(url, modules, progress=lambda line, step=step: progress(f"{step}: {line}"))  # type: ignore[misc]  # bound at once
        yield from (Problem(name, step, reason) for name, reason in report.failed.items())
        if not report.ok:
            return
        for module in wanted:
            yield from (
                Problem(module.name, f"models, after {step}", line) for line in differences(url, module)
            )
        if step == "up":
            down = downgrade(url, modules, "base", only=only, progress=lambda line: progress(f"down: {line}"))
            yield from (Problem(name, "down", reason) for name, reason in down.failed.items())
            yield from (Problem(m.name, "down", line) for m in wanted for line in _left(url, m))


def _left(url: str, module: ModuleMigrations) -> Iterator[str]:
    """Yield what a module's downgrades did not take away."""
    with connect(url) as connection:
        rows = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'S')"
            " UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname = ANY(%s)",
            (list(module.schemas), list(module.schemas)),
        ).fetchall()
    for row in rows:
        yield f"{row[0]} is still there"


def _roles(url: str) -> Sequence[str]:
    def of(connection: psycopg.Connection[Any]) -> Sequence[str]:
        try:
            return [
                row[0]
                for row in connection.execute("SELECT role FROM platform.modules WHERE role IS NOT NULL")
            ]
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return ()

    with connect(url) as connection:
        return of(connection)
