"""The tables are as the code wants them, and the indexes that the design asks for are used."""

import asyncio

from platform_core._migrations import upgrade
from platform_core._migrations.autogenerate import differences
from platform_core.testing import RunningPlatform


async def test_tables_are_as_the_code_wants_them(p: RunningPlatform) -> None:
    [module] = [one for one in p.kernel.migrations if one.name == "file_management"]
    assert await asyncio.to_thread(differences, p.database_url, module) == []


async def test_the_indexes_that_the_design_asks_for_are_used(p: RunningPlatform) -> None:
    await p.sql("SET enable_seqscan = off")
    nobody = "'01a20642-0c8c-7e6e-b94c-e5b378cc4910'"
    for table, condition, index in (
        (
            "files",
            f"uploaded_by = {nobody} AND deleted_at IS NULL ORDER BY id DESC LIMIT 21",
            "ix_files_uploaded_by",
        ),
        ("files", f"folder_id = {nobody} AND name = 'a'", "ix_files_folder_id"),
        ("files", "status = 'processing' AND updated_at < now()", "ix_files_status"),
        ("files", "deleted_at < now()", "ix_files_deleted_at"),
        ("folders", f"parent_id = {nobody}", "ix_folders_parent_id"),
        ("file_versions", "object_key = 'x'", "ix_file_versions_object_key"),
        ("file_permissions", f"user_id = {nobody}", "ix_file_permissions_user_id"),
        ("file_uploads", "expires_at < now()", "ix_file_uploads_expires_at"),
    ):
        plan = await p.sql(f"EXPLAIN SELECT 1 FROM file_management.{table} WHERE {condition}")
        assert index in str(plan), plan


async def test_migrating_again_changes_nothing(p: RunningPlatform) -> None:
    report = await asyncio.to_thread(upgrade, p.database_url, p.kernel.migrations)
    assert not any(module.applied for module in report.modules)
