"""
Throw-away modules, and looking into databases, for the migration tests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from platform_core._migrations import ModuleMigrations, kernel_migrations
from platform_core._pools import libpq_url
from platform_core.db import aggregate_columns, module_metadata
from platform_core.declarations import Link

KERNEL_REVISIONS = [
    f"platform_{number:04}" for number, _ in enumerate(sorted(kernel_migrations().directory.glob("*.py")), 1)
]
"""The kernel's own, in their order."""


class Throwaway:
    """
    A module whose revision files a test writes line by line.

    Attributes:
        metadata: one table, `things`, unless the test adds more.
        count: of its revisions.
    """

    def __init__(self, directory: Path, name: str, requires: Sequence[str], links: Sequence[Link]) -> None:
        self.name, self.directory, self.requires, self.links = name, directory, requires, links
        self.version = "1.0"
        self.metadata = module_metadata(name)
        self.count = 0
        directory.mkdir(parents=True)

    @property
    def migrations(self) -> ModuleMigrations:
        return ModuleMigrations(
            name=self.name,
            version=self.version,
            directory=self.directory,
            metadata=self.metadata,
            requires=self.requires,
            links=self.links,
        )

    def things(self, *columns: sa.Column[object]) -> Throwaway:
        """Declare the table `things` and write the revision that makes it."""
        sa.Table("things", self.metadata, *aggregate_columns(), *columns)
        extra = "".join(f"    sa.Column({c.name!r}, sa.{type(c.type).__name__}()),\n" for c in columns)
        self.revision(
            "create_things",
            "op.create_table(\n    'things',\n    sa.Column('id', sa.Uuid(), nullable=False),\n"
            "    sa.Column('version', sa.Integer(), nullable=False),\n"
            "    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),\n"
            "    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),\n"
            "    sa.Column('deleted_at', sa.DateTime(timezone=True)),\n"
            f"{extra}    sa.PrimaryKeyConstraint('id', name='pk_things'),\n    schema={self.name!r},\n)",
            f"op.drop_table('things', schema={self.name!r})",
        )
        return self

    def revision(self, what: str, up: str = "pass", down: str = "pass", *, phase: str = "expand") -> Path:
        """Write the next revision: what its name says, and the bodies of its two functions."""
        self.count += 1
        before = f"{self.name}_{self.count - 1:04d}" if self.count > 1 else None
        path = self.directory / f"20260101_{self.count:04d}_{self.name}_{what}.py"
        path.write_text(
            f'"""\n{what}\n"""\nfrom pathlib import Path\nimport sqlalchemy as sa\nfrom alembic import op\n'
            "from platform_core import migrations as safe\n"
            f"revision = '{self.name}_{self.count:04d}'\ndown_revision = {before!r}\nphase = {phase!r}\n\n\n"
            f"def upgrade() -> None:\n{_body(up)}\n\ndef downgrade() -> None:\n{_body(down)}",
            encoding="utf-8",
        )
        return path


def _body(code: str) -> str:
    return indent(dedent(code).strip() + "\n", "    ")


MakeModule = Callable[..., Throwaway]
"""`make_module(name, requires=(), links=())`."""


def drop_roles(admin: psycopg.Connection[Any], prefix: str) -> None:
    """Roles belong to the server, which outlives the test."""
    for (role,) in admin.execute(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE %s", (f"{prefix}\\_%",)
    ).fetchall():
        for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
            admin.execute(sql.SQL(statement).format(sql.Identifier(str(role))))


@contextlib.contextmanager
def connection(url: str, *, role: str | None = None) -> Iterator[psycopg.Connection[Any]]:
    """Connect in autocommit, as a role where one is named, in the way the pools do."""
    options = f"-c role={role}" if role else ""
    with psycopg.connect(libpq_url(url), autocommit=True, options=options) as opened:
        yield opened


def rows(url: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with connection(url) as opened:
        return opened.execute(statement, parameters).fetchall()  # type: ignore[arg-type]  # statements of tests, not of users


def tables(url: str, *schemas: str) -> set[str]:
    found = rows(
        url,
        "SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE table_schema = ANY(%s)"
        " AND table_name <> 'alembic_version'",
        list(schemas),
    )
    return {str(name) for (name,) in found}


def snapshot(url: str) -> list[tuple[str, str]]:
    """Return everything that makes a schema what it is, in a form that two databases can be compared by."""
    with connection(url) as opened:
        database = opened.info.dbname
        found = opened.execute(_SNAPSHOT).fetchall()
    return sorted((str(kind), str(text).replace(f"{database}_", "DB_")) for kind, text in found)


_SNAPSHOT = """
WITH ours AS (SELECT oid, nspname, nspacl FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema|public)')
SELECT 'schema', nspname || ' ' || coalesce(nspacl::text, '') FROM ours
UNION ALL SELECT 'table', nspname || '.' || relname || ' ' || relkind::text || ' ' || coalesce(reloptions::text, '')
    || coalesce(obj_description(c.oid), '') || ' '
    || (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(relacl) AS x)
    FROM pg_class c JOIN ours n ON n.oid = relnamespace WHERE relkind IN ('r', 'S')
UNION ALL SELECT 'column', attrelid::regclass::text || '.' || attname || ' ' || format_type(atttypid, atttypmod)
    || attnotnull::text || attidentity::text || coalesce(pg_get_expr(adbin, adrelid), '') || coalesce(attacl::text, '')
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN ours n ON n.oid = relnamespace
    LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0 AND NOT attisdropped AND relkind = 'r'
UNION ALL SELECT 'index', pg_get_indexdef(indexrelid) || indisvalid::text
    FROM pg_index i JOIN pg_class c ON c.oid = indrelid JOIN ours n ON n.oid = relnamespace
UNION ALL SELECT 'constraint', conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(c.oid)
    || convalidated
    FROM pg_constraint c JOIN ours n ON n.oid = connamespace
UNION ALL SELECT 'function', pg_get_functiondef(p.oid) || coalesce(proacl::text, '')
    FROM pg_proc p JOIN ours n ON n.oid = pronamespace
UNION ALL SELECT 'default rights', nspname || defaclobjtype::text || defaclacl::text
    FROM pg_default_acl JOIN ours n ON n.oid = defaclnamespace
UNION ALL SELECT 'revision', module || ' ' || revision || ' ' || phase FROM platform.migrations
UNION ALL SELECT 'module', name || ' ' || version || ' ' || coalesce(role, '-') || ' ' || links::text
    FROM platform.modules
"""
