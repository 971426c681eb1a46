"""Whether the module can be taken out as if it had never been there."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Final, LiteralString

import psycopg

from platform_core._conformance.grades import Finding
from platform_core._conformance.ground import Ground
from platform_core._conformance.subject import Subject
from platform_core._environment import environment
from platform_core._pools import libpq_url
from platform_core.testing import RunningPlatform

_CATALOGUE: Final[tuple[tuple[str, LiteralString], ...]] = (
    (
        "relation",
        "SELECT n.nspname || '.' || c.relname, c.relkind::text || array(SELECT unnest(c.relacl)::text"
        " ORDER BY 1)::text FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^(pg_|information_schema)'",
    ),
    (
        "constraint",
        "SELECT conrelid::regclass::text || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint",
    ),
    (
        "function",
        "SELECT p.oid::regprocedure::text, '' FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname !~ '^(pg_|information_schema)'",
    ),
    ("extension", "SELECT extname, extversion FROM pg_extension"),
    (
        "schema",
        "SELECT nspname, array(SELECT unnest(nspacl)::text ORDER BY 1)::text FROM pg_namespace WHERE nspname !~ '^pg_'",
    ),
    ("role", "SELECT rolname, '' FROM pg_roles WHERE rolname LIKE current_database() || '%'"),
    ("module", "SELECT name, version || links::text || requires::text FROM platform.modules"),
    ("revision", "SELECT module || ' ' || revision, '' FROM platform.migrations"),
    ("seed", "SELECT module || '.' || name, '' FROM platform.seeds"),
    ("subscription", "SELECT handler || ' ' || coalesce(event_name, ''), module FROM platform.subscriptions"),
    ("projection", "SELECT name, module FROM platform.projections"),
    ("saga", "SELECT name, id::text FROM platform.sagas"),
    ("switch", "SELECT 'off', off::text FROM platform.module_switches"),
)
"""
What a database has and the platform's registries know: kind, and a query of names and what else is compared.

Rights are sorted: in which order they were granted means nothing, and a start grants them anew.
"""

_SECONDS: Final = 300


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Yield what is left, or has changed, after the module came, was used and was purged."""
    yield from asyncio.run(_left(subject, ground))


async def _left(subject: Subject, ground: Ground) -> list[Finding]:
    async with ground.platform(subject.beside) as p:
        # no copy: a copied database goes on with the roles of its template until a module comes that has none there
        empty = RunningPlatform(p.kernel, p.clock, p.environment, ground.databases.take(), None)
        async with ground.platform(subject.beside, beside=empty, seeds=True) as before:
            return await _compared(subject, ground, before)


async def _compared(subject: Subject, ground: Ground, before: RunningPlatform) -> list[Finding]:
    catalogue = read_catalogue(before.database_url)
    async with ground.platform(beside=before) as p:
        await p.seed()
        await p.deliver()
        refusal = await purged(subject, p.environment)
    if refusal is not None:
        return [refusal]
    async with ground.platform(subject.beside, beside=before):
        pass  # the first process without it drops its switch
    after = read_catalogue(before.database_url)
    hint = "make nothing outside of its own schema; its downgrades and the kernel's registries know the rest"
    return [
        *(
            Finding(what, "it is left in the database", hint)
            for what in sorted(after.keys() - catalogue.keys())
        ),
        *(
            Finding(what, "it is gone, and was not its own", hint)
            for what in sorted(catalogue.keys() - after.keys())
        ),
        *(
            Finding(what, f"it was {catalogue[what]!r} and is {after[what]!r}", hint)
            for what in sorted(catalogue.keys() & after.keys())
            if catalogue[what] != after[what]
        ),
    ]


def read_catalogue(url: str) -> dict[str, str]:
    """Return what is in a database, as `kind name` → what else there is to compare."""
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        return {
            f"{kind} {row[0]}": str(row[1])
            for kind, query in _CATALOGUE
            for row in connection.execute(query).fetchall()
        }


async def purged(subject: Subject, variables: Mapping[str, str]) -> Finding | None:
    """Run the command as a deployer would; return what it says where it refuses, or that it hangs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "platform_core",
        "modules",
        "remove",
        subject.name,
        "--yes",
        "--purge",
        env={**environment(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        hint = "find what it waits for: a transaction that holds on to its tables, or a loop when it starts"
        return Finding(subject.name, f"taking it out was not through after {_SECONDS:g} s", hint)
    if process.returncode == 0:
        return None
    said = output.decode(errors="replace").strip()[-500:]
    hint = "whatever hangs on its tables from outside has to be a link in plugin.toml"
    return Finding(subject.name, f"it cannot be taken out: {said}", hint)
