"""A read model that hears of an older state after a newer one (B23)."""

from __future__ import annotations

import importlib
import random

import pytest

from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform

pytestmark = pytest.mark.long

GAUGE = PluginSource(
    name="gauge",
    manifest='title = "Gauge"\nconsumes = ["gauge"]\n',
    files={
        "plugin.py": '''
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, Column, Integer, Table, Uuid
from sqlalchemy.dialects.postgresql import insert

from platform_core import hookimpl
from platform_core.db import UnitOfWork, module_metadata
from platform_core.declarations import Migrations, Services, on
from platform_core.domain import Command, Event
from platform_core.ports import EventMetadata, Outbox

METADATA = module_metadata("gauge")
levels = Table(
    "levels",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("level", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Measured(Event):
    wire_name: ClassVar[str] = "gauge.measured"
    level: int


@dataclass(frozen=True, kw_only=True)
class Measure(Command[None]):
    gauge_id: UUID
    level: int


async def measure(command: Measure, outbox: Outbox) -> None:
    outbox.emit(Measured(level=command.level), aggregate_type="gauge.gauge", aggregate_id=command.gauge_id)


async def show(event: Measured, uow: UnitOfWork, metadata: EventMetadata) -> None:
    """What a projection does that is to survive anything: the highest position stays."""
    row = insert(levels).values(id=metadata.aggregate_id, level=event.level, position=metadata.position)
    uow.write(
        row.on_conflict_do_update(
            index_elements=["id"],
            set_={"level": row.excluded.level, "position": row.excluded.position},
            where=levels.c.position < row.excluded.position,
        )
    )


@hookimpl
def register_services():
    return Services(commands={Measure: measure})


@hookimpl
def register_event_handlers():
    return [on(Measured, show, name="gauge.show")]


@hookimpl
def register_migrations():
    return Migrations(Path(__file__).parent / "migrations" / "versions", METADATA)
''',
        "migrations/versions/20261123_1000_gauge_create_levels.py": '''"""
create levels
"""

import sqlalchemy as sa
from alembic import op

revision = "gauge_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "levels",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        schema="gauge",
    )


def downgrade() -> None:
    op.drop_table("levels", schema="gauge")
''',
    },
)


async def test_b23_a_read_model_ends_at_the_newest_state_and_can_be_made_again_from_the_events(
    platform: PlatformFactory,
) -> None:
    """
    One event was dead or parked while later ones of its aggregate went on, and comes back when they are done.

    Red when the metadata's position is not the event's.
    """
    async with platform(extra=[GAUGE]) as p:
        measure = importlib.import_module("gauge.plugin").Measure
        [row] = await p.sql("SELECT platform.uuid7() AS id")
        for level in (1, 2, 3):
            await p.execute(measure(gauge_id=row["id"], level=level))
        second = "event_id IN (SELECT id FROM audit.domain_events WHERE payload = '{\"level\": 2}')"
        await p.sql(f"UPDATE platform.deliveries SET status = 'parked' WHERE {second}")
        await p.deliver()
        assert [shown["level"] for shown in await _shown(p)] == [3]
        await p.sql(f"UPDATE platform.deliveries SET status = 'pending' WHERE {second}")
        await p.deliver()
        assert {delivery.status for delivery in await p.deliveries()} == {"done"}
        shown = await _shown(p)
        assert [line["level"] for line in shown] == [3]

        # a new model from the old events, in any order
        for _ in range(3):
            await p.sql("TRUNCATE gauge.levels")
            for delivery in random.sample(await p.deliveries(), 3):
                again = "UPDATE platform.deliveries SET status = 'pending', available_at = now() WHERE id = %(id)s"
                await p.sql(again, id=delivery.id)
                await p.deliver()
            assert await _shown(p) == shown


async def _shown(p: RunningPlatform) -> list[dict[str, object]]:
    return await p.sql("SELECT * FROM gauge.levels ORDER BY id")
