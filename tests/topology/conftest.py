"""
The production topology without containers: `uv run nox -s topology`, and only that, because it is minutes long.

nginx with TLS in front of two API processes, two workers and two schedulers, on PostgreSQL 15 with a streaming standby,
Redis 7, an S3 server, clamd, a mail server and a collector of traces. Nothing of it is imitated but the collector and
the bank.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

HERE = Path(__file__).parent

# test files import the rig while they are collected
sys.path += [str(HERE), str(HERE.parent / "servers")]

if TYPE_CHECKING:
    from topology_rig.life import Life
    from topology_rig.people import People
    from topology_rig.site import Site
    from topology_rig.watcher import Watcher

collect_ignore_glob = [] if os.environ.get("PLATFORM_TOPOLOGY") else ["test_*.py"]

_PROGRAMS = {
    "nginx": "nginx-light",
    "redis-server": "redis-server",
    "/usr/lib/postgresql/15/bin/postgres": "postgresql-15",
    "/usr/sbin/clamd": "clamav-daemon",
    "prometheus": "prometheus",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The upgrade has a site of its own, which should not run beside the one that all others share."""
    items.sort(key=lambda item: "test_upgrade" not in item.nodeid)


@pytest.fixture(scope="session")
def watched() -> Iterator[tuple[Site, Watcher]]:
    """The topology on this build, and Prometheus beside it; what a test breaks it mends again."""
    from topology_rig.site import site
    from topology_rig.watcher import Watcher

    missing = [package for program, package in _PROGRAMS.items() if shutil.which(program) is None]
    assert not missing, f"apt-get install {' '.join(missing)}"
    with site() as running:
        watching = Watcher(running)
        try:
            watching.part.start()
            yield running, watching
        finally:
            watching.part.close()


@pytest.fixture(scope="session")
def site(watched: tuple[Site, Watcher]) -> Site:
    return watched[0]


@pytest.fixture(scope="session")
def watcher(watched: tuple[Site, Watcher]) -> Watcher:
    return watched[1]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[Any], None]:
    """Print figures at the end of the run."""
    return lambda figures: record_property("chaos", json.dumps(figures, indent=1))


@pytest.fixture
async def living(people: People, tmp_path: Path) -> AsyncIterator[Life]:
    """People who read and write meanwhile; what they were told is compared with what is there afterwards."""
    from topology_rig.life import life

    async with life(people, tmp_path) as going_on:
        yield going_on
    await going_on.check()


@pytest.fixture
async def people(site: Site) -> AsyncIterator[People]:
    from topology_rig.people import people

    async with people(site) as everybody:
        yield everybody
