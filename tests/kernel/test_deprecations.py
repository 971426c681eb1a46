"""What is declared deprecated is told to who uses it, wherever it is declared and shown."""

import html
import json
import warnings
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import pytest
import typer

from platform_core._documentation import handbook_of
from platform_core._documentation.files import texts
from platform_core.cli import deprecated_option, main
from platform_core.deprecations import Deprecated, PlatformDeprecation
from platform_core.testing import PlatformFactory, PluginSource, plugins_installed

LEFT = Deprecated(since=date(2027, 1, 15), until=date(2028, 1, 15), instead="GET /shop/things?q=")
SAYS = "deprecated since 2027-01-15, gone from 2028-01-15; use GET /shop/things?q="

SHOP = PluginSource(
    name="shop",
    manifest='title = "Shop"\npaths = ["/shop"]\n',
    files={
        "__init__.py": "from shop.contracts import Prices, Sold\n\n__all__ = ['Prices', 'Sold']\n",
        "contracts.py": """
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Protocol

from platform_core.deprecations import Deprecated
from platform_core.domain import Event

LEFT = Deprecated(since=date(2027, 1, 15), until=date(2028, 1, 15), instead="GET /shop/things?q=")

@dataclass(frozen=True, kw_only=True)
class Sold(Event):
    wire_name: ClassVar[str] = "shop.sold"
    deprecated: ClassVar[Deprecated] = LEFT
    name: str

class Prices(Protocol):
    async def get(self) -> int: ...
""",
        "hookspecs.py": """
from platform_core.hookspecs import deprecated_hook
from shop.contracts import LEFT

@deprecated_hook(LEFT)
def shop_windows() -> list[str]: ...
""",
        "plugin.py": """
from typing import Annotated

from pydantic import BaseModel, Field

from platform_core import hookimpl
from platform_core.declarations import Services, per_unit_of_work
from platform_core.http import Router
from shop import hookspecs
from shop.contracts import LEFT, Prices

class Settings(BaseModel):
    limit: Annotated[int, LEFT] = Field(50, description="How many things are shown.")
    depth: Annotated[int, LEFT] = Field(1, description="How deep.")

class FixedPrices:
    async def get(self) -> int:
        return 1

router = Router()

@router.get("/shop/things/search", public=True, deprecated=LEFT, summary="Search")
async def search(q: str) -> list[str]:
    return [q]

@hookimpl
def register_settings():
    return Settings

@hookimpl
def register_hookspecs():
    return hookspecs

@hookimpl
def register_services():
    return Services(provides=[per_unit_of_work(Prices, FixedPrices, public=True, deprecated=LEFT)])

@hookimpl
def register_routes():
    return [router]
""",
    },
)

CUSTOMER = PluginSource(
    name="customer",
    requires=["platform-core", "platform-plugin-shop"],
    manifest='title = "Customer"\nqueries = ["shop"]\nconsumes = ["shop"]\n',
    files={
        "plugin.py": """
from platform_core import hookimpl
from platform_core.declarations import on
from shop import Prices, Sold

async def note(event: Sold, prices: Prices) -> None: ...

@hookimpl
def register_event_handlers():
    return [on(Sold, note, name="customer.note")]

@hookimpl
def shop_windows():
    return []
"""
    },
)


async def test_who_uses_what_is_going_is_told_what_to_use(platform: PlatformFactory) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with platform(extra=[SHOP, CUSTOMER], settings={"PLATFORM_SHOP_LIMIT": "3"}) as p:
            answer = await p.client.get("/api/v1/shop/things/search", params={"q": "a"})
            refused = await p.client.get("/api/v1/shop/things/search")
            described = (await p.client.get("/openapi.json")).json()
            handbook = handbook_of(p.kernel)
    told = [str(one.message) for one in caught if issubclass(one.category, PlatformDeprecation)]
    for what in (
        "the setting PLATFORM_SHOP_LIMIT",
        "the hook shop_windows",
        "customer.note: the event shop.sold",
    ):
        assert f"{what} is {SAYS}" in told
    assert any("Prices of shop is deprecated" in line for line in told)
    assert not any("PLATFORM_SHOP_DEPTH" in line for line in told), "nobody sets it"

    assert (answer.status_code, refused.status_code) == (200, 422)
    since = int(datetime(2027, 1, 15, tzinfo=UTC).timestamp())
    for one in (answer, refused):
        assert one.headers["Deprecation"] == f"@{since}"
        assert one.headers["Sunset"] == "Sat, 15 Jan 2028 00:00:00 GMT"
    operation = described["paths"]["/api/v1/shop/things/search"]["get"]
    assert operation["deprecated"] is True
    assert operation["x-deprecation"] == LEFT.json
    assert f"This is {SAYS}." in operation["description"]
    assert {"Deprecation", "Sunset"} <= operation["responses"]["200"]["headers"].keys()

    shown = [(one.kind, one.name, one.says) for one in handbook.leaving]
    assert shown == [
        ("route", "GET /api/v1/shop/things/search", SAYS),
        ("event", "shop.sold", SAYS),
        ("hook", "shop_windows", SAYS),
        ("service", "Prices", SAYS),
        ("setting", "PLATFORM_SHOP_LIMIT", SAYS),
        ("setting", "PLATFORM_SHOP_DEPTH", SAYS),
    ]
    written = texts(handbook)
    assert SAYS in html.unescape(written["index.html"])
    assert "service `Prices`: deprecated since 2027-01-15" in written["modules/shop.md"]


async def test_a_module_whose_tests_treat_warnings_as_errors_notices(platform: PlatformFactory) -> None:
    with pytest.raises(PlatformDeprecation, match="the setting PLATFORM_SHOP_LIMIT is deprecated"):
        async with platform(extra=[SHOP], settings={"PLATFORM_SHOP_LIMIT": "3"}):
            pass


def test_config_shows_what_is_going(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLATFORM_MODULES", "shop")
    monkeypatch.chdir(tmp_path)
    with plugins_installed(SHOP, into=tmp_path / "site"), pytest.raises(SystemExit):
        main(("config", "show", "--module", "shop", "--json"))
    shown = {one["variable"]: one["description"] for one in json.loads(capsys.readouterr().out)}
    assert shown["PLATFORM_SHOP_LIMIT"] == f"How many things are shown. ({SAYS})"


def test_an_option_warns_who_gives_it_and_nobody_else(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()

    @app.command()
    def show(page: Annotated[int, deprecated_option(LEFT, "--page", help="Which page.")] = 1) -> None:
        typer.echo(page)

    command = typer.main.get_command(app)
    command.main([], standalone_mode=False)
    assert capsys.readouterr() == ("1\n", "")
    command.main(["--page", "2"], standalone_mode=False)
    assert capsys.readouterr() == ("2\n", f"platform: the option --page is {SAYS}\n")


def test_something_cannot_go_before_it_is_deprecated() -> None:
    with pytest.raises(ValueError, match="it cannot go on 2027-01-15 and be deprecated since 2027-01-15"):
        Deprecated(since=date(2027, 1, 15), until=date(2027, 1, 15), instead="nothing")
    assert str(Deprecated(since=date(2027, 1, 15), instead="x")) == "deprecated since 2027-01-15; use x"
    assert "Sunset" not in Deprecated(since=date(2027, 1, 15), instead="x").headers
    assert Deprecated.from_json(LEFT.json) == LEFT
