"""Folders: a tree for each owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from platform_core.domain import Aggregate


@dataclass(eq=False, kw_only=True)
class Folder(Aggregate):
    """
    A folder of one owner.

    Attributes:
        parent_id: another one of the same owner's; None in their root.
    """

    owner_id: UUID
    parent_id: UUID | None
    name: str

    @classmethod
    def create(
        cls, *, folder_id: UUID, owner_id: UUID, parent_id: UUID | None, name: str, now: datetime
    ) -> Folder:
        """Make an empty folder."""
        return cls(
            id=folder_id, created_at=now, updated_at=now, owner_id=owner_id, parent_id=parent_id, name=name
        )

    def rename(self, name: str, now: datetime) -> None:
        self.name = name
        self.touch(now)

    def move(self, parent_id: UUID | None, now: datetime) -> None:
        self.parent_id = parent_id
        self.touch(now)
