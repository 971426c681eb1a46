"""Routes below `/files/{file_id}/permissions`."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from file_management.application.queries import ListPermissions
from file_management.application.sharing import ShareFile, UnshareFile
from file_management.contracts import Level, PermissionView
from file_management.domain import FileNotFound, GranteeNotFound, OwnersOnly
from file_management.presentation.files import file_is_there
from platform_core.domain import Page, body
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, PageParams, Router

router = Router()


@body
@dataclass(frozen=True)
class Grant:
    """What somebody may do; `write` includes reading."""

    level: Level


@router.get(
    "/files/{file_id}/permissions",
    raises=(FileNotFound, OwnersOnly),
    summary="List with whom your file is shared",
)
async def list_permissions(file_id: UUID, page: PageParams, ask: Ask) -> Page[PermissionView]:
    return await ask(ListPermissions(file_id=file_id, page=page))


@router.put(
    "/files/{file_id}/permissions/{user_id}",
    status_code=204,
    visible=file_is_there,
    raises=(FileNotFound, GranteeNotFound, OwnersOnly, InvalidInput),
    summary="Share your file with somebody",
)
async def share_file(file_id: UUID, user_id: UUID, grant: Grant, execute: Execute) -> None:
    await execute(ShareFile(file_id=file_id, user_id=user_id, level=grant.level))


@router.delete(
    "/files/{file_id}/permissions/{user_id}",
    raises=(FileNotFound, OwnersOnly),
    summary="Share your file with somebody no longer",
)
async def unshare_file(file_id: UUID, user_id: UUID, execute: Execute) -> None:
    await execute(UnshareFile(file_id=file_id, user_id=user_id))
