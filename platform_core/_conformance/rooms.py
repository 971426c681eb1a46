"""
Which room of a module may import what: `docs/architecture.md` as data.

The repository's own import contracts (`tools/import_contracts.py`) are written from it, and so are the checks of a
stranger's module.
"""

from __future__ import annotations

from typing import Final

PLUGIN_ROOMS: Final = (
    "(plugin)",
    "(presentation) | (infrastructure) | (seeds) | (testing)",
    "(application)",
    "(domain)",
    "(settings) | (hookspecs)",
    "(contracts)",
)
"""Top to bottom, in the notation of import-linter: imports go down only, and not sideways."""

PRIVATE_ROOMS: Final = ("domain", "application", "infrastructure", "presentation", "plugin")

VENDORS: Final = (
    "alembic",
    "asyncpg",
    "fastapi",
    "fsspec",
    "httpx2",
    "jinja2",
    "psycopg",
    "redis",
    "sqlalchemy",
    "starlette",
    "taskiq",
    "typer",
)
"""What no rule and no use case may depend on, however long the chain of imports."""

OUTSIDE_WORLD: Final = (
    "asyncio",
    "os",
    "pathlib",
    "random",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
    "time",
)
"""Parts of the standard library a domain has no business with: it stays true without a computer."""

FACES: Final = {
    "contracts": {"deprecations", "domain", "errors", "money"},
    "domain": {"deprecations", "domain", "errors", "money", "texts"},
    "application": {"domain", "errors", "money", "ports", "security"},
}
"""The kernel rooms that a plugin's inner rooms may import themselves."""

BESIDE: Final = ("migrations",)
"""Folders of a module that are no rooms."""


def layers() -> list[list[str]]:
    """Return the rooms of each layer, top to bottom."""
    return [[room.strip(" ()") for room in layer.split("|")] for layer in PLUGIN_ROOMS]
