"""A mark: somebody was here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from platform_core.domain import Aggregate
from tally.contracts import Marked


@dataclass(eq=False, kw_only=True)
class Mark(Aggregate):
    text: str

    @classmethod
    def make(cls, mark_id: UUID, text: str, work_ms: int, now: datetime) -> Mark:
        mark = cls(id=mark_id, text=text, created_at=now, updated_at=now)
        mark.record(Marked(mark_id=mark_id, work_ms=work_ms, text=text))
        return mark
