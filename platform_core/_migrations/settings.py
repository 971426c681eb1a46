"""
What migrating needs of the environment: the database, and nothing of Redis, secrets or plugins' settings.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from platform_core.settings import KernelSettings, environment, read_settings

_NOT_NEEDED = {
    "DATABASE_URL": "postgresql://",
    "REDIS_URL": "redis://",
    "PLATFORM_SECRET_KEY": "not needed to migrate, so none is asked for",
}


@contextlib.contextmanager
def migration_settings(source: Mapping[str, str] | None = None) -> Iterator[tuple[KernelSettings, str]]:
    """
    Yield the settings and the address of the database to migrate.

    Where no `DATABASE_URL` is given, PostgreSQL is started on the data of `platform dev` for as long as the block
    lasts, as `platform dev` itself would.

    Args:
        source: environment variables; by default the process's, completed from `.env`.

    Raises:
        InvalidSettings: one of those that count is wrong.
        EmbeddedServiceError: there is no PostgreSQL to start, or `platform dev` is using the data right now.
    """
    given = environment(Path(".env")) if source is None else dict(source)
    has_database = bool(given.get("DATABASE_URL") or given.get("DATABASE_URL_FILE"))
    missing = {
        name: value
        for name, value in _NOT_NEEDED.items()
        if not given.get(name) and not given.get(f"{name}_FILE")
    }
    settings = read_settings({**given, **missing})
    if has_database:
        yield settings, settings.database_url.get_secret_value()
        return
    from platform_core.embedded import embedded_services

    with embedded_services(settings.data_dir, redis=False) as services:
        assert services.database_url is not None  # noqa: S101  # it was asked for
        yield settings, services.database_url
