"""A file: a name in a folder, its present content, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from file_management.contracts import FileProcessed, FileRejected, FileStatus, FileUploaded
from file_management.domain.errors import FileQuarantined
from platform_core.domain import Aggregate

QUARANTINED: Final = "quarantined"
PROCESSING: Final = "processing"
COMPLETED: Final = "completed"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Blob:
    """
    Content that lies in the storage.

    Attributes:
        key: made here, never by a client.
        is_clean: every scanner said so; None of it is served before.
    """

    key: str
    size: int
    content_type: str
    checksum_sha256: str
    is_clean: bool


@dataclass(frozen=True, slots=True)
class Version:
    """One content that a file has or had."""

    number: int
    blob: Blob
    uploaded_by: UUID
    created_at: datetime


@dataclass(eq=False, kw_only=True)
class File(Aggregate):
    """
    A file of one owner.

    Attributes:
        uploaded_by: the owner, whoever uploads later versions.
        file_version: number of the present content.
        derived: what processors made of the present content, name → key of the storage.
        problem: why processing failed.
    """

    uploaded_by: UUID
    folder_id: UUID | None
    name: str
    file_version: int = 1
    object_key: str
    size: int
    content_type: str
    checksum_sha256: str
    status: FileStatus
    derived: dict[str, str] = field(default_factory=dict)
    problem: str | None = None

    @classmethod
    def upload(
        cls,
        *,
        file_id: UUID,
        owner_id: UUID,
        folder_id: UUID | None,
        name: str,
        blob: Blob,
        is_processed: bool,
        now: datetime,
    ) -> File:
        """
        Make a file of content that has arrived.

        Args:
            is_processed: whether something is to be made of the content.
        """
        file = cls(
            id=file_id,
            created_at=now,
            updated_at=now,
            uploaded_by=owner_id,
            folder_id=folder_id,
            name=name,
            object_key=blob.key,
            size=blob.size,
            content_type=blob.content_type,
            checksum_sha256=blob.checksum_sha256,
            status=COMPLETED,
        )
        file._begin(blob, is_processed=is_processed)
        file._record_upload(owner_id)
        return file

    @property
    def is_readable(self) -> bool:
        return self.status != QUARANTINED

    @property
    def blob(self) -> Blob:
        return Blob(self.object_key, self.size, self.content_type, self.checksum_sha256, self.is_readable)

    def replace(
        self, blob: Blob, *, number: int, uploaded_by: UUID, is_processed: bool, now: datetime
    ) -> list[str]:
        """
        Give the file new content.

        Args:
            number: of the new version, higher than any before.

        Returns: keys of what was made of the content before, which nobody needs any more.
        """
        keys = self._set(blob, number, is_processed=is_processed)
        self.touch(now)
        self._record_upload(uploaded_by)
        return keys

    def fall_back(self, version: Version, *, is_processed: bool, now: datetime) -> list[str]:
        """Return to an earlier version, because the present one was infected; returns keys as `replace` does."""
        keys = self._set(version.blob, version.number, is_processed=is_processed)
        self.touch(now)
        return keys

    def rename(self, name: str, now: datetime) -> None:
        self.name = name
        self.touch(now)

    def move(self, folder_id: UUID | None, now: datetime) -> None:
        self.folder_id = folder_id
        self.touch(now)

    def restore(self, now: datetime) -> None:
        """Take back that it was deleted."""
        self.deleted_at = None
        self.touch(now)

    def release(self, now: datetime, *, is_processed: bool) -> None:
        """Every scanner called it clean: it can be read from now on."""
        self.status = PROCESSING if is_processed else COMPLETED
        self.touch(now)

    def processed(self, derived: dict[str, str], now: datetime) -> None:
        """Note what was made of the content."""
        self.derived, self.status, self.problem = derived, COMPLETED, None
        self.touch(now)
        self._record_processed()

    def fail(self, problem: str, now: datetime) -> None:
        """Note that nothing can be made of the content; it can be read all the same."""
        self.status, self.problem = FAILED, problem
        self.touch(now)
        self._record_processed()

    def rejected(self, uploaded_by: UUID, reason: str, detail: str) -> None:
        """Tell that content of it was not taken."""
        self.record(
            FileRejected(
                file_id=self.id,
                name=self.name,
                owner_id=self.uploaded_by,
                uploaded_by=uploaded_by,
                reason=reason,
                detail=detail,
            )
        )

    def require_readable(self) -> None:
        """
        Insist that its content may be read.

        Raises:
            FileQuarantined: it was not scanned yet.
        """
        if not self.is_readable:
            raise FileQuarantined

    def _set(self, blob: Blob, number: int, *, is_processed: bool) -> list[str]:
        keys = list(self.derived.values())
        self.object_key, self.size, self.content_type = blob.key, blob.size, blob.content_type
        self.checksum_sha256, self.file_version, self.derived = blob.checksum_sha256, number, {}
        self._begin(blob, is_processed=is_processed)
        return keys

    def _begin(self, blob: Blob, *, is_processed: bool) -> None:
        self.problem = None
        self.status = QUARANTINED if not blob.is_clean else PROCESSING if is_processed else COMPLETED

    def _record_upload(self, uploaded_by: UUID) -> None:
        self.record(
            FileUploaded(
                file_id=self.id,
                name=self.name,
                owner_id=self.uploaded_by,
                uploaded_by=uploaded_by,
                file_version=self.file_version,
                size=self.size,
                content_type=self.content_type,
            )
        )

    def _record_processed(self) -> None:
        self.record(
            FileProcessed(
                file_id=self.id,
                name=self.name,
                owner_id=self.uploaded_by,
                file_version=self.file_version,
                status=self.status,
                has_thumbnail="thumbnail" in self.derived,
                error=self.problem,
            )
        )
