"""
A module's data as one file that needs nothing of ours to be read: a zip of CSV files, and what they are.

    manifest.json     module, version, revision, and of each table its columns, rows and SHA-256
    TABLE.csv         with a line of names; PostgreSQL's own CSV, so that COPY … FROM reads it back
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from platform_core._migrations.roles import VERSION_TABLE
from platform_core._modules import exports
from platform_core._modules.removal import RemovalPlan, tables
from platform_core._pools import libpq_url
from platform_core.errors import OperationError

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1


def check_target(path: Path) -> None:
    """Raise OperationError where an export would write over something."""
    if path.exists():
        raise OperationError(f"{path} is there already; an export does not write over anything.")


def export(url: str, plan: RemovalPlan, path: Path, progress: Callable[[str], None]) -> None:
    """
    Write everything that a module stores into one file, as it was at one moment, and remember what that was.

    Raises:
        OperationError: the file cannot be written.
    """
    with psycopg.connect(libpq_url(url)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        # first, because a file that is there and not remembered is guarded by nothing
        written = exports.contents(connection, plan.module, tables(connection, plan.module))
        write(connection, plan, path, progress)
        with psycopg.connect(libpq_url(url)) as other:
            exports.remember(other, plan.module, path, written)


def write(
    connection: psycopg.Connection[Any], plan: RemovalPlan, path: Path, progress: Callable[[str], None]
) -> None:
    """
    Write what one transaction sees of a module; the file is there, and on the disk, when this returns.

    Args:
        connection: in a transaction that sees one moment, be it by its isolation or because it has locked the tables.

    Raises:
        OperationError: the file cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                _fill(connection, plan, archive, progress)
            file.flush()
            os.fsync(file.fileno())  # what is in it may be dropped next
        os.replace(unfinished, path)
        _sync(path.parent)  # without it the file may be there, and its name not
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OperationError(f"{path} cannot be written: {error.strerror or error}.") from error


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot do that, as some of networks
            raise
    finally:
        os.close(opened)


def _fill(
    connection: psycopg.Connection[Any],
    plan: RemovalPlan,
    archive: zipfile.ZipFile,
    progress: Callable[[str], None],
) -> None:
    described = []
    for name in tables(connection, plan.module):
        progress(f"writing {name}")
        described.append(_copy(connection, plan.module, name, archive))
    manifest = {
        "format": FORMAT,
        "module": plan.module,
        "version": plan.version,
        "revision": _revision(connection, plan.module),
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "links": list(plan.links),
        "tables": described,
    }
    archive.writestr(MANIFEST, json.dumps(manifest, indent=2))


def _copy(
    connection: psycopg.Connection[Any], module: str, table: str, archive: zipfile.ZipFile
) -> Mapping[str, Any]:
    name, digest = sql.Identifier(module, table), hashlib.sha256()
    with connection.cursor() as cursor:
        with (
            archive.open(f"{table}.csv", "w", force_zip64=True) as file,
            cursor.copy(
                sql.SQL("COPY (SELECT * FROM {}) TO STDOUT (FORMAT csv, HEADER)").format(name)
            ) as copy,
        ):
            for block in copy:
                digest.update(block)
                file.write(block)
        count = cursor.rowcount
    columns = connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (name.as_string(connection),),
    ).fetchall()
    return {
        "name": table,
        "file": f"{table}.csv",
        "rows": count,
        "sha256": digest.hexdigest(),
        "columns": [{"name": column, "type": kind} for column, kind in columns],
    }


def _revision(connection: psycopg.Connection[Any], module: str) -> str | None:
    exists = connection.execute("SELECT to_regclass(%s)", (f"{module}.{VERSION_TABLE}",)).fetchone()
    if exists is None or exists[0] is None:
        return None
    row = connection.execute(
        sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(module, VERSION_TABLE))
    ).fetchone()
    return row[0] if row else None
