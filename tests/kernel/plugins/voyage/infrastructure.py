"""The diary's table."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Column, DateTime, Table, Text, Uuid, func, insert

from platform_core.db import UnitOfWork, module_metadata
from platform_core.domain import new_id

METADATA = module_metadata("voyage")

entries = Table(
    "entries",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("trip_id", Uuid, nullable=False),
    Column("text", Text, nullable=False),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
)


class SqlDiary:
    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    def write(self, trip_id: UUID, entry: str) -> None:
        self._uow.write(insert(entries).values(id=new_id(), trip_id=trip_id, text=entry), expect=1)
