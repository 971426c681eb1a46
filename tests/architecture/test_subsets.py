"""Every set of the shipped modules that can be installed starts, migrates, has its demo and serves; so does none."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from platform_core.declarations import Tier
from platform_core.testing import PlatformFactory

pytestmark = pytest.mark.long

PYPROJECTS = {
    path.parent.name: path for path in (Path(__file__).parents[2] / "plugins").glob("*/pyproject.toml")
}


def _required(pyproject: Path) -> frozenset[str]:
    lines = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]
    prefix = "platform-plugin-"
    names = (Requirement(line).name for line in lines)
    return frozenset(name.removeprefix(prefix).replace("-", "_") for name in names if name.startswith(prefix))


REQUIRED: Mapping[str, frozenset[str]] = {name: _required(path) for name, path in sorted(PYPROJECTS.items())}


def installable() -> Iterator[tuple[str, ...]]:
    """Yield each set that lacks nothing of what its members require, the smallest first."""
    for size in range(len(REQUIRED) + 1):
        for names in itertools.combinations(REQUIRED, size):
            if all(REQUIRED[name] <= set(names) for name in names):
                yield names


def test_the_sets_are_neither_none_nor_all() -> None:
    sets = list(installable())
    assert () in sets
    assert tuple(REQUIRED) in sets
    assert ("notification",) not in sets, "it needs people"


@pytest.mark.parametrize("modules", list(installable()), ids=lambda names: "+".join(names) or "kernel")
async def test_a_set_of_modules_starts_and_serves(
    platform: PlatformFactory, modules: tuple[str, ...]
) -> None:
    settings = {
        "PLATFORM_ADMIN_EMAIL": "admin@example.com",
        "PLATFORM_ADMIN_PASSWORD": "a long enough sentence",
    }
    async with platform(modules, settings=settings) as p:
        assert not [plugin.error for plugin in p.kernel.plugins if plugin.error]
        await p.seed(Tier.DEVELOPMENT)
        await p.deliver()
        assert [one for one in await p.deliveries() if one.status == "dead"] == []
        ready = await p.client.get("/health/ready")
        assert ready.status_code == 200, ready.text
        paths = (await p.client.get("/openapi.json")).json()["paths"]
        client = p.client
        if "user_management" in modules:
            credentials = {
                "email": settings["PLATFORM_ADMIN_EMAIL"],
                "password": settings["PLATFORM_ADMIN_PASSWORD"],
            }
            tokens = (await p.client.post("/api/v1/auth/login", json=credentials)).json()
            client = p.new_client({"Authorization": f"Bearer {tokens['access_token']}"})
        for path, methods in paths.items():
            if "get" in methods and "{" not in path and not path.endswith("/stream"):
                answer = await client.get(path)
                expected = {200} if "user_management" in modules else {200, 401}
                assert answer.status_code in expected, (path, answer.text)
