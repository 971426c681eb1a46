"""What the use cases of file management need from the outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from file_management.contracts import Level
from file_management.domain import File, Folder, Upload, Version
from file_management.hookspecs import Verdict
from platform_core.ports import Draft


class FileRepository(Protocol):
    """Files that are not deleted, with their versions and whom they are shared with."""

    def add(self, aggregate: File) -> None: ...

    async def get(self, identity: UUID) -> File:
        """Load one; raises `FileNotFound`."""
        ...

    async def get_with_deleted(self, identity: UUID) -> File:
        """Load one, also when it is deleted; raises `FileNotFound`."""
        ...

    async def find_in_root(self, owner_id: UUID, name: str) -> File | None:
        """Load somebody's file of this name that lies in no folder."""
        ...

    def add_version(self, file: File, uploaded_by: UUID) -> None:
        """Note the present content of a file as a version of it."""
        ...

    async def next_number(self, file_id: UUID) -> int:
        """Return what the next version is called."""
        ...

    async def version(self, file_id: UUID, number: int) -> Version:
        """Return one version; raises `VersionNotFound`."""
        ...

    async def last_clean_version(self, file_id: UUID) -> Version | None:
        """Return the newest version that was found clean."""
        ...

    def mark_clean(self, file: File) -> None:
        """Note that the present content of a file was found clean."""
        ...

    def remove_version(self, file_id: UUID, number: int) -> None:
        """Forget a version for good, at the commit."""
        ...

    def remove(self, file_id: UUID) -> None:
        """Forget a file with everything of it for good, at the commit."""
        ...

    async def level_of(self, file_id: UUID, user_id: UUID) -> Level | None:
        """Return what was granted to somebody."""
        ...

    def grant(self, file_id: UUID, user_id: UUID, level: Level, *, by: UUID, now: datetime) -> None:
        """Let somebody read or write, in place of what they could before."""
        ...

    def revoke(self, file_id: UUID, user_id: UUID) -> None:
        """Take away what was granted to somebody."""
        ...

    async def stuck(self, status: str, since: datetime, limit: int) -> Sequence[File]:
        """Return files of a status that nothing happened to since then."""
        ...

    async def purgeable(self, deleted_before: datetime, limit: int) -> Sequence[Remains]:
        """Return what is left of files that were deleted before."""
        ...

    async def unknown_keys(self, keys: Iterable[str]) -> Sequence[str]:
        """Return those keys of the storage, made by `intake.object_key`, that nothing refers to."""
        ...


@dataclass(frozen=True, slots=True)
class Remains:
    """
    What is left of a deleted file.

    Attributes:
        keys: of every object of it.
        charged_bytes: that its owner's quota gets back.
    """

    file_id: UUID
    owner_id: UUID
    keys: tuple[str, ...]
    charged_bytes: int


class FolderRepository(Protocol):
    """Folders that are not deleted."""

    def add(self, aggregate: Folder) -> None: ...

    async def get_own(self, folder_id: UUID, owner_id: UUID) -> Folder:
        """Load one of somebody's; raises `FolderNotFound`."""
        ...

    async def is_own(self, folder_id: UUID, owner_id: UUID) -> bool:
        """Tell whether somebody has this folder."""
        ...

    async def find_in_root(self, owner_id: UUID, name: str) -> Folder | None:
        """Load somebody's folder of this name that lies in no other."""
        ...

    async def hold_tree(self, owner_id: UUID) -> None:
        """Let nobody else change the shape of somebody's tree until the commit."""
        ...

    async def below(self, folder_id: UUID) -> set[UUID]:
        """Return the folders that lie in one, however deep, and itself."""
        ...

    def delete_contents(self, folder_ids: Iterable[UUID], *, except_id: UUID, now: datetime) -> None:
        """Mark these folders, but for one, and the files in all of them as deleted, at the commit."""
        ...


class Usage(Protocol):
    """How many bytes everybody's files have; decided by the database, so that parallel uploads cannot overdraw."""

    def charge(self, owner_id: UUID, size: int, *, limit: int) -> None:
        """Count bytes, at the commit; `QuotaExceeded` is raised there when they do not fit."""
        ...

    def release(self, owner_id: UUID, size: int) -> None:
        """Count bytes no longer, at the commit."""
        ...


class UploadRepository(Protocol):
    """Resumable uploads that were not given up."""

    def add(self, aggregate: Upload) -> None: ...

    async def get_own(self, upload_id: UUID, owner_id: UUID) -> Upload:
        """Load one of somebody's; raises `UploadNotFound`."""
        ...

    async def expired(self, before: datetime, limit: int) -> Sequence[Upload]:
        """Return uploads whose time was over before."""
        ...

    def remove(self, upload_id: UUID) -> None:
        """Forget one for good, at the commit."""
        ...


class Types(Protocol):
    """Tells what content is."""

    def sniff(self, head: bytes, name: str) -> str:
        """Return the media type of content that begins with `head`, under this name."""
        ...

    def renamed(self, content_type: str, name: str) -> str:
        """Return the media type that content of this type has under another name."""
        ...


class Scanners(Protocol):
    """Every contributed scanner."""

    async def scan(self, content: Draft) -> Verdict:
        """
        Return the first verdict that is not clean, or that all are.

        Raises:
            ScannerAway: not all of them could be asked.
        """
        ...


class Processors(Protocol):
    """Every contributed processor."""

    def want(self, content_type: str) -> bool:
        """Tell whether something is made of such content."""
        ...

    async def process(self, content: Draft, content_type: str) -> Mapping[str, bytes]:
        """Return everything that was made of it, by name; raises as `hookspecs.Processor.process` does."""
        ...


class AccessRules(Protocol):
    """Every contributed rule by which people may read files of others."""

    async def may_read(self, user_id: UUID, file_id: UUID) -> bool:
        """Tell whether one of them lets somebody in."""
        ...
