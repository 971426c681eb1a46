"""The tables are as the code wants them, and lists of orders use their index."""

import asyncio

from platform_core._migrations import upgrade
from platform_core._migrations.autogenerate import differences
from platform_core.testing import RunningPlatform


async def test_tables_are_as_the_code_wants_them(p: RunningPlatform) -> None:
    for name in ("courses", "orders"):
        [module] = [one for one in p.kernel.migrations if one.name == name]
        assert await asyncio.to_thread(differences, p.database_url, module) == []


async def test_a_buyers_orders_are_found_by_their_index(p: RunningPlatform) -> None:
    await p.sql("SET enable_seqscan = off")
    nobody = "'01a20642-0c8c-7e6e-b94c-e5b378cc4910'"
    for table, condition, index in (
        ("orders.orders", f"buyer_id = {nobody} ORDER BY id DESC LIMIT 21", "ix_orders_buyer_id"),
        ("courses.enrolments", f"student_id = {nobody} AND deleted_at IS NULL", "uq_enrolments_student_id"),
        ("courses.enrolments", f"course_id = {nobody}", "ix_enrolments_course_id"),
        ("courses.courses", "title = 'x' AND deleted_at IS NULL", "ix_courses_title"),
        ("platform.sagas", "status = 'needs_attention' ORDER BY id DESC LIMIT 21", "ix_sagas_status"),
        ("platform.saga_log", f"saga_id = {nobody} ORDER BY id", "ix_saga_log_saga_id"),
    ):
        plan = await p.sql(f"EXPLAIN SELECT 1 FROM {table} WHERE {condition}")
        assert index in str(plan), plan


async def test_migrating_again_changes_nothing(p: RunningPlatform) -> None:
    report = await asyncio.to_thread(upgrade, p.database_url, p.kernel.migrations)
    assert not any(module.applied for module in report.modules)
