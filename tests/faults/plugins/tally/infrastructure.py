"""The tally's tables, and what reads and writes them."""

from __future__ import annotations

import os
from uuid import UUID

from sqlalchemy import Column, DateTime, Integer, Table, Text, Uuid, func, insert, select

from platform_core.db import AggregateMap, Reads, Repository, UnitOfWork, aggregate_columns, module_metadata
from platform_core.domain import new_id
from tally.application import CountMarks
from tally.domain import Mark

METADATA = module_metadata("tally")

marks = Table("marks", METADATA, *aggregate_columns(), Column("text", Text, nullable=False))
effects = Table(
    "effects",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("handler", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
)


class SqlMarkRepository(Repository[Mark]):
    mapping = AggregateMap(Mark, marks, name="tally.mark")


class SqlEffects:
    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    def write(self, event_id: UUID, handler: str, attempt: int) -> None:
        values = {"id": new_id(), "event_id": event_id, "handler": handler, "attempt": attempt}
        self._uow.write(insert(effects).values(**values, pid=os.getpid()), expect=1)


async def count_marks(query: CountMarks, reads: Reads) -> int:
    row = await reads.one(select(func.count().label("count")).select_from(marks))
    return int(row["count"]) if row else 0
