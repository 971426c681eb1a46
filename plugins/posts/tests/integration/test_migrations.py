"""The tables are as the code wants them."""

import asyncio

from platform_core._migrations.autogenerate import differences
from platform_core.testing import RunningPlatform


async def test_tables_are_as_the_code_wants_them(p: RunningPlatform) -> None:
    [module] = [one for one in p.kernel.migrations if one.name == "posts"]
    assert await asyncio.to_thread(differences, p.database_url, module) == []
