"""
What file management promises to other modules: views, published events, and a directory they may ask.

Imported through the facade, `from file_management import FileDirectory`. No view or event holds a key of the storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, Protocol, TypeAlias
from uuid import UUID

from platform_core.domain import Event

FileId: TypeAlias = UUID
FolderId: TypeAlias = UUID
FileStatus: TypeAlias = Literal["quarantined", "processing", "completed", "failed"]
Level: TypeAlias = Literal["read", "write"]


# ── Views ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """
    A file as its owner, and whoever it is shared with, sees it.

    Attributes:
        content_type: told by the bytes, whatever name or client say.
        version: of the content; each upload of new content is one more.
        status: `quarantined` until it was scanned, `processing` until its thumbnail was made, `failed` when that
            was not possible; the content can be read in all but the first.
        uploaded_by: the owner.
    """

    id: FileId
    name: str
    folder_id: FolderId | None
    size: int
    content_type: str
    checksum_sha256: str
    version: int
    status: FileStatus
    processing: bool
    has_thumbnail: bool
    uploaded_by: UUID
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionView:
    """One content that a file has or had."""

    version: int
    size: int
    checksum_sha256: str
    uploaded_by: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionView:
    """What somebody who is not the owner may do with a file."""

    user_id: UUID
    level: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderView:
    """
    A folder as its owner sees it.

    Attributes:
        parent_id: None in the owner's root.
    """

    id: FolderId
    name: str
    parent_id: FolderId | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildView:
    """What lies in a folder: one of both is there."""

    kind: Literal["folder", "file"]
    folder: FolderView | None
    file: FileView | None


@dataclass(frozen=True, slots=True)
class QuotaView:
    """Bytes that somebody's files use, all versions and the deleted ones included, and how many they may."""

    used: int
    limit: int


# ── Published events ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class FileUploaded(Event):
    """
    A file, or a new version of one, is there.

    Attributes:
        owner_id: whose file it is; `uploaded_by` may be somebody it is shared with.
    """

    wire_name: ClassVar[str] = "file_management.file_uploaded"

    file_id: FileId
    name: str
    owner_id: UUID
    uploaded_by: UUID
    file_version: int
    size: int
    content_type: str


@dataclass(frozen=True, kw_only=True)
class FileProcessed(Event):
    """
    Everything that is made of a file's content was made, or could not be.

    Attributes:
        status: `completed` or `failed`.
        error: why it failed, for people.
    """

    wire_name: ClassVar[str] = "file_management.file_processed"

    file_id: FileId
    name: str
    owner_id: UUID
    file_version: int
    status: str
    has_thumbnail: bool
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileRejected(Event):
    """
    What somebody uploaded was not taken, and nothing of it is kept.

    Attributes:
        file_id: of the file that was to get a new version, or that was in quarantine; else of nothing.
        reason: `infected`, `unsafe_archive` or `type_not_allowed`.
        detail: such as the name of the virus.
    """

    wire_name: ClassVar[str] = "file_management.file_rejected"

    file_id: FileId
    name: str
    owner_id: UUID
    uploaded_by: UUID
    reason: str
    detail: str


# ── Services that others may ask for ─────────────────────────────────────────────────────────────


class FileDirectory(Protocol):
    """Which files there are; deleted ones are not in it."""

    async def get_many(self, file_ids: Iterable[FileId]) -> Mapping[FileId, FileView]:
        """Return those of the files that exist, in one round trip, whoever may read them."""
        ...

    async def readable(
        self, file_ids: Iterable[FileId], *, user_id: UUID, by_rules: bool = True
    ) -> Mapping[FileId, FileView]:
        """
        Return those of the files that this user may read: their own, shared ones, and by other modules' rules.

        Args:
            by_rules: False leaves the last out, for whoever decides what may be passed on.
        """
        ...
