"""
Fixtures of the migration tests: fresh databases on every PostgreSQL of this machine, and throw-away modules.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from platform_core import embedded
from platform_core._migrations import ModuleMigrations, kernel_migrations
from platform_core.declarations import Link
from platform_core.testing._databases import Databases
from platform_core.testing._directories import servers_directory
from platform_core.testing._servers import Addresses

sys.path.append(str(Path(__file__).parent))

from migration_rig import MakeModule, Throwaway, connection, drop_roles  # the path is made above

OLDEST = Path("/usr/lib/postgresql/15/bin")
"""The oldest PostgreSQL that is supported; `.ci/run` installs it."""


@pytest.fixture
def make_module(tmp_path: Path) -> MakeModule:
    def make(name: str, *, requires: Sequence[str] = (), links: Sequence[Link] = ()) -> Throwaway:
        return Throwaway(tmp_path / "modules" / name, name, requires, links)

    return make


@pytest.fixture
def module(make_module: MakeModule) -> Throwaway:
    """A table of 2,500 people, whose names are missing."""
    module = make_module("alpha")
    module.revision(
        "create_people",
        "op.execute('CREATE TABLE people (id uuid PRIMARY KEY DEFAULT platform.uuid7(), number int, name text)')\n"
        "op.execute('INSERT INTO people (number) SELECT generate_series(1, 2500)')",
        "op.execute('DROP TABLE people')",
    )
    return module


@pytest.fixture
def kernel() -> ModuleMigrations:
    return kernel_migrations()


@pytest.fixture(scope="session")
def oldest_databases() -> Iterator[Databases]:
    if not OLDEST.is_dir():
        pytest.skip("PostgreSQL 15 is not installed on this machine")
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(servers_directory())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(embedded.programs, "find_postgres", lambda: OLDEST)
            services = stack.enter_context(embedded.embedded_services(directory, redis=False, durable=False))
        assert services.database_url is not None
        databases = Databases(Addresses(services.database_url, "", "oldest"), "main")
        stack.callback(databases.close)
        yield databases


@pytest.fixture(params=["newest", "oldest"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database, on the newest and on the oldest PostgreSQL."""
    fixture = "platform_databases" if request.param == "newest" else "oldest_databases"
    yield from _database(request.getfixturevalue(fixture))


@pytest.fixture
def newest_database_url(platform_databases: Databases) -> Iterator[str]:
    """An empty database, where the version of PostgreSQL makes no difference."""
    yield from _database(platform_databases)


def _database(databases: Databases) -> Iterator[str]:
    url = databases.take()
    yield url
    with connection(url) as admin:
        drop_roles(admin, admin.info.dbname)
    databases.give_back(url)
