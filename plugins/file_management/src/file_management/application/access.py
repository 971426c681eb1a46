"""Who may do what with a file: its owner everything, others what they were granted, or what a rule allows."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from file_management.application.ports import AccessRules, FileRepository
from file_management.domain import File, FileNotFound, OwnersOnly, ReadOnly
from platform_core.security import Principal


@dataclass(frozen=True, slots=True)
class Access:
    """Loads files for those who may have them."""

    files: FileRepository
    rules: AccessRules
    principal: Principal

    async def to_write(self, file_id: UUID) -> File:
        """
        Load a file to change it.

        Raises:
            FileNotFound: the caller may not know of it.
            ReadOnly: they may read it only.
        """
        file = await self.files.get(file_id)
        if file.uploaded_by != self.principal.require_user():
            level = await self._level(file)
            if level != "write":
                raise ReadOnly
        return file

    async def as_owner(self, file_id: UUID, *, with_deleted: bool = False) -> File:
        """
        Load a file of the caller's own.

        Raises:
            FileNotFound: they may not know of it.
            OwnersOnly: they may read it, but it is somebody else's.
        """
        files = self.files
        file = await (files.get_with_deleted(file_id) if with_deleted else files.get(file_id))
        if file.uploaded_by != self.principal.require_user():
            if file.deleted_at is not None:
                raise FileNotFound
            await self._level(file)
            raise OwnersOnly
        return file

    async def _level(self, file: File) -> str:
        user_id = self.principal.require_user()
        level = await self.files.level_of(file.id, user_id)
        if level is None and not await self.rules.may_read(user_id, file.id):
            raise FileNotFound
        return level or "read"
