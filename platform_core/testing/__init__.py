"""
The published test kit: real servers, a running platform, scenarios, and conformance suites for adapters.

pytest loads it by itself wherever `platform-core[testing]` is installed; nothing is started or imported until a test
asks. A module author's test is as short as this:

    async def test_a_new_user_is_welcomed(platform: PlatformFactory) -> None:
        async with platform(["user_management", "notification"]) as p:
            await (
                scenario(p)
                .stimulate(lambda: p.client.post("/api/v1/users/register", json=ADA))
                .wait_for_event(UserRegistered)
                .verify(lambda event: check(event.email == ADA["email"]))
            )
            assert [mail.subject for mail in p.mails] == ["Welcome"]

Fixtures: `platform`, `run_platform`, `chaos` (see `platform_core.testing.chaos`),
and for adapters that need only a server `fresh_database_url` and `fresh_redis_url`.
Servers are started as child processes unless `TEST_DATABASE_URL` (its role may create databases and roles) and
`TEST_REDIS_URL` (its databases are emptied, one for each xdist worker) name others. All xdist workers share them, and
what they keep is in memory (/dev/shm) where that has plenty of room, or where `TMPDIR` says.
`TEST_UPGRADE_COMMAND` migrates databases further, with the next release of what is tested.

A project of its own needs three settings of pytest; the first lets tests and fixtures be `async def` without a mark:

    [tool.pytest.ini_options]
    asyncio_mode = "auto"
    asyncio_default_fixture_loop_scope = "function"    # a loop for each test, as the platform is one's own
    filterwarnings = ["error"]                         # a warning of today is an error of tomorrow's release

What a plugin needs to start under test is told by itself: `settings_for_tests()` in its module `testing` returns
environment variables, such as throw-away keys.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from platform_core.testing._servers import AskedServers, OwnServers, Servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from platform_core.testing._clock import ManualClock
    from platform_core.testing._counting import Statement, Traffic
    from platform_core.testing._databases import Databases
    from platform_core.testing._forks import RunPlatform
    from platform_core.testing._patience import eventually
    from platform_core.testing._platform import Acting, PlatformFactory, RunningPlatform
    from platform_core.testing._plugins import PluginSource, plugins_installed
    from platform_core.testing._processes import ProcessProblem, RunningProcess, run_process
    from platform_core.testing._records import AuditLine, StoredDelivery, StoredEvent
    from platform_core.testing._scenario import Scenario, ScenarioFailed, scenario
    from platform_core.testing._streams import EventStream, StreamedEvent, listening
    from platform_core.testing.chaos import Chaos

__all__ = [
    "Acting",
    "AuditLine",
    "EventStream",
    "ManualClock",
    "PlatformFactory",
    "PluginSource",
    "ProcessProblem",
    "RunPlatform",
    "RunningPlatform",
    "RunningProcess",
    "Scenario",
    "ScenarioFailed",
    "Statement",
    "StoredDelivery",
    "StoredEvent",
    "StreamedEvent",
    "Traffic",
    "eventually",
    "listening",
    "plugins_installed",
    "run_process",
    "scenario",
]

_HOMES = {
    "_clock": ("ManualClock",),
    "_counting": ("Statement", "Traffic"),
    "_forks": ("RunPlatform",),
    "_patience": ("eventually",),
    "_platform": ("Acting", "PlatformFactory", "RunningPlatform"),
    "_plugins": ("PluginSource", "plugins_installed"),
    "_processes": ("ProcessProblem", "RunningProcess", "run_process"),
    "_records": ("AuditLine", "StoredDelivery", "StoredEvent"),
    "_streams": ("EventStream", "StreamedEvent", "listening"),
    "_scenario": ("Scenario", "ScenarioFailed", "scenario"),
}
"""Where the names are; imported when first asked for, because pytest loads this file in projects that never do."""


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# failed assertions inside the kit show values, too
pytest.register_assert_rewrite("platform_core.testing.conformance")

_SERVERS = pytest.StashKey[Servers]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let faults be repeated."""
    parser.addoption(
        "--chaos-seed",
        type=int,
        metavar="N",
        help="let the faults of the fixture `chaos` strike as in a run that printed this seed",
    )
    parser.addoption(
        "--chaos-scale",
        choices=["short", "gate", "long"],
        default="short",
        help="how much the fixture `chaos` does: some 20 seconds, some 2 minutes, some 20 minutes",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Prepare for a first test that asks for servers; nothing is started here."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # a shell made the run ignore Ctrl-C, as with `&` in a script; every process of a test would inherit that
        signal.signal(signal.SIGINT, signal.default_int_handler)
    asked = getattr(config, "workerinput", {}).get("platform_core_servers")
    config.stash[_SERVERS] = (
        AskedServers(asked)
        if asked
        else OwnServers(os.environ.get("TEST_DATABASE_URL"), os.environ.get("TEST_REDIS_URL"))
    )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where to ask for the run's servers."""
    servers = node.config.stash[_SERVERS]
    assert isinstance(servers, OwnServers)
    node.workerinput["platform_core_servers"] = servers.door()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started."""
    servers = config.stash.get(_SERVERS, None)
    if servers is not None:
        servers.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what chaos did, also where all went well: figures are half of its product."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "chaos":
                    terminalreporter.section(f"chaos: {report.nodeid}", "-")
                    terminalreporter.line(value)


def _process() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(scope="session")
def platform_databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Make fresh databases on the run's server; for fixtures of your own."""
    from platform_core.testing._databases import Databases

    databases = Databases(request.config.stash[_SERVERS].addresses(), _process())
    yield databases
    databases.close()


@pytest.fixture
def fresh_database_url(platform_databases: Databases) -> Iterator[str]:
    """
    An empty PostgreSQL database of this test's own.

    Example:
        async def test_the_adapter_makes_its_table(fresh_database_url: str) -> None: ...
    """
    url = platform_databases.take()
    yield url
    platform_databases.give_back(url)


@pytest.fixture
def fresh_redis_url(request: pytest.FixtureRequest) -> str:
    """An empty database of Redis, which no other test uses meanwhile."""
    from platform_core.testing._redis import emptied

    return emptied(request.config.stash[_SERVERS].addresses().redis_url, _process())


@pytest.fixture
def platform(request: pytest.FixtureRequest) -> PlatformFactory:
    """
    Run the platform with chosen plugins.

    Example:
        async with platform(["user_management"]) as p:
            ...

    See `PlatformFactory` for the arguments and `RunningPlatform` for what `p` can do. Everything is started when the
    block is entered and gone when it is left.
    """
    from platform_core.testing._platform import Factory

    return Factory(
        databases=lambda: request.getfixturevalue("platform_databases"),
        redis_url=lambda: request.getfixturevalue("fresh_redis_url"),
    )


@pytest.fixture(scope="session")
def run_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunPlatform]:
    """
    Run `platform …` as a process that is forked from an interpreter which has imported everything.

    Example:
        with run_platform("worker", env=p.environment, ready="worker started") as worker:
            worker.kill()

    What `run_process(["platform", "worker"], …)` does, in a tenth of the time.
    """
    from platform_core.testing._forks import Nursery
    from platform_core.testing._platform import everything_installed

    directory = tmp_path_factory.mktemp("nursery")
    with contextlib.closing(Nursery(directory, everything_installed(directory))) as nursery:
        yield nursery.run


@pytest.fixture
def chaos(
    request: pytest.FixtureRequest, tmp_path: Path, record_property: Callable[[str, object], None]
) -> Chaos:
    """
    Run the platform as processes that are killed while clients insist.

    Example:
        async with chaos(["user_management", "bookmarks"], seed=essentials) as rig:
            await rig.run(keep)

    See `platform_core.testing.chaos`.
    """
    from platform_core.testing.chaos._rig import Chaos, new_seed
    from platform_core.testing.chaos._schedule import SCALES

    asked = request.config.getoption("--chaos-seed")
    return Chaos(
        databases=lambda: request.getfixturevalue("platform_databases"),
        directory=tmp_path / "chaos",
        seed=new_seed() if asked is None else asked,
        scale=SCALES[request.config.getoption("--chaos-scale")],
        tell=lambda summary: record_property("chaos", summary),
    )
