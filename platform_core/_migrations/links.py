"""
Links: foreign keys across modules, owned by neither side; private to the kernel.

A manifest declares them, the migrator puts them in place when both sides are there, and takes them away before one
leaves. What is in place stands in `platform.modules.links` of the declaring module.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from platform_core._migrations.revisions import ModuleMigrations
from platform_core._pools import LONGEST_NAME_BYTES
from platform_core.declarations import Link
from platform_core.errors import MigrationFailed

State = Literal["added", "present", "waiting", "removed", "failed"]

_ON_DELETE: Final[Mapping[str, LiteralString]] = {
    "restrict": "RESTRICT",
    "cascade": "CASCADE",
    "set null": "SET NULL",
}


@dataclass(frozen=True, slots=True)
class LinkReport:
    """
    What became of one link.

    Attributes:
        module: declares it.
        link: `project_management.tasks.assignee_id → user_management.users.id`.
        state: `waiting` while the target's module is not installed or not migrated.
        detail: why it failed or waits.
    """

    module: str
    link: str
    state: State
    detail: str = ""


def constraint_name(module: str, link: Link) -> str:
    """Return the foreign key's name, made as inside a module; one that would not fit ends in a digest of the whole."""
    name = f"fk_{link.table}_{link.column}_{link.target.split('.')[1]}"
    if len(name) <= LONGEST_NAME_BYTES:
        return name
    return f"{name[: LONGEST_NAME_BYTES - 13]}_{hashlib.sha256(f'{module}.{name}'.encode()).hexdigest()[:12]}"


def put_in_place(
    connection: psycopg.Connection[Any],
    modules: Sequence[ModuleMigrations],
    migrated: frozenset[str],
    retrying: Callable[[Callable[[], None]], None],
) -> list[LinkReport]:
    """
    Add the links whose both sides are there, and remove those that their module no longer declares.

    Args:
        connection: the migrator's, autocommit.
        modules: every installed module.
        migrated: those of them whose tables are as this build wants them.
        retrying: runs a statement again while others hold the locks that it needs.
    """
    reports: list[LinkReport] = []
    for module in modules:
        if module.name in migrated:
            reports += _outdated(connection, module, retrying)
            reports += [_put(connection, module.name, link, migrated, retrying) for link in module.links]
    return reports


def remove_links(
    connection: psycopg.Connection[Any], module: str, retrying: Callable[[Callable[[], None]], None]
) -> list[LinkReport]:
    """Take away every link from or to `module`, before its tables go."""
    reports: list[LinkReport] = []
    for owner, stored in _stored(connection):
        if module in (owner, stored.target.partition(".")[0]):
            retrying(functools.partial(_drop, connection, owner, stored))
            reports.append(LinkReport(owner, shown(owner, stored), "removed"))
    return reports


def in_place(connection: psycopg.Connection[Any]) -> Sequence[tuple[str, Link]]:
    """Return (declaring module, link) of everything that is in place."""
    return list(_stored(connection))


def _outdated(
    connection: psycopg.Connection[Any],
    module: ModuleMigrations,
    retrying: Callable[[Callable[[], None]], None],
) -> Iterator[LinkReport]:
    for owner, stored in list(_stored(connection)):
        if owner == module.name and stored not in module.links:
            try:
                retrying(functools.partial(_drop, connection, owner, stored))
            except (psycopg.Error, MigrationFailed) as error:
                yield LinkReport(owner, shown(owner, stored), "failed", _words(error))
            else:
                yield LinkReport(owner, shown(owner, stored), "removed", "the manifest no longer declares it")


def _put(
    connection: psycopg.Connection[Any],
    module: str,
    link: Link,
    migrated: frozenset[str],
    retrying: Callable[[Callable[[], None]], None],
) -> LinkReport:
    name, target = shown(module, link), link.target.partition(".")[0]
    if target not in migrated:
        return LinkReport(module, name, "waiting", f"{target} is not installed and migrated")
    if (module, link) in list(_stored(connection)) and _is_valid(connection, module, link):
        return LinkReport(module, name, "present")
    try:
        retrying(lambda: _add(connection, module, link))
    except (psycopg.Error, MigrationFailed) as error:
        return LinkReport(module, name, "failed", _words(error))
    return LinkReport(module, name, "added")


