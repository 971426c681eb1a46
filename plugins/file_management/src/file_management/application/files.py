"""Uploading, renaming, moving, deleting and restoring files; versions of their content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from annotated_types import Len
from typing_extensions import TypedDict

from file_management.application.access import Access
from file_management.application.intake import Intake, Rejected, view
from file_management.application.ports import FileRepository, FolderRepository, Usage
from file_management.application.tasks import DiscardObjects
from file_management.contracts import FileId, FileView, FolderId
from file_management.domain import Blob, File, VersionNotFound, file_name
from file_management.settings import FileManagementSettings
from platform_core.domain import Command, Refused, body, new_id
from platform_core.ports import Clock, Draft, Jobs
from platform_core.security import Principal

Name = Annotated[str, Len(1, 4096)]
"""As clients send it, a path included; what a file may be called in the end is shorter."""


@dataclass(frozen=True, kw_only=True)
class UploadFile(Command[FileView]):
    """
    Make a file of content that has arrived.

    Attributes:
        content: finished.
    """

    name: Name
    content: Draft
    folder_id: FolderId | None = None


async def upload_file(
    command: UploadFile, drawer: Drawer, folders: FolderRepository, principal: Principal
) -> FileView | Refused:
    """Whether the name is free and the quota suffices is decided by the database at the commit."""
    owner_id, name = principal.require_user(), file_name(command.name, "file")
    if command.folder_id is not None:
        await folders.get_own(command.folder_id, owner_id)
    try:
        file = await drawer.put(
            command.content, file_id=new_id(), owner_id=owner_id, folder_id=command.folder_id, name=name
        )
    except Rejected as rejection:
        return Refused(rejection.refusal)
    return view(file)


@dataclass(frozen=True, slots=True)
class Drawer:
    """Puts new content where it belongs; for uploads in one piece and in many, and for seeds."""

    files: FileRepository
    usage: Usage
    intake: Intake
    settings: FileManagementSettings
    clock: Clock

    async def put(
        self, content: Draft, *, file_id: UUID, owner_id: UUID, folder_id: UUID | None, name: str
    ) -> File:
        """
        Make a file.

        Raises:
            Rejected: the content is not taken; the event that says so waits for the commit.
        """
        try:
            blob = await self.intake.take(content, name)
        except Rejected as rejection:
            self.intake.rejected(rejection, name=name, owner_id=owner_id)
            raise
        file = File.upload(
            file_id=file_id,
            owner_id=owner_id,
            folder_id=folder_id,
            name=name,
            blob=blob,
            is_processed=self.intake.is_processed(blob),
            now=self.clock.now(),
        )
        self.files.add(file)
        self.files.add_version(file, owner_id)
        self.usage.charge(owner_id, blob.size, limit=self.settings.quota_bytes)
        self.intake.follow_up(file)
        return file


@dataclass(frozen=True, kw_only=True)
class EnsureFile(Command[bool]):
    """See to it that somebody has a file of this name in their root; answers whether it is new. For seeds."""

    owner_id: UUID
    name: Name
    content: Draft


async def ensure_file(command: EnsureFile, drawer: Drawer, files: FileRepository) -> bool:
    """A deleted one counts as missing."""
    name = file_name(command.name)
    if await files.find_in_root(command.owner_id, name) is not None:
        return False
    await drawer.put(command.content, file_id=new_id(), owner_id=command.owner_id, folder_id=None, name=name)
    return True


# ── Versions ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class AddVersion(Command[FileView]):
    """Give a file new content; what it was before stays a version."""

    file_id: FileId
    content: Draft


async def add_version(
    command: AddVersion,
    files: FileRepository,
    access: Access,
    usage: Usage,
    intake: Intake,
    settings: FileManagementSettings,
    principal: Principal,
    clock: Clock,
    jobs: Jobs,
) -> FileView | Refused:
    """The bytes count for the owner of the file, whoever sends them."""
    file = await access.to_write(command.file_id)
    try:
        blob = await intake.take(command.content, file.name)
    except Rejected as rejection:
        file.rejected(principal.require_user(), rejection.reason, rejection.detail)
        return Refused(rejection.refusal)
    usage.charge(file.uploaded_by, blob.size, limit=settings.quota_bytes)
    await _replace(file, blob, files, intake, principal, clock, jobs)
    return view(file)


@dataclass(frozen=True, kw_only=True)
class RestoreVersion(Command[FileView]):
    """Make an earlier content the present one again, as a new version."""

    file_id: FileId
    number: int


async def restore_version(
    command: RestoreVersion,
    files: FileRepository,
    access: Access,
    intake: Intake,
    principal: Principal,
    clock: Clock,
    jobs: Jobs,
) -> FileView:
    """The bytes are there already, so neither storage nor quota notices."""
    file = await access.to_write(command.file_id)
    version = await files.version(file.id, command.number)
    if not version.blob.is_clean:
        raise VersionNotFound
    intake.require_fitting(file.name, version.blob.content_type)
    await _replace(file, version.blob, files, intake, principal, clock, jobs)
    return view(file)


async def _replace(
    file: File,
    blob: Blob,
    files: FileRepository,
    intake: Intake,
    principal: Principal,
    clock: Clock,
    jobs: Jobs,
) -> None:
    user_id = principal.require_user()
    number = await files.next_number(file.id)
    stale = file.replace(
        blob, number=number, uploaded_by=user_id, is_processed=intake.is_processed(blob), now=clock.now()
    )
    files.add_version(file, user_id)
    if stale:
        jobs.later(DiscardObjects(keys=stale))
    intake.follow_up(file)


# ── Names, places, the end ───────────────────────────────────────────────────────────────────────


@body
class FileChanges(TypedDict, total=False):
    """What may be changed; what is absent stays, and no folder is the owner's root."""

    name: Name
    folder_id: FolderId | None


@dataclass(frozen=True, kw_only=True)
class UpdateFile(Command[FileView]):
    """Call a file something else, or put it elsewhere."""

    file_id: FileId
    changes: FileChanges


async def update_file(
    command: UpdateFile, access: Access, folders: FolderRepository, intake: Intake, clock: Clock
) -> FileView:
    """Whoever may write may rename; where it lies in the owner's tree is the owner's business."""
    changes, now = command.changes, clock.now()
    if "folder_id" in changes:
        file = await access.as_owner(command.file_id)
        if changes["folder_id"] is not None:
            await folders.get_own(changes["folder_id"], file.uploaded_by)
        file.move(changes["folder_id"], now)
    else:
        file = await access.to_write(command.file_id)
    if "name" in changes:
        name = file_name(changes["name"])
        intake.require_renamable(file.name, name, file.content_type)
        file.rename(name, now)
    return view(file)


@dataclass(frozen=True, kw_only=True)
class DeleteFile(Command[None]):
    """Delete a file; it can be restored for a while."""

    file_id: FileId


async def delete_file(command: DeleteFile, access: Access, clock: Clock) -> None:
    file = await access.as_owner(command.file_id)
    file.delete(clock.now())


@dataclass(frozen=True, kw_only=True)
class RestoreFile(Command[FileView]):
    """Take back that a file was deleted."""

    file_id: FileId


async def restore_file(
    command: RestoreFile, access: Access, folders: FolderRepository, clock: Clock
) -> FileView:
    """When its folder is gone meanwhile it lies in the root; a file that is not deleted stays as it is."""
    file, now = await access.as_owner(command.file_id, with_deleted=True), clock.now()
    if file.deleted_at is not None:
        file.restore(now)
        if file.folder_id is not None and not await folders.is_own(file.folder_id, file.uploaded_by):
            file.move(None, now)
    return view(file)
