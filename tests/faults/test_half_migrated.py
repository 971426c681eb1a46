"""A module whose newest revision fails (B29): the others serve, and its events wait for it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from fault_rig.house import House, eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

TALLY = Path(__file__).parent / "plugins" / "tally"

REVISION = '''"""
add colours to marks
"""

import sqlalchemy as sa
from alembic import op

revision = "tally_0002"
down_revision = "tally_0001"
phase = "expand"


def upgrade() -> None:
    op.add_column("marks", sa.Column("colour", sa.Text()), schema="tally")
    op.execute("{statement}")


def downgrade() -> None:
    op.drop_column("marks", "colour", schema="tally")
'''


def _build(house: House, into: Path, statement: str) -> Mapping[str, str]:
    """Write a newer tally and return the environment in which it is the installed one."""
    shutil.copytree(TALLY, into / "tally", ignore=shutil.ignore_patterns("__pycache__"))
    revision = into / "tally" / "migrations" / "versions" / "20261123_0901_tally_add_colour_marks.py"
    revision.write_text(REVISION.format(statement=statement), encoding="utf-8")
    return {**house.p.environment, "PYTHONPATH": f"{into}:{house.p.environment['PYTHONPATH']}"}


async def test_b29_a_module_whose_migration_fails_half_way_costs_only_itself_and_its_events_wait(
    house: House, tmp_path: Path
) -> None:
    """Red when a module is served whose tables are not what it needs, and when its deliveries go to nobody."""
    broken = _build(house, tmp_path / "broken", "SELECT 1 / 0")
    assert await house.upgrade(broken) == 1
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'tally' AND column_name = 'colour'"
    assert await house.value(columns) == 0

    older, api, worker = await asyncio.gather(
        house.api(), house.api(environment=broken), house.worker(environment=broken)
    )
    # a process of the release before still makes its events
    assert (await house.mark(older.client, "meanwhile")).status_code == 201
    refused = await house.mark(api.client, "refused")
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert (await house.register(api.client, "ada")).status_code == 201
    await eventually(lambda: _has_mail(house))
    left_out = [line for line in worker.output.splitlines() if "plugin is left out" in line]
    assert len(left_out) == 1
    assert '"plugin":"tally"' in left_out[0]
    assert "platform db upgrade" in left_out[0]
    ready = await api.client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    waiting = "SELECT status FROM platform.deliveries WHERE handler = 'tally.note'"
    assert await house.value(waiting) == "pending"
    assert await asyncio.to_thread(worker.terminate) == 0

    mended = _build(house, tmp_path / "mended", "SELECT 1")
    assert await house.upgrade(mended) == 0
    assert await house.value(columns) == 1
    api, _ = await asyncio.gather(house.api(environment=mended), house.worker(environment=mended))
    assert (await house.mark(api.client, "afterwards")).status_code == 201
    await house.check()


async def _has_mail(house: House) -> bool:
    return len(house.p.mails) == 1
