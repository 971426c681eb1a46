"""The servers of a run, and the databases on them."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from platform_core.testing._databases import Databases, with_database
from platform_core.testing._redis import _numbered
from platform_core.testing._servers import Addresses

pytestmark = pytest.mark.processes

ARGUMENTS = ["-p", "no:cacheprovider", "-p", "no:randomly", "-q"]


def test_a_run_that_asks_for_nothing_starts_and_imports_nothing(
    pytester: pytest.Pytester, own_cache: Path
) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_heavy_is_there():
            heavy = {"fastapi", "sqlalchemy", "psycopg", "redis", "taskiq", "platform_core.app"}
            assert heavy & set(sys.modules) == set()
        """
    )
    result = pytester.runpytest_subprocess(*ARGUMENTS, "-p", "no:hypothesispytest", "-p", "no:schemathesis")
    result.assert_outcomes(passed=1)


def test_a_broken_migration_is_told_and_leaves_no_half_made_template(
    pytester: pytest.Pytester, platform_databases: Databases
) -> None:
    key = f"broken {os.urandom(8).hex()}"

    def breaks(url: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE half ()")
        raise RuntimeError("the second half fails")

    with pytest.raises(RuntimeError, match="second half"):
        platform_databases.template(key, breaks)
    name = platform_databases.template(key, lambda url: None)
    url = platform_databases.take(name)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)
    connection.close()
    platform_databases.give_back(url)
    forget_template(platform_databases, name)


def test_a_template_is_made_once_and_copied_whole(platform_databases: Databases) -> None:
    calls = []
    key = f"whole {os.urandom(8).hex()}"

    def migrate(url: str) -> None:
        calls.append(url)
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE things AS SELECT 1 AS n")

    names = {platform_databases.template(key, migrate) for _ in range(3)}
    assert (len(names), len(calls)) == (1, 1)
    [name] = names
    urls = [platform_databases.take(name) for _ in range(4)]
    assert len(set(urls)) == 4
    for url in urls:
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT n FROM things").fetchone() == (1,)
        platform_databases.give_back(url)
    forget_template(platform_databases, name)


def forget_template(databases: Databases, name: str) -> None:
    with databases._lock:
        databases._recent.clear()
        databases._complete.discard(name)
        databases._used.extend(databases._spares.pop(name, ()))
    with psycopg.connect(databases._url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} IS_TEMPLATE false")
        connection.execute(f"DROP DATABASE {name}")


def test_copies_are_kept_ready_only_of_what_is_asked_for_again_and_again(
    platform_databases: Databases,
) -> None:
    """Seen as eight seconds at the end of a run, when hundreds of copies that nobody wanted were dropped."""
    run = platform_databases._prefix.split("_")[2]
    databases = Databases(Addresses(platform_databases._url, "", run), "again")

    def taken(template: str, times: int) -> None:
        for _ in range(times):
            databases.give_back(databases.take(template))

    with contextlib.closing(databases):
        taken("template0", 1)
        assert databases._lacking() is None
        taken("template0", 1)
        until(lambda: len(databases._spares["template0"]) == 2)
        taken("template1", 8)
        until(lambda: "template0" not in databases._spares and not databases._used)


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_fresh_database_is_there_in_time_for_a_test(
    platform_databases: Databases, fresh_database_url: str
) -> None:
    """The budget is 50 ms, the aim 15 ms; a loaded machine gets ten tries."""
    best = 1.0
    for _ in range(10):
        time.sleep(0.05)  # a test's work, during which the next one is made
        began = time.perf_counter()
        url = platform_databases.take()
        best = min(best, time.perf_counter() - began)
        platform_databases.give_back(url)
    assert best < 0.05


@pytest.mark.parametrize(
    ("url", "numbered"),
    [
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=3"),
        ("unix:///run/redis.sock?db=1&password=x", "unix:///run/redis.sock?password=x&db=4"),
        ("redis://:secret@host:6379", "redis://:secret@host:6379/3"),
        ("redis://host/2?timeout=1", "redis://host/5?timeout=1"),
    ],
)
def test_each_worker_has_its_own_database_of_redis(url: str, numbered: str) -> None:
    assert _numbered(url, 3) == numbered
    redis.Redis.from_url(numbered).close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://platform@/{}?host=/run/x",
        "postgresql://user:word@host:5432/{}",  # pragma: allowlist secret
        "postgresql:///{}",
    ],
)
def test_a_databases_name_is_replaced_in_any_url(url: str) -> None:
    assert with_database(url.format("first"), "second") == url.format("second")
