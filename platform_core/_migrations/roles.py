"""
Database roles: one per module, with rights on its own schema and what its statements need; private to the kernel.

    login of DATABASE_URL  owns everything, migrates          member of ▼
    {database}_platform    the kernel's own pools             never changes a line of the trail
    {database}_{module}    the pools of one module            its own schema; events and audit lines: append only

Connections take their role in the start-up packet (`_pools.py`), so a forgotten join into a neighbour's table fails
in development as it does in production. A process still logs in as a member of every role: this guards against
mistakes and injected SQL, not against a plugin that means harm.

In production, API and workers best log in as somebody who owns nothing and is a member of these roles only
(`GRANT platform_platform, platform_user_management TO application`); migrations alone need the owner's login.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from platform_core._pools import KERNEL, role_name
from platform_core.errors import MigrationFailed

AUDIT: Final = "audit"
VERSION_TABLE: Final = "alembic_version"

_ATTEMPTS_COUNT: Final = 8

MAY_TAKE: Final[LiteralString] = (
    "CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END"
)
"""Since PostgreSQL 16 the right to `SET ROLE` is apart from membership, and whoever makes a role lacks it at first."""

_MODULE_RIGHTS: Final[Sequence[LiteralString]] = (
    "INSERT, SELECT (id, name, position, aggregate_id) ON audit.domain_events",
    "INSERT ON audit.audit_logs",
    "INSERT (audit_id) ON audit.audit_chain",
    "SELECT ON platform.subscriptions",
    "SELECT, INSERT, UPDATE ON platform.deliveries",
    "SELECT, INSERT, UPDATE ON platform.idempotency_keys",
    "SELECT, INSERT, UPDATE ON platform.sagas",
    "INSERT ON platform.saga_log",
    "SELECT, UPDATE ON platform.projections",
)
"""What a module's unit of work needs of the kernel's tables, and nothing else."""

_KERNEL_RIGHTS: Final[Sequence[LiteralString]] = (
    "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA platform",
    "SELECT, INSERT ON audit.domain_events, audit.audit_logs",
    "SELECT, INSERT (audit_id), UPDATE (position, digest, hash, chained_at) ON audit.audit_chain",
)

_KERNEL_READS_ONLY: Final[LiteralString] = "platform.migrations, platform.modules, platform.alembic_version"
"""What only the migrator writes."""


def statements(database: str, modules: Iterable[str]) -> Iterator[sql.Composed]:
    """
    Yield the SQL that brings the roles of a migrated database up to date; running it again changes nothing.

    Rights that an older release granted and this one does not are taken back in the same transaction.

    Args:
        database: its name is part of the roles' names, because roles belong to the whole cluster.
        modules: those whose schema is there; the kernel, `platform`, among them.
    """
    for module in modules:
        role = role_name(database, module)
        yield from _create(role)
        yield from _kernel_rights(role) if module == KERNEL else _module_rights(role, module)
        yield sql.SQL("UPDATE platform.modules SET role = {} WHERE name = {}").format(
            sql.Literal(role), sql.Literal(module)
        )


def apply(connection: psycopg.Connection[Any], modules: Sequence[str]) -> str | None:
    """
    Create the roles and their rights, under the migration lock.

    Args:
        connection: the migrator's, autocommit, connected to the migrated database.
        modules: those whose schema is there.

    Returns: None when roles are in place; otherwise why there are none, in one line. Every process then runs with the
        login's own rights.

    Raises:
        MigrationFailed: roles are in use, and they cannot be brought up to date. They are never given up silently.
    """
    database = connection.info.dbname
    for attempt in range(1, _ATTEMPTS_COUNT + 1):
        try:
            with connection.transaction():
                for statement in statements(database, modules):
                    connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            return _without(connection, error)
        except (
            psycopg.errors.InternalError_,
            psycopg.errors.UniqueViolation,
            psycopg.errors.LockNotAvailable,
        ) as error:
            # roles belong to the cluster: another database's migrator touched the same catalogue row
            if attempt == _ATTEMPTS_COUNT:
                raise MigrationFailed(
                    f"every module is migrated, but the database roles are not: {error.diag.message_primary}."
                    " Another database of this server was being migrated all the time; run this again."
                ) from error
            time.sleep(random.uniform(0.02, 0.1) * attempt)  # noqa: S311  # spreads retries, guards nothing
        else:
            break
    return None


def _without(connection: psycopg.Connection[Any], error: psycopg.errors.InsufficientPrivilege) -> str:
    login, denied = connection.info.user, error.diag.message_primary
    row = connection.execute("SELECT count(role) FROM platform.modules").fetchone()
    if row is not None and row[0]:
        raise MigrationFailed(
            f"every module is migrated, but the database roles that are in use here are not up to date: {denied}."
            f" ALTER ROLE {login} CREATEROLE, or give them up with PLATFORM_DATABASE_ROLES=false; then run this again."
        ) from error
    return (
        f"database roles are off, modules are not kept apart in the database: {denied};"
        f" ALTER ROLE {login} CREATEROLE switches them on at the next upgrade"
    )


def of_module(connection: psycopg.Connection[Any], module: str) -> str | None:
    """Return the role that `platform.modules` names for a module, if it is this database's own."""
    try:
        found = connection.execute("SELECT role FROM platform.modules WHERE name = %s", (module,)).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    # a clone names the role of the database it was copied from; that one drops it
    return found[0] if found and found[0] == role_name(connection.info.dbname, module) else None


