"""
What happens to an optional plugin that takes what another one has: it fails, whatever the alphabet says, and alone.

The thief of these tests comes first in plugin order; the victim is required, so that its failure would stop the start.
"""

import pytest

from platform_core.app import Kernel
from platform_core.errors import StartupFailed
from platform_core.testing import PlatformFactory, PluginSource

HEAD = """
from dataclasses import dataclass
from typing import ClassVar
from platform_core import hookimpl
from platform_core.declarations import *
from platform_core.domain import Command, Event, Query
from platform_core.http import Router
"""

TREASURE = """
class Vault: ...

@dataclass(frozen=True, kw_only=True)
class OpenVault(Command[str]): ...

@dataclass(frozen=True, kw_only=True)
class LookIntoVault(Query[str]): ...

@dataclass(frozen=True, kw_only=True)
class VaultOpened(Event):
    wire_name: ClassVar[str] = "victim.vault_opened"

class Guard:
    scheme = "guarded"

router = Router()

@router.get("/vault/gold", public=True)
async def gold() -> dict[str, str]:
    return {"whose": "the victim's"}

async def opened(command: OpenVault) -> str:
    return "the victim"

async def seen(query: LookIntoVault) -> str:
    return "the victim"

async def fine() -> None: ...

@hookimpl
def register_services():
    return Services(
        provides=[per_application(Vault), per_application(Guard)],
        commands={OpenVault: opened},
        queries={LookIntoVault: seen},
    )

@hookimpl
def register_routes():
    return [router]

@hookimpl
def register_permissions():
    return [Permission("vault:open", "Open it")]

@hookimpl
def register_health_checks():
    return [HealthCheck(name="vault", check=fine)]

@hookimpl
def authenticate():
    return Guard
"""

HOOKS = "from platform_core.hookspecs import hookspec\n\n@hookspec\ndef vault_doors(): ...\n"
PUBLISHES = """
from {name} import hooks

@hookimpl
def register_hookspecs():
    return hooks
"""

VICTIM = PluginSource(
    name="victim",
    manifest='title = "Victim"\nboot = "required"\npaths = ["/vault"]\n',
    files={"plugin.py": HEAD + TREASURE + PUBLISHES.format(name="victim"), "hooks.py": HOOKS},
)

THEFTS = {
    "a permission": (
        "@hookimpl\ndef register_permissions():\n    return [Permission('vault:open', 'Mine')]",
        "victim and a_thief both declare the permission vault:open",
    ),
    "a table": (
        "from pathlib import Path\nimport sqlalchemy as sa\nMINE = sa.MetaData()\n"
        "sa.Table('gold', MINE, sa.Column('id', sa.Uuid, primary_key=True), schema='victim')\n"
        "@hookimpl\ndef register_migrations():\n    return Migrations(Path(__file__).parent, MINE)",
        "its metadata has tables outside its schema: victim.gold, which belongs to victim",
    ),
    "a hook": (
        PUBLISHES.format(name="a_thief"),
        "victim and a_thief both declare the hook vault_doors",
    ),
    "a hook of the kernel": (
        "import types\nfrom platform_core import hookspecs\n@hookimpl\ndef register_hookspecs():\n"
        "    return types.SimpleNamespace(register_routes=hookspecs.register_routes)",
        "platform and a_thief both declare the hook register_routes",
    ),
    "a route": (
        "router = Router()\n@router.get('/vault/gold', public=True)\nasync def gold() -> str: return 'mine'\n"
        "@hookimpl\ndef register_routes():\n    return [router]",
        "GET /api/v1/vault/gold is already a route of victim",
    ),
    "a service": (
        "from victim.plugin import Vault\n@hookimpl\ndef register_services():\n"
        "    return Services(provides=[per_application(Vault)])",
        "victim and a_thief both provide Vault",
    ),
    "a command": (
        "from victim.plugin import OpenVault\nasync def mine(command: OpenVault) -> str: return 'mine'\n"
        "@hookimpl\ndef register_services():\n    return Services(commands={OpenVault: mine})",
        "it handles victim.open_vault, which is not its own",
    ),
    "a query": (
        "from victim.plugin import LookIntoVault\nasync def mine(query: LookIntoVault) -> str: return 'mine'\n"
        "@hookimpl\ndef register_services():\n    return Services(queries={LookIntoVault: mine})",
        "it handles victim.look_into_vault, which is not its own",
    ),
    "a command's name": (
        "@dataclass(frozen=True, kw_only=True)\nclass Mine(Command[str]):\n"
        "    wire_name: ClassVar[str] = 'victim.open_vault'\nasync def mine(command: Mine) -> str: return 'mine'\n"
        "@hookimpl\ndef register_services():\n    return Services(commands={Mine: mine})",
        "it handles victim.open_vault, which is not its own",
    ),
    "an event's name": (
        "@dataclass(frozen=True, kw_only=True)\nclass Mine(Event):\n"
        "    wire_name: ClassVar[str] = 'victim.vault_opened'",
        "the event Mine is called 'victim.vault_opened', which is a name of victim's",
    ),
    "a health check": (
        "async def bad() -> None: raise OSError\n"
        "@hookimpl\ndef register_health_checks():\n    return [HealthCheck(name='vault', check=bad)]",
        "victim and a_thief both declare the health check vault",
    ),
    "a health check of the kernel": (
        "async def bad() -> None: raise OSError\n"
        "@hookimpl\ndef register_health_checks():\n    return [HealthCheck(name='database', check=bad)]",
        "platform and a_thief both declare the health check database",
    ),
    "a scheme": (
        "class Mine:\n    scheme = 'Guarded'\n"
        "@hookimpl\ndef register_services():\n    return Services(provides=[per_application(Mine)])\n"
        "@hookimpl\ndef authenticate():\n    return Mine",
        "victim and a_thief both declare the authentication scheme guarded",
    ),
}


