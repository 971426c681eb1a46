"""
Explain every statement that the tests send, on tables as they are after months: none may read a large one whole.

    uv run nox -s plans                          every test
    uv run nox -s plans -- plugins/orders/tests  those of one module

The tests run as ever, with this file as a plugin of pytest that writes down what goes over the pools. Then a database
with every shipped module is filled, by what the catalogue says of each column, and each statement is explained with
the values that it was sent with. Statements of modules that only tests have are left out.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg import RawCursor
from psycopg.rows import dict_row

from platform_core._pools import Pools
from platform_core.embedded import embedded_services
from platform_core.settings import KernelSettings

RECORD: Final = "PLATFORM_RECORDED_STATEMENTS"
ROWS: Final = 20_000
_DUE: Final = "nearly all that are filled in are due for it; an index finds the few that usually are"
ALLOWED: Final = {
    (
        "users",
        "ILIKE",
    ): "a search for a part of a name; administrators ask, and a trigram index is the deployer's",
    ("deliveries", "'parked'"): "once at the start of a process, over what is set aside",
    ("idempotency_keys", "DELETE"): _DUE,
    (
        "pages",
        "DELETE FROM posts.pages WHERE NOT",
    ): "a rebuild looks at every row for what its events know no more",
    ("authors", "DELETE FROM posts.authors WHERE NOT"): "the same",
    ("activity_entries", "DELETE FROM project_management.activity_entries WHERE NOT"): "the same",
    ("email_logs", "row_number"): _DUE,
    ("email_logs", "email_logs.status !="): _DUE,
    ("notifications", "notifications.id IN (SELECT"): _DUE,
    ("file_uploads", "file_uploads.expires_at <"): _DUE,
    ("files", "files.deleted_at <"): _DUE,
    ("files", "files.updated_at <"): _DUE,
    ("login_failures", "login_failures.updated_at <"): _DUE,
    ("mailed_links", "mailed_links.expires_at <"): _DUE,
    ("sagas", "stranded"): "most that are filled in are open; an index finds the few that usually are",
    ("deliveries", "stranded"): "those of the open sagas",
}
"""(table, part of the statement) → why it may read all of it."""

Statements = dict[tuple[str, str], Sequence[Any]]
Plan = Mapping[str, Any]

# ── while the tests run ──────────────────────────────────────────────────────────────────────────

_sent: Statements = {}


@pytest.hookimpl
def pytest_configure() -> None:
    """Listen at every pool that is made from now on."""
    if RECORD not in os.environ:
        return
    make = Pools.__init__

    def listening(self: Pools, settings: KernelSettings, *, roles: Mapping[str, str] | None = None) -> None:
        make(self, settings, roles=roles)
        self.watchers.append(_note)

    Pools.__init__ = listening  # type: ignore[method-assign]  # in the process of the tests only


@pytest.hookimpl
def pytest_sessionfinish() -> None:
    """Leave what was heard; each process of pytest-xdist its own file."""
    if _sent:
        (Path(os.environ[RECORD]) / f"{os.getpid()}.pickle").write_bytes(pickle.dumps(_sent))


def _note(_module: str, purpose: str, sql: str, values: Sequence[Any]) -> None:
    if (purpose, sql) not in _sent and sql.lstrip().upper().startswith(
        ("SELECT", "WITH", "UPDATE", "DELETE")
    ):
        try:
            pickle.dumps(values)
        except (pickle.PicklingError, AttributeError, TypeError):
            return  # a test's own type; the next call of the same statement has plain values
        _sent[purpose, sql] = list(values)


# ── afterwards ───────────────────────────────────────────────────────────────────────────────────


def main() -> int:
    """Run the tests, fill a database, explain; 1 when a large table is read whole."""
    with tempfile.TemporaryDirectory(prefix="platform-plans-") as directory:
        home = Path(directory)
        home.chmod(0o755)
        statements = _recorded(home, sys.argv[1:])
        with embedded_services(home / "services", redis=False) as services:
            assert services.database_url is not None  # noqa: S101  # started by default
            environment = {**os.environ, "DATABASE_URL": services.database_url, "PLATFORM_ENV": "development"}
            subprocess.run(
                ["platform", "db", "upgrade"], check=True, env=environment, stdout=subprocess.DEVNULL
            )
            with psycopg.connect(services.database_url, autocommit=True) as connection:
                tables = fill(connection)
                return _tell(_explained(connection, statements), tables)


def _recorded(home: Path, arguments: Sequence[str]) -> Statements:
    record = home / "statements"
    record.mkdir()
    environment = {**os.environ, RECORD: str(record), "PYTHONPATH": str(Path(__file__).parent)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "plans",
        "-n",
        "2",
        "--dist",
        "worksteal",
        "-q",
        "-m",
        "not long",
    ]
    subprocess.run(
        [*command, *arguments], check=False, env=environment
    )  # whether they pass is for `tests` to say
    found: Statements = {}
    for path in record.glob("*.pickle"):
        found |= pickle.loads(path.read_bytes())  # noqa: S301  # written a moment ago by the tests above
    return found


@dataclass(frozen=True, slots=True)
class Explained:
    """
    What became of one statement.

    Attributes:
        whole: large tables that it reads from end to end.
        problem: why it could not be explained; None where it could, or where it is no shipped module's.
    """

    sql: str
    whole: Sequence[str]
    problem: str | None = None


def _explained(connection: psycopg.Connection[Any], statements: Statements) -> Iterator[Explained]:
    for (purpose, sql), values in sorted(statements.items(), key=lambda item: item[0]):
        try:
            yield Explained(
                sql, sorted(read_whole(connection, plan_of(connection, purpose, sql, values), sql))
            )
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            continue  # of a module that only a test has
        except psycopg.Error as error:
            yield Explained(sql, (), str(error).partition("\n")[0])


def plan_of(
    connection: psycopg.Connection[Any],
    purpose: str,
    sql: str,
    values: Sequence[Any],
    *,
    analyze: bool = False,
) -> Plan:
    """
    Return how PostgreSQL would answer a statement, with the settings of the pool that sent it.

    Args:
        purpose: of that pool, as its watchers are told.
        analyze: run it, and count.
    """
    state = "off" if purpose == "claims" else "on"
    for method in ("seqscan", "bitmapscan", "sort"):  # as `Pools.claims` opens its connections
        connection.execute(f"SET enable_{method} = {state}")
    cursor = RawCursor(connection)
    cursor.execute(f"EXPLAIN ({'ANALYZE, ' if analyze else ''}VERBOSE, FORMAT JSON) {sql}".encode(), values)
    row = cursor.fetchone()
    told = row[0] if isinstance(row[0], list) else json.loads(row[0])  # type: ignore[index]  # EXPLAIN answers
    plan: Plan = told[0]["Plan"]
    return plan


def nodes(plan: Plan) -> Iterator[Plan]:
    """Yield each step of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def read_whole(connection: psycopg.Connection[Any], plan: Plan, sql: str) -> set[str]:
    """Return the large tables that a plan reads from end to end, but for those that `ALLOWED` lets pass."""
    scanned = [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    return {
        place
        for node in scanned
        if not any(node["Relation Name"] == name and part in sql for name, part in ALLOWED)
        if _rows(connection, place := f"{node['Schema']}.{node['Relation Name']}") > ROWS / 4
    }


def _rows(connection: psycopg.Connection[Any], place: str) -> float:
    row = connection.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", (place,)).fetchone()
    return 0 if row is None else row[0]


def _tell(explained: Iterator[Explained], tables: int) -> int:
    every = list(explained)
    for one in every:
        if one.problem is not None:
            print(f"not explained: {one.problem}\n    {' '.join(one.sql.split())[:300]}")
    bad = [one for one in every if one.whole]
    for one in bad:
        print(f"reads {', '.join(one.whole)} whole:\n    {' '.join(one.sql.split())[:600]}")
    print(f"{len(every)} statements on {tables} tables of {ROWS:,} rows; {len(bad)} read a large table whole")
    return 1 if bad else 0


# ── tables as they are after months ──────────────────────────────────────────────────────────────


def fill(connection: psycopg.Connection[Any]) -> int:
    """
    Fill every table of every module with `ROWS` rows that its keys allow; other checks are dropped first.

    Returns: how many tables there are.
    """
    tables = connection.cursor(row_factory=dict_row).execute(_TABLES).fetchall()
    columns: dict[str, list[dict[str, Any]]] = {}
    for column in connection.cursor(row_factory=dict_row).execute(_COLUMNS):
        columns.setdefault(column["place"], []).append(column)
    for check in connection.execute(_CHECKS).fetchall():
        connection.execute(f"ALTER TABLE {check[0]} DROP CONSTRAINT {check[1]}")
    connection.execute(
        "SET session_replication_role = replica"
    )  # no triggers, so keys into tables not filled yet may be
    for table in tables:
        wanted = [column for column in columns[table["place"]] if not column["is_made"]]
        names = ", ".join(f'"{column["name"]}"' for column in wanted)
        values = ", ".join(_value(column) for column in wanted)
        connection.execute(
            f"INSERT INTO {table['place']} ({names}) SELECT {values} FROM generate_series(1, {ROWS}) n"
            " ON CONFLICT DO NOTHING"
        )
    connection.execute("SET session_replication_role = origin")
    connection.execute("VACUUM ANALYZE")
    return len(tables)


def _value(column: Mapping[str, Any]) -> str:
    """Return SQL for the n-th row's value; identifiers are the same in every table, so that rows find each other."""
    kind, name = column["kind"], column["name"]
    choices = re.findall(r"'([^']*)'::", column["check"] or "")
    value = _BY_KIND.get(kind, f"('{name}' || n)::{kind}")
    if kind == "uuid":
        value = (
            "lpad(to_hex(n), 32, '0')::uuid"
            if column["is_key"]
            else "lpad(to_hex(n / 10 + 1), 32, '0')::uuid"
        )
    elif kind.endswith("[]"):
        value = f"'{{}}'::{kind}"
    elif choices and kind in ("text", "character varying"):
        value = f"(ARRAY[{', '.join(repr(choice) for choice in choices)}])[1 + n % {len(choices)}]"
    if column["is_nullable"] and kind.startswith(
        "timestamp"
    ):  # finished: mostly; deleted, revoked, read: mostly not
        return f"CASE WHEN n % 10 {'<>' if name == 'finished_at' else '='} 0 THEN {value} END"
    return value


_BY_KIND: Final = {
    "timestamp with time zone": "now() - n * interval '1 minute'",
    "date": "current_date - n % 365",
    "time without time zone": "'12:00'::time",
    "integer": "n",
    "bigint": "n",
    "smallint": "n % 1000",
    "numeric": "n",
    "double precision": "n",
    "boolean": "n % 10 <> 0",
    "jsonb": "'{}'::jsonb",
    "bytea": "sha256(n::text::bytea)",
    "inet": "'127.0.0.1'::inet",
    "interval": "interval '1 minute'",
}
_SCHEMAS: Final = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'public', 'pg_toast')"
# ruff: noqa: S608  # below and in `fill`, names come from the catalogue
_TABLES: Final = f"""
SELECT c.oid::regclass::text AS place FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND {_SCHEMAS} AND c.relname NOT IN ('alembic_version', 'migrations', 'modules', 'subscriptions')
ORDER BY 1
"""
_COLUMNS: Final = f"""
SELECT c.oid::regclass::text AS place, a.attname AS name,
  regexp_replace(format_type(a.atttypid, a.atttypmod), '\\(.*\\)', '') AS kind,
  NOT a.attnotnull AS is_nullable, a.attgenerated <> '' OR a.attidentity <> '' AS is_made,
  EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique
    AND i.indkey[i.indnkeyatts - 1] = a.attnum) AS is_key,
  (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'
    AND k.conkey = ARRAY[a.attnum] LIMIT 1) AS "check"
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'r' AND {_SCHEMAS} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.oid, a.attnum
"""
_CHECKS: Final = f"""
SELECT c.oid::regclass::text, quote_ident(k.conname) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'c' AND {_SCHEMAS}
"""


if __name__ == "__main__":
    raise SystemExit(main())
