"""
The same migrations as SQL, for a database administrator who runs them by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from psycopg import sql

from platform_core._migrations import links
from platform_core._migrations import roles as database_roles
from platform_core._migrations.downgrade import Step
from platform_core._migrations.plan import Goal
from platform_core._migrations.revisions import ModuleMigrations, Revision, read_revisions


def upgrade_sql(
    goal: Goal,
    applied: Mapping[str, Sequence[Revision]],
    *,
    database: str | None = None,
) -> str:
    """
    Return the SQL that `upgrade` would run.

    Args:
        goal: the modules in plugin order, the kernel first, and how far they go.
        applied: module → its applied revisions; a module that is missing begins at its first.
        database: name of the database that will run it, for the names of the roles; None leaves roles out.
    """
    parts: list[str] = []
    for module in goal.modules:
        parts += _module(module, goal, len(applied.get(module.name, ())))
    names = [module.name for module in goal.modules]
    for module in goal.modules:
        for link in module.links:
            if link.target.partition(".")[0] in names:
                parts += _shown(f"link {links.shown(module.name, link)}", links.statements(module.name, link))
    if database is not None:
        parts += _shown("database roles", database_roles.statements(database, names))
    return "\n\n".join(parts) + "\n"


def downgrade_sql(steps: Sequence[Step]) -> str:
    """Return the SQL that `downgrade` would run for these steps; links, schemas and roles stay."""
    from platform_core._migrations.steps import write_sql

    return "\n".join(
        write_sql(step.module, step.revisions, step.revisions[0].id, upgrade=False)
        for step in steps
        if step.revisions
    )


def _module(module: ModuleMigrations, goal: Goal, applied_count: int) -> Iterator[str]:
    from platform_core._migrations.steps import write_sql

    revisions = read_revisions(module)
    todo = goal.runnable(module.name, revisions[applied_count:])
    start = revisions[applied_count - 1].id if applied_count else None
    yield f"-- module {module.name} {module.version}"
    if not applied_count:
        yield "\n".join(f"CREATE SCHEMA IF NOT EXISTS {schema};" for schema in module.schemas)
    if todo:
        yield write_sql(module, todo, start, upgrade=True).strip()
    yield _text(
        sql.SQL(
            "INSERT INTO platform.modules (name, version) VALUES ({}, {})"
            " ON CONFLICT (name) DO UPDATE SET version = excluded.version, seen_at = now()"
        ).format(sql.Literal(module.name), sql.Literal(module.version))
    )


def _shown(title: str, statements: Iterator[sql.Composed]) -> Iterator[str]:
    yield "\n".join([f"-- {title}", *(_text(statement) for statement in statements)])


def _text(statement: sql.Composed) -> str:
    return f"{statement.as_string(None)};"