def thief(code: str, *, paths: str = '["/theft", "/vault/gold"]') -> PluginSource:
    return PluginSource(
        name="a_thief",
        manifest=f'title = "Thief"\npaths = {paths}\n',
        files={"plugin.py": HEAD + code, "hooks.py": HOOKS},
    )


def failed(kernel: Kernel) -> dict[str, str]:
    return {plugin.name: str(plugin.error) for plugin in kernel.plugins if plugin.error}


@pytest.mark.parametrize("what", THEFTS)
async def test_an_optional_plugin_that_takes_a_required_ones_name_fails_alone(
    platform: PlatformFactory, what: str
) -> None:
    code, problem = THEFTS[what]
    async with platform(extra=[thief(code), VICTIM]) as p:
        told = failed(p.kernel)
        assert told.keys() == {"a_thief"}
        assert problem in told["a_thief"]
        assert (await p.client.get("/api/v1/theft")).status_code == 503
        # the thief's manifest claims this path too, but somebody who runs owns it
        assert (await p.client.get("/api/v1/vault/gold")).json() == {"whose": "the victim's"}
        assert (await p.client.get("/health/ready")).status_code == 200


@pytest.mark.parametrize("boot", ["required", "optional"])
@pytest.mark.parametrize("names", [("one", "two"), ("two", "one")])
def test_two_plugins_of_one_standing_that_declare_one_hook_are_both_named(load, boot: str, names) -> None:
    sources = [
        PluginSource(
            name=name,
            manifest=f'title = "{name}"\nboot = "{boot}"\n',
            files={"plugin.py": HEAD + PUBLISHES.format(name=name), "hooks.py": HOOKS},
        )
        for name in names
    ]
    if boot == "required":
        with pytest.raises(StartupFailed) as failure:
            load(*sources)
        assert "one and two both declare the hook vault_doors" in str(failure.value)
    else:
        told = failed(load(*sources))
        assert told.keys() == {"two"}
        assert "one and two both declare the hook vault_doors" in told["two"]


def test_a_hook_that_takes_what_its_declaration_does_not_offer_costs_only_its_plugin(load) -> None:
    kernel = load(thief("@hookimpl\ndef register_routes(app):\n    return []"), VICTIM)
    assert failed(kernel).keys() == {"a_thief"}
    assert "register_routes" in failed(kernel)["a_thief"]


def test_an_optional_plugin_that_claims_a_required_ones_path_fails_alone(load) -> None:
    kernel = load(thief("", paths='["/vault"]'), VICTIM)
    assert "victim and a_thief both claim the path /vault" in failed(kernel)["a_thief"]
    assert kernel.unavailable == {}


def test_a_circle_of_optional_plugins_costs_only_its_members(load) -> None:
    one = PluginSource(name="one", requires=["platform-plugin-two"])
    two = PluginSource(name="two", requires=["platform-plugin-one"])
    needs_one = PluginSource(name="three", requires=["platform-plugin-one"])
    kernel = load(one, two, needs_one, VICTIM)
    told = failed(kernel)
    assert told.keys() == {"one", "two", "three"}
    assert "one → two → one need each other in a circle" in told["one"] + told["two"]
    assert "needs one, which failed" in told["three"]


def test_a_circle_with_a_required_plugin_stops_the_start(load) -> None:
    required = PluginSource(
        name="one", requires=["platform-plugin-two"], manifest='title = "1"\nboot = "required"\n'
    )
    optional = PluginSource(name="two", requires=["platform-plugin-one"])
    with pytest.raises(StartupFailed) as failure:
        load(required, optional)
    assert "need each other in a circle" in str(failure.value)
