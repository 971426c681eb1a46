"""
The page about four releases works as written: its blocks are releases of a module, rolled out one after the other.

At each step the build before and the new one answer the same requests on the same tables, and read each other's rows.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from platform_core._migrations import Phase, installed_migrations, lint, upgrade
from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform, plugins_installed

PAGE = Path(__file__).parents[2] / "docs" / "expand-contract.md"


def releases() -> Iterator[PluginSource]:
    """Yield the module as the page has it at first, and after each release."""
    files: dict[str, str] = {}
    for number, section in enumerate(PAGE.read_text(encoding="utf-8").split("\n## ")[1:6]):
        blocks = re.findall(r'```\w+ title="(.+?)"\n(.*?)```', section, re.DOTALL)
        assert blocks, section
        files |= dict(blocks)
        manifest = files["plugin.toml"]
        yield PluginSource(name="goods", version=f"1.{number}", files=dict(files), manifest=manifest)


def migrate(release: PluginSource, url: str, phase: Phase, folder: Path) -> None:
    with plugins_installed(release, into=folder / uuid4().hex):
        modules = installed_migrations(["goods"]).modules
        upgrade(url, modules, phase=phase).raise_for_failures()


async def use(p: RunningPlatform, prices: dict[str, str]) -> None:
    """Do what clients do: look at everything that is there, reprice one item, add another."""
    for item, price in prices.items():
        answer = await p.client.get(f"/api/v1/goods/{item}")
        assert (answer.status_code, answer.json()["price"]) == (200, price), answer.text
    number = len(prices)
    for finer in ("1.999", "0.001"):  # one build would round it and another cut it off
        answer = await p.client.post("/api/v1/goods", json={"name": "Finer", "price": finer})
        assert answer.status_code == 422, answer.text
    if prices:
        item = list(prices)[number // 2]
        answer = await p.client.put(f"/api/v1/goods/{item}/price", params={"price": f"{number}.75"})
        assert answer.status_code == 204, answer.text
        prices[item] = f"{number}.75"
    body = {"name": f"Item {number}", "price": f"{number}.25"}
    answer = await p.client.post("/api/v1/goods", json=body)
    assert answer.status_code == 201, answer.text
    prices[answer.json()] = body["price"]


@pytest.mark.long
async def test_two_builds_work_on_one_database_through_four_releases(
    platform: PlatformFactory, tmp_path: Path
) -> None:
    first, *later = releases()
    prices: dict[str, str] = {}
    async with platform() as database:
        migrate(first, database.database_url, "expand", tmp_path)
        async with platform(extra=[first], beside=database) as p:
            for _ in range(3):
                await use(p, prices)
        before = first
        for release in later:
            migrate(release, database.database_url, "expand", tmp_path)
            for build in (before, release, before):
                async with platform(extra=[build], beside=database) as p:
                    await use(p, prices)
            migrate(release, database.database_url, "contract", tmp_path)
            before = release
        async with platform(extra=[before], beside=database) as p:
            await use(p, prices)
        columns = await database.sql(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'goods' AND table_name = 'items'"
        )
    assert {column["column_name"] for column in columns} == {"id", "name", "price_cents"}
    assert len(prices) == 3 + 3 * 4 + 1


def test_nothing_in_the_page_would_stop_a_database_in_use(tmp_path: Path) -> None:
    *_, last = releases()
    with plugins_installed(last, into=tmp_path):
        (module,) = [module for module in installed_migrations(["goods"]).modules if module.name == "goods"]
        assert lint.findings(module) == []
