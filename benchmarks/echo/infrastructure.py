"""The echo's one table."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Column, DateTime, Table, Uuid, bindparam, func, insert

from platform_core.db import UnitOfWork, module_metadata
from platform_core.domain import new_id

METADATA = module_metadata("echo")

effects = Table(
    "effects",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
)


_INSERT = insert(effects).values(id=bindparam("id"), event_id=bindparam("event_id"))


class Effects:
    """What handlers leave behind."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    def write(self, event_id: UUID) -> None:
        self._uow.write(_INSERT, {"id": new_id(), "event_id": event_id}, expect=1)