def drop(connection: psycopg.Connection[Any], role: str) -> str | None:
    """
    Take away a role and everything it was granted in this database.

    Returns: None when it is gone; otherwise why it stays, in one line.
    """
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    except psycopg.errors.UndefinedObject:
        return None
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.DependentObjectsStillExist) as error:
        return f"the database role {role} stays: {error.diag.message_primary}"
    return None


def _create(role: str) -> Iterator[sql.Composed]:
    # a role that somebody privileged made beforehand is as good as one made here
    yield sql.SQL(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {name}) THEN CREATE ROLE {role} NOLOGIN;"
        " END IF; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    ).format(name=sql.Literal(role), role=sql.Identifier(role))
    yield sql.SQL(
        "DO $$ BEGIN IF NOT pg_has_role({name}, {right}) THEN GRANT {role} TO CURRENT_USER; END IF; END $$"
    ).format(name=sql.Literal(role), right=sql.SQL(MAY_TAKE), role=sql.Identifier(role))


def _clean_slate(role: sql.Identifier) -> Iterator[sql.Composed]:
    yield sql.SQL("GRANT USAGE ON SCHEMA platform, audit TO {}").format(role)
    yield sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA platform, audit FROM {}").format(role)
    yield sql.SQL("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA platform TO {}").format(role)


def _kernel_rights(name: str) -> Iterator[sql.Composed]:
    role = sql.Identifier(name)
    yield from _clean_slate(role)
    for rights in _KERNEL_RIGHTS:
        yield sql.SQL("GRANT {} TO {}").format(sql.SQL(rights), role)
    yield sql.SQL("REVOKE INSERT, UPDATE, DELETE ON {} FROM {}").format(sql.SQL(_KERNEL_READS_ONLY), role)


def _module_rights(name: str, module: str) -> Iterator[sql.Composed]:
    role, schema = sql.Identifier(name), sql.Identifier(module)
    names = {
        "role": role,
        "schema": schema,
        "versions": sql.Identifier(module, VERSION_TABLE),
        "versions_name": sql.Literal(f"{module}.{VERSION_TABLE}"),
    }
    yield from _clean_slate(role)
    for rights in _MODULE_RIGHTS:
        yield sql.SQL("GRANT {} TO {}").format(sql.SQL(rights), role)
    for statement in _OWN_SCHEMA:
        yield sql.SQL(statement).format(**names)


_OWN_SCHEMA: Final[Sequence[LiteralString]] = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE, SELECT ON SEQUENCES TO {role}",
    # a module of which no revision has run has none
    "DO $$ BEGIN IF to_regclass({versions_name}) IS NOT NULL THEN REVOKE ALL ON {versions} FROM {role}; END IF; END $$",
)
