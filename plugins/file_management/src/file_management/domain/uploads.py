"""A resumable upload: bytes that arrive in parts, over minutes or days, until they are a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from file_management.domain.errors import FileTooLarge, OffsetMismatch
from platform_core.domain import Aggregate


@dataclass(eq=False, kw_only=True)
class Upload(Aggregate):
    """
    An upload of one owner's.

    Attributes:
        length: how many bytes there will be.
        received: how many there are; the next part begins there.
        parts: (key of the storage, size), in order.
        expires_at: it is given up then, unless more bytes come.
        file_id: what became of it.
    """

    owner_id: UUID
    folder_id: UUID | None
    name: str
    length: int
    received: int = 0
    parts: list[list[str | int]] = field(default_factory=list)
    expires_at: datetime
    file_id: UUID | None = None

    @classmethod
    def begin(
        cls,
        *,
        upload_id: UUID,
        owner_id: UUID,
        folder_id: UUID | None,
        name: str,
        length: int,
        expires_at: datetime,
        now: datetime,
    ) -> Upload:
        """Promise that so many bytes will come."""
        return cls(
            id=upload_id,
            created_at=now,
            updated_at=now,
            owner_id=owner_id,
            folder_id=folder_id,
            name=name,
            length=length,
            expires_at=expires_at,
        )

    @property
    def is_complete(self) -> bool:
        return self.received == self.length

    @property
    def keys(self) -> list[str]:
        """Where the parts lie."""
        return [str(key) for key, _ in self.parts]

    def expect(self, offset: int, size: int) -> None:
        """
        Insist that a part continues where the one before ended, and does not go beyond the promised end.

        Raises:
            OffsetMismatch: it begins elsewhere.
            FileTooLarge: it goes beyond.
        """
        if offset != self.received or self.file_id is not None:
            raise OffsetMismatch(
                f"The upload continues at {self.received}, not at {offset}.", extra={"offset": self.received}
            )
        if offset + size > self.length:
            raise FileTooLarge(f"The upload was to have {self.length} bytes.")

    def append(self, key: str, size: int, *, keep_for: timedelta, now: datetime) -> None:
        """Add a part at the end."""
        self.parts = [*self.parts, [key, size]]
        self.received += size
        self.expires_at = now + keep_for
        self.touch(now)

    def move_to_root(self) -> None:
        """Forget the folder: it is gone."""
        self.folder_id = None

    def complete(self, file_id: UUID, now: datetime) -> list[str]:
        """Note what became of it; returns keys of the parts, which nobody needs any more."""
        keys = self.keys
        self.received, self.parts, self.file_id = self.length, [], file_id
        self.touch(now)
        return keys

    def give_up(self, now: datetime) -> list[str]:
        """End it without a file; returns keys of the parts, which nobody needs any more."""
        keys = self.keys
        self.parts = []
        self.delete(now)
        return keys
