"""
What migrating needs of the environment: the database, and nothing of Redis, secrets or plugins' settings.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from platform_core import _development
from platform_core._environment import is_development
from platform_core.settings import KernelSettings, read_settings

_NOT_NEEDED: Final = {
    "REDIS_URL": "redis://nowhere",
    "PLATFORM_SECRET_KEY": "not needed to migrate, so none is asked for",
}


@contextlib.contextmanager
def migration_settings(source: Mapping[str, str]) -> Iterator[KernelSettings]:
    """
    Yield the settings with which tables can be changed.

    In development, where no `DATABASE_URL` is given, the database is that of `platform dev` in this directory: shared
    with it while it runs, otherwise started for as long as the block lasts.

    Args:
        source: environment variables.

    Raises:
        InvalidSettings: one of those that count is missing or wrong.
        EmbeddedServiceError: there is no PostgreSQL to start.
    """
    missing = {
        name: value
        for name, value in _NOT_NEEDED.items()
        if not (source.get(name) or source.get(f"{name}_FILE"))
    }
    completed = {**source, **missing}
    if not is_development(source):
        yield read_settings(completed)
        return
    directory = Path(source.get("PLATFORM_DATA_DIR") or ".platform")
    with _development.services(completed, directory) as addresses:
        yield read_settings({"PLATFORM_ENV": "development", **completed, **addresses})
