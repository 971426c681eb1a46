"""Questions about files and folders; how they are answered is in the infrastructure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from uuid import UUID

from file_management.application.uploads import UploadView
from file_management.contracts import (
    ChildView,
    FileId,
    FileView,
    FolderId,
    FolderView,
    PermissionView,
    QuotaView,
    VersionView,
)
from platform_core.domain import Page, PageRequest, Query


@dataclass(frozen=True, kw_only=True)
class GetFile(Query[FileView]):
    """A file that the caller may read."""

    file_id: FileId


@dataclass(frozen=True, kw_only=True)
class ListFiles(Query[Page[FileView]]):
    """
    The caller's own files and those shared with them, newest first.

    Attributes:
        folder_id: only those in it.
        q: part of the name, whatever its case.
    """

    page: PageRequest
    folder_id: FolderId | None = None
    q: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """
    Content that may be read.

    Attributes:
        tag: another one for other bytes.
        read: (start, stop) → the bytes in between, piece by piece.
    """

    name: str
    content_type: str
    size: int
    tag: str
    read: Callable[[int, int], AsyncGenerator[bytes, None]]


@dataclass(frozen=True, kw_only=True)
class OpenFile(Query[OpenedFile]):
    """
    The content of a file that the caller may read.

    Attributes:
        number: of the version; None is the present one.
    """

    file_id: FileId
    number: int | None = None


@dataclass(frozen=True, kw_only=True)
class OpenThumbnail(Query[OpenedFile]):
    """
    The thumbnail of a file that the caller may read.

    Attributes:
        size: its longest side, unless the picture itself is smaller.
    """

    file_id: FileId
    size: int


@dataclass(frozen=True, slots=True)
class UploadAllowance:
    """What may be uploaded."""

    max_bytes: int


@dataclass(frozen=True, kw_only=True)
class GetUploadAllowance(Query[UploadAllowance]):
    """
    Whether, and how much, the caller may upload; asked before a byte of it is read.

    Attributes:
        file_id: that is to get new content; None is a new file.
        declared_bytes: how many will come, where the client says so.
    """

    file_id: FileId | None = None
    declared_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class GetQuota(Query[QuotaView]):
    """How much room the caller has, and how much of it is taken."""


@dataclass(frozen=True, kw_only=True)
class ListVersions(Query[Page[VersionView]]):
    """Every version of a file, newest first."""

    file_id: FileId
    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class ListPermissions(Query[Page[PermissionView]]):
    """With whom one's own file is shared."""

    file_id: FileId
    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class GetFolder(Query[FolderView]):
    """One of the caller's folders."""

    folder_id: FolderId


@dataclass(frozen=True, kw_only=True)
class ListChildren(Query[Page[ChildView]]):
    """
    What lies in one of the caller's folders: folders first, then files, each by name.

    Attributes:
        folder_id: None is the root.
    """

    folder_id: FolderId | None
    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class GetUpload(Query[UploadView]):
    """One of the caller's resumable uploads."""

    upload_id: UUID
