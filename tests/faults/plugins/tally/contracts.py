"""What others may know of the tally."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from platform_core.domain import Event


@dataclass(frozen=True, kw_only=True)
class MarkView:
    id: UUID
    text: str


@dataclass(frozen=True, kw_only=True)
class Marked(Event):
    wire_name: ClassVar[str] = "tally.marked"

    mark_id: UUID
    work_ms: int
    text: str = ""
