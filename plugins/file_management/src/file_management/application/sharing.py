"""Sharing a file with somebody, and ending it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from file_management.application.access import Access
from file_management.application.ports import FileRepository
from file_management.contracts import FileId, Level
from file_management.domain import GranteeNotFound
from platform_core.domain import Command
from platform_core.errors import InvalidInput
from platform_core.ports import Clock
from user_management import UserDirectory


@dataclass(frozen=True, kw_only=True)
class ShareFile(Command[None]):
    """Let somebody read or change a file, in place of what they could before."""

    file_id: FileId
    user_id: UUID
    level: Level


async def share_file(
    command: ShareFile, access: Access, files: FileRepository, directory: UserDirectory, clock: Clock
) -> None:
    file = await access.as_owner(command.file_id)
    if command.user_id == file.uploaded_by:
        raise InvalidInput.of("user_id", "is the owner, who may do everything", "is_owner", where="path")
    if await directory.get(command.user_id) is None:
        raise GranteeNotFound
    files.grant(file.id, command.user_id, command.level, by=file.uploaded_by, now=clock.now())


@dataclass(frozen=True, kw_only=True)
class UnshareFile(Command[None]):
    """Take away what somebody was given; who was given nothing has nothing taken away."""

    file_id: FileId
    user_id: UUID


async def unshare_file(command: UnshareFile, access: Access, files: FileRepository) -> None:
    file = await access.as_owner(command.file_id)
    files.revoke(file.id, command.user_id)
