import asyncio

from platform_core._migrations import upgrade
from platform_core._migrations.autogenerate import differences
from platform_core.testing import PlatformFactory


async def test_tables_are_as_the_code_wants_them(platform: PlatformFactory) -> None:
    async with platform(["user_management"]) as p:
        [module] = [one for one in p.kernel.migrations if one.name == "user_management"]
        assert await asyncio.to_thread(differences, p.database_url, module) == []


async def test_the_indexes_that_the_design_asks_for_are_used(platform: PlatformFactory) -> None:
    async with platform(["user_management"]) as p:
        await p.sql("SET enable_seqscan = off")
        for condition, index in (
            ("lower(email) = 'x' AND deleted_at IS NULL", "uq_users_email"),
            ("lower(username) = 'x' AND deleted_at IS NULL", "uq_users_username"),
        ):
            plan = await p.sql(f"EXPLAIN SELECT 1 FROM user_management.users WHERE {condition}")
            assert index in str(plan), plan


async def test_migrating_again_changes_nothing(platform: PlatformFactory) -> None:
    async with platform(["user_management"]) as p:
        report = await asyncio.to_thread(upgrade, p.database_url, p.kernel.migrations)
        assert not any(module.applied for module in report.modules)