def statements(module: str, link: Link) -> Iterator[sql.Composed]:
    """Yield the SQL that puts one link in place and remembers it; reading the whole table blocks nobody."""
    target_module, target_table, target_column = link.target.split(".")
    names = {
        "table": sql.Identifier(module, link.table),
        "constraint": sql.Identifier(constraint_name(module, link)),
        "column": sql.Identifier(link.column),
        "target": sql.Identifier(target_module, target_table),
        "key": sql.Identifier(target_column),
        "action": sql.SQL(_ON_DELETE[link.on_delete]),
    }
    yield _drop_statement(module, link)
    yield sql.SQL(
        "ALTER TABLE {table} ADD CONSTRAINT {constraint} FOREIGN KEY ({column}) REFERENCES {target} ({key})"
        " ON DELETE {action} NOT VALID"
    ).format(**names)
    yield from _remember(module, link, valid=False)
    yield sql.SQL("ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}").format(**names)
    yield from _remember(module, link, valid=True)


def _add(connection: psycopg.Connection[Any], module: str, link: Link) -> None:
    *together, validate, forget, remember = statements(module, link)
    with connection.transaction():
        for statement in together:
            connection.execute(statement)
    # apart from the others: it holds no lock that readers or writers would wait for, however long it takes
    connection.execute(validate)
    with connection.transaction():
        connection.execute(forget)
        connection.execute(remember)


def _remember(module: str, link: Link, *, valid: bool) -> Iterator[sql.Composed]:
    """Note a link, valid once every row was looked at."""
    yield _forget(module, link)
    yield sql.SQL("UPDATE platform.modules SET links = links || {} WHERE name = {}").format(
        sql.Literal(Jsonb([{**_plain(link), "valid": valid}])), sql.Literal(module)
    )


def _forget(module: str, link: Link) -> sql.Composed:
    return sql.SQL(
        "UPDATE platform.modules SET links = coalesce((SELECT jsonb_agg(x) FROM jsonb_array_elements(links) AS x"
        " WHERE NOT x @> {}), '[]') WHERE name = {}"
    ).format(sql.Literal(Jsonb(_plain(link))), sql.Literal(module))


def _drop(connection: psycopg.Connection[Any], module: str, link: Link) -> None:
    with connection.transaction():
        connection.execute(_drop_statement(module, link))
        connection.execute(_forget(module, link))


def _drop_statement(module: str, link: Link) -> sql.Composed:
    return sql.SQL("ALTER TABLE IF EXISTS {} DROP CONSTRAINT IF EXISTS {}").format(
        sql.Identifier(module, link.table), sql.Identifier(constraint_name(module, link))
    )


def _is_valid(connection: psycopg.Connection[Any], module: str, link: Link) -> bool:
    row = connection.execute(
        "SELECT convalidated FROM pg_constraint WHERE conname = %s AND conrelid = to_regclass(%s)",
        (constraint_name(module, link), f"{module}.{link.table}"),
    ).fetchone()
    return bool(row and row[0])


def _stored(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, Link]]:
    rows = connection.execute("SELECT name, links FROM platform.modules ORDER BY name").fetchall()
    for name, links in rows:
        for link in links:
            yield name, Link(link["table"], link["column"], link["target"], link["on_delete"])


def _words(error: psycopg.Error | MigrationFailed) -> str:
    if isinstance(error, MigrationFailed):
        return error.message
    return f"{error.diag.message_primary or error} {error.diag.message_detail or ''}".strip()


def _plain(link: Link) -> dict[str, str]:
    return {"table": link.table, "column": link.column, "target": link.target, "on_delete": link.on_delete}


def shown(module: str, link: Link) -> str:
    """Return a link as people read it."""
    return f"{module}.{link.table}.{link.column} → {link.target}"
