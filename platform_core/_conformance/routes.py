"""The module's routes, and identities of what is there to put into their paths."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from platform_core.http.routing import Policy, declared_routes
from platform_core.testing import RunningPlatform

UNKNOWN: Final = "01a20642-0c8c-7e6e-b94c-e5b378cc4910"
"""A well-formed identity of nothing."""

_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True, slots=True)
class Route:
    """
    One operation.

    Attributes:
        template: its whole path, parameters in braces.
        summary: as its author wrote it; empty when it was made of the function's name.
        description: of the function's docstring, or given.
    """

    method: str
    template: str
    policy: Policy
    summary: str
    description: str
    has_body: bool

    def path(self, known: Mapping[str, str]) -> str:
        """Return the path with identities in it: known ones, or of nothing."""
        return _PARAMETER.sub(lambda found: known.get(found[1], UNKNOWN), self.template)

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def routes(p: RunningPlatform, module: str) -> Iterator[Route]:
    """Yield every operation that a module declares."""
    for route, context, prefix in declared_routes(p.kernel.declared[module].routers):
        for method in sorted(context.methods or ()):
            yield Route(
                method,
                f"{prefix}{context.path}",
                getattr(route, "policy", Policy()),
                route.summary or "",
                route.description or inspect.getdoc(route.endpoint) or "",
                route.body_field is not None,
            )


async def known_identities(p: RunningPlatform) -> dict[str, str]:
    """Return names of identities, such as `user_id`, and one of each that is there, of every loaded module's tables."""
    tables: list[dict[str, Any]] = await p.sql(
        "SELECT table_schema AS schema, table_name AS name FROM information_schema.columns"
        " WHERE column_name = 'id' AND data_type = 'uuid' AND table_schema = ANY(%(modules)s)",
        modules=list(p.kernel.declared),
    )
    known: dict[str, str] = {}
    for table in tables:
        rows = await p.sql(f'SELECT id FROM "{table["schema"]}"."{table["name"]}" ORDER BY id DESC LIMIT 1')  # noqa: S608  # names of the catalogue
        if rows:
            known[f"{singular(table['name'])}_id"] = str(rows[0]["id"])
    return known


def singular(plural: str) -> str:
    """`entries` → `entry`, `bookmarks` → `bookmark`; how tables and identities are named."""
    if plural.endswith("ies"):
        return f"{plural[:-3]}y"
    return plural.removesuffix("s")
