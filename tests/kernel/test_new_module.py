"""A module that is put into a running installation needs one migration, tables or not, and every place says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from platform_core._health import Health
from platform_core._migrations import upgrade
from platform_core.app import Kernel
from platform_core.settings import read_settings
from platform_core.testing import PlatformFactory, PluginSource, RunPlatform, plugins_installed

PLUGIN = """
from platform_core import hookimpl
from platform_core.declarations import Permission

@hookimpl
def register_permissions():
    return [Permission("shouts:read", "Hear them")]
"""


@pytest.mark.parametrize("boot", ["optional", "required"])
async def test_a_new_module_without_tables_says_what_it_waits_for(
    platform: PlatformFactory, tmp_path: Path, boot: str
) -> None:
    source = PluginSource(
        name="shoutbox", manifest=f'title = "Shouts"\nboot = "{boot}"\n', files={"plugin.py": PLUGIN}
    )
    async with platform() as p:
        with plugins_installed(source, into=tmp_path):
            environment = {**p.environment, "PLATFORM_MODULES": "shoutbox"}

            async def readiness() -> tuple[str, str]:
                kernel = Kernel.load(read_settings(environment), environment)
                async with kernel.running():
                    seen = await Health(kernel, lambda: False).readiness()
                    return seen.status, seen.checks["migrations" if boot == "required" else "shoutbox"]

            status, told = await readiness()
            assert status == ("unavailable" if boot == "required" else "degraded")
            assert "shoutbox: never migrated here, so it has no schema and no role yet" in told
            assert "run `platform db upgrade`" in told
            assert "\n" not in told

            kernel = Kernel.load(read_settings(environment), environment)
            upgrade(p.database_url, kernel.migrations, roles=True).raise_for_failures()
            if boot == "required":
                assert await readiness() == ("ok", "ok")
            else:
                with pytest.raises(KeyError):
                    await readiness()


async def test_the_list_of_modules_says_it_too(
    platform: PlatformFactory, run_platform: RunPlatform, tmp_path: Path
) -> None:
    source = PluginSource(name="shoutbox", manifest='title = "Shouts"\n', files={"plugin.py": PLUGIN})
    async with platform() as p:
        with plugins_installed(source, into=tmp_path) as paths:
            path = ":".join(map(str, paths))
            environment = {**p.environment, "PLATFORM_MODULES": "shoutbox", "PYTHONPATH": path}
            errors = tmp_path / "errors"
            with run_platform("modules", "list", env=environment, errors=errors) as process:
                assert await asyncio.to_thread(process.wait) == 0
    assert errors.read_text() == (
        "platform: shoutbox: never migrated here, so it has no schema and no role yet;"
        " it is not served until you run: platform db upgrade\n"
    )
