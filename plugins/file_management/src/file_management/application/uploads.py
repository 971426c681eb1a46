"""Resumable uploads: begun, continued part by part, finished as a file, or given up."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from annotated_types import Ge

from file_management.application.files import Drawer, Name
from file_management.application.intake import Rejected, object_key
from file_management.application.ports import FolderRepository, UploadRepository
from file_management.application.tasks import DiscardObjects
from file_management.contracts import FolderId
from file_management.domain import ChecksumMismatch, Upload, UploadNotFound, file_name
from file_management.settings import FileManagementSettings
from platform_core.domain import Command, Refused, new_id
from platform_core.errors import InvalidInput
from platform_core.ports import Clock, Draft, Jobs, Storage
from platform_core.security import Principal

CHECKSUMS: Final = ("sha1", "sha256", "md5")
"""What `Upload-Checksum` may use; the protocol insists on the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadView:
    """
    A resumable upload.

    Attributes:
        offset: how many bytes there are; the next part begins there.
        file_id: what became of it, once every byte is there.
    """

    id: UUID
    name: str
    length: int
    offset: int
    expires_at: datetime
    file_id: UUID | None


@dataclass(frozen=True, kw_only=True)
class BeginUpload(Command[UploadView]):
    """Promise a file that will come in parts."""

    name: Name
    length: Annotated[int, Ge(0)]
    folder_id: FolderId | None = None


async def begin_upload(
    command: BeginUpload,
    uploads: UploadRepository,
    folders: FolderRepository,
    drawer: Drawer,
    storage: Storage,
    settings: FileManagementSettings,
    principal: Principal,
    clock: Clock,
) -> UploadView | Refused:
    """What is too large, or nobody's folder, is refused before a byte was sent; nothing to send is a file at once."""
    owner_id, now = principal.require_user(), clock.now()
    if command.folder_id is not None:
        await folders.get_own(command.folder_id, owner_id)
    upload = Upload.begin(
        upload_id=new_id(),
        owner_id=owner_id,
        folder_id=command.folder_id,
        name=file_name(command.name, "filename"),
        length=command.length,
        expires_at=now + timedelta(hours=settings.upload_expires_hours),
        now=now,
    )
    uploads.add(upload)
    if upload.is_complete:
        async with storage.draft() as empty:
            await empty.finish()
            try:
                await _finish(upload, empty, drawer, now)
            except Rejected as rejection:
                return Refused(rejection.refusal)
    return view(upload)


@dataclass(frozen=True, slots=True)
class Checksum:
    """
    What a client says of a part.

    Attributes:
        algorithm: one of `CHECKSUMS`.
    """

    algorithm: str
    digest: bytes


@dataclass(frozen=True, kw_only=True)
class ContinueUpload(Command[UploadView]):
    """
    Add the next part.

    Attributes:
        offset: where the client thinks that it begins.
        content: finished; may be less than the client wanted to send.
        is_complete: the client did not leave in between.
    """

    upload_id: UUID
    offset: Annotated[int, Ge(0)]
    content: Draft
    is_complete: bool
    checksum: Checksum | None = None


async def continue_upload(
    command: ContinueUpload,
    uploads: UploadRepository,
    folders: FolderRepository,
    drawer: Drawer,
    storage: Storage,
    settings: FileManagementSettings,
    principal: Principal,
    clock: Clock,
    jobs: Jobs,
) -> UploadView | Refused:
    """Of two parts for the same place one is taken: the other finds the upload gone on, and is told where it is."""
    upload, content, now = (
        await uploads.get_own(command.upload_id, principal.require_user()),
        command.content,
        clock.now(),
    )
    upload.expect(command.offset, content.size_bytes)
    if command.checksum is not None:
        if not command.is_complete:
            return view(upload)  # half a part has another checksum: nothing of it counts
        await _verify(content, command.checksum)
    if content.size_bytes == upload.length:
        return await _finished(upload, content, folders, drawer, jobs, now)
    if content.size_bytes:
        await content.keep(content.kept_as or object_key("parts", upload.id, now))
        assert content.kept_as is not None  # noqa: S101  # just kept
        keep_for = timedelta(hours=settings.upload_expires_hours)
        upload.append(content.kept_as, content.size_bytes, keep_for=keep_for, now=now)
    if not upload.is_complete:
        return view(upload)
    async with storage.draft() as whole:
        for key, size in upload.parts:
            async for piece in storage.read(str(key), stop=int(size)):
                await whole.write(piece)
        await whole.finish()
        return await _finished(upload, whole, folders, drawer, jobs, now)


@dataclass(frozen=True, kw_only=True)
class GiveUpUpload(Command[None]):
    """End an upload without a file."""

    upload_id: UUID


async def give_up_upload(
    command: GiveUpUpload, uploads: UploadRepository, principal: Principal, clock: Clock, jobs: Jobs
) -> None:
    upload = await uploads.get_own(command.upload_id, principal.require_user())
    if upload.file_id is not None:
        raise UploadNotFound
    _discard(upload.give_up(clock.now()), jobs)


def view(upload: Upload) -> UploadView:
    """Show an upload."""
    return UploadView(
        id=upload.id,
        name=upload.name,
        length=upload.length,
        offset=upload.received,
        expires_at=upload.expires_at,
        file_id=upload.file_id,
    )


async def _finished(
    upload: Upload, content: Draft, folders: FolderRepository, drawer: Drawer, jobs: Jobs, now: datetime
) -> UploadView | Refused:
    """When its folder is gone meanwhile the file lies in the root, as one that is restored."""
    if upload.folder_id is not None and not await folders.is_own(upload.folder_id, upload.owner_id):
        upload.move_to_root()
    try:
        keys = await _finish(upload, content, drawer, now)
    except Rejected as rejection:
        _discard(upload.give_up(now), jobs)
        return Refused(rejection.refusal)
    _discard(keys, jobs)
    return view(upload)


async def _finish(upload: Upload, content: Draft, drawer: Drawer, now: datetime) -> list[str]:
    file = await drawer.put(
        content, file_id=new_id(), owner_id=upload.owner_id, folder_id=upload.folder_id, name=upload.name
    )
    return upload.complete(file.id, now)


def _discard(keys: list[str], jobs: Jobs) -> None:
    if keys:
        jobs.later(DiscardObjects(keys=keys))


async def _verify(content: Draft, checksum: Checksum) -> None:
    if checksum.algorithm not in CHECKSUMS:
        raise InvalidInput.of(
            "Upload-Checksum", f"is one of {', '.join(CHECKSUMS)}", "unknown_checksum", where="header"
        )
    digest = hashlib.new(checksum.algorithm, usedforsecurity=False)
    async for piece in content.chunks():
        await asyncio.to_thread(digest.update, piece)
    if not hmac.compare_digest(digest.digest(), checksum.digest):
        raise ChecksumMismatch
