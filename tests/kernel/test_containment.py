"""A broken plugin costs itself: the rest serves, and a required one stops the start with its name."""

import time
from pathlib import Path

import pytest
from ledger.application import GetAccount, OpenAccount

from platform_core.errors import StartupFailed
from platform_core.testing import PlatformFactory, PluginSource

LEDGER = Path(__file__).parent / "plugins" / "ledger"

IMPORTS = (
    "import asyncio, time\nfrom platform_core import hookimpl\nfrom platform_core.declarations import *\n"
)

SERVICE = """
class Machine: ...

{kind} start() -> Machine:
    {body}
    return Machine()

@hookimpl
def register_services():
    return Services(provides=[per_application(Machine, start)])
"""

SECRET_JOB = """
from dataclasses import dataclass
from platform_core.domain import Command

@dataclass(frozen=True, kw_only=True)
class Greet(Command[None]):
    secret_fields = frozenset({"password"})
    password: str

async def greet(command: Greet) -> None: ...

@hookimpl
def register_services():
    return Services(commands={Greet: greet})

@hookimpl
def register_tasks():
    return [Task(command=Greet)]
"""

TWO_ROUTES = """
from platform_core.http import Router

router = Router()

@router.get("/broken/{name}", public=True)
async def one(name: str) -> str: ...

@router.get("/broken/{identity}", public=True)
async def other(identity: str) -> str: ...

@hookimpl
def register_routes():
    return [router]
"""

BROKEN = {
    "raises on import": "1 / 0",
    "imports what is not there": "import nowhere_to_be_found",
    "does not parse": "def",
    "exits on import": "raise SystemExit(3)",
    "sleeps on import": "time.sleep(60)",
    "is busy on import": "while True: pass",
    "swallows everything on import": "while True:\n    try:\n        time.sleep(60)\n    except Exception: pass",
    "raises in a hook": "@hookimpl\ndef register_services():\n    raise RuntimeError('no')",
    "exits in a hook": "@hookimpl\ndef register_routes():\n    raise SystemExit(3)",
    "hangs in a hook": "@hookimpl\ndef register_permissions():\n    time.sleep(60)",
    "returns nonsense from a hook": "@hookimpl\ndef register_services():\n    return 42",
    "returns a list of nonsense": "@hookimpl\ndef register_permissions():\n    return [1, 2, 3]",
    "would store a secret with its jobs": SECRET_JOB,
    "declares a route that is never reached": TWO_ROUTES,
    "raises at service start": SERVICE.format(kind="async def", body="raise RuntimeError('no power')"),
    "exits at service start": SERVICE.format(kind="async def", body="raise SystemExit(3)"),
    "hangs at service start": SERVICE.format(kind="async def", body="await asyncio.sleep(60)"),
    "blocks at service start": SERVICE.format(kind="def", body="time.sleep(60)"),
    "is busy at service start": SERVICE.format(kind="def", body="while True: pass"),
}

QUICK = {"PLATFORM_STARTUP_TIMEOUT_SECONDS": "0.5"}


def broken(code: str, boot: str) -> PluginSource:
    return PluginSource(
        name="broken",
        manifest=f'title = "Broken"\nboot = "{boot}"\npaths = ["/broken"]\n',
        files={"plugin.py": IMPORTS + code},
    )


@pytest.mark.parametrize("case", BROKEN)
async def test_an_optional_plugin_that_fails_costs_only_itself(platform: PlatformFactory, case: str) -> None:
    began = time.monotonic()
    async with platform(extra=[LEDGER, broken(BROKEN[case], "optional")], settings=QUICK) as p:
        assert time.monotonic() - began < 15
        assert [plugin.name for plugin in p.kernel.active] == ["platform", "ledger"]
        [failed] = [plugin for plugin in p.kernel.plugins if plugin.error]
        assert failed.name == "broken"
        assert "broken" in str(failed.error)
        assert p.kernel.unavailable.keys() == {"/api/v1/broken", "/broken"}  # in the API, and outside of it
        account = await p.execute(OpenAccount(owner="Ada"))
        assert await p.ask(GetAccount(account_id=account.id)) == account
        assert [d.status for d in await p.deliver()] == ["done"]


@pytest.mark.parametrize("case", BROKEN)
async def test_a_required_plugin_that_fails_stops_the_start_with_its_name(
    platform: PlatformFactory, case: str
) -> None:
    with pytest.raises(StartupFailed) as failure:
        async with platform(extra=[LEDGER, broken(BROKEN[case], "required")], settings=QUICK):
            pass
    assert {cause.plugin for cause in failure.value.causes()} == {"broken"}


async def test_whoever_needs_a_failed_plugin_fails_with_it_and_says_so(platform: PlatformFactory) -> None:
    dependent = PluginSource(name="dependent", requires=["platform-core", "platform-plugin-broken"])
    async with platform(extra=[LEDGER, broken("1 / 0", "optional"), dependent]) as p:
        errors = {plugin.name: str(plugin.error) for plugin in p.kernel.plugins if plugin.error}
        assert errors.keys() == {"broken", "dependent"}
        assert "needs broken, which failed" in errors["dependent"]
        assert [plugin.name for plugin in p.kernel.active] == ["platform", "ledger"]


async def test_services_that_did_start_are_left_again_in_reverse_order(platform: PlatformFactory) -> None:
    code = """
from contextlib import asynccontextmanager

log = []

class One: ...
class Two: ...

@asynccontextmanager
async def one():
    log.append("one starts"); yield One(); log.append("one stops")

@asynccontextmanager
async def two(one: One):
    log.append("two starts"); yield Two(); log.append("two stops")

@hookimpl
def register_services():
    return Services(provides=[per_application(One, one), per_application(Two, two)])
"""
    source = PluginSource(name="orderly", files={"plugin.py": IMPORTS + code})
    async with platform(extra=[source]) as p:
        log = next(plugin.module for plugin in p.kernel.plugins if plugin.name == "orderly").log  # type: ignore[union-attr]  # imported
        assert log == ["one starts", "two starts"]
    assert log == ["one starts", "two starts", "two stops", "one stops"]


async def test_what_a_failed_service_would_have_served_is_not_tried_and_not_told_of(
    platform: PlatformFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    code = """
class One: ...
class Two: ...

def one() -> One:
    raise RuntimeError("no power")

def two(one: One) -> Two:
    return Two()

@hookimpl
def register_services():
    return Services(provides=[per_application(One, one), per_application(Two, two)])
"""
    async with platform(extra=[broken(code, "optional")]) as p:
        assert [plugin.name for plugin in p.kernel.plugins if plugin.error] == ["broken"]
    told = capsys.readouterr()
    assert (told.out + told.err).count("plugin failed to start") == 1
