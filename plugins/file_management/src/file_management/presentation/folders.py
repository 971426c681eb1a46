"""Routes below `/folders`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from file_management.application.folders import CreateFolder, DeleteFolder, FolderChanges, UpdateFolder
from file_management.application.queries import GetFolder, ListChildren
from file_management.contracts import ChildView, FolderView
from file_management.domain import FolderInsideItself, FolderNameTaken, FolderNotFound
from platform_core.domain import Page
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, PageParams, Router

router = Router()


def _is_there(path: Mapping[str, Any]) -> GetFolder:
    return GetFolder(folder_id=path["folder_id"])


@router.post(
    "/folders",
    status_code=201,
    raises=(FolderNameTaken, FolderNotFound, InvalidInput),
    summary="Make a folder",
)
async def create_folder(command: CreateFolder, execute: Execute) -> FolderView:
    return await execute(command)


@router.get("/folders/root/children", summary="List what lies in your root, folders first")
async def list_root(page: PageParams, ask: Ask) -> Page[ChildView]:
    return await ask(ListChildren(folder_id=None, page=page))


@router.get("/folders/{folder_id}", raises=(FolderNotFound,), summary="Read what is known of a folder")
async def get_folder(folder_id: UUID, ask: Ask) -> FolderView:
    return await ask(GetFolder(folder_id=folder_id))


@router.patch(
    "/folders/{folder_id}",
    visible=_is_there,
    raises=(FolderNotFound, FolderNameTaken, FolderInsideItself, InvalidInput),
    summary="Call a folder something else, or put it elsewhere",
)
async def update_folder(folder_id: UUID, changes: FolderChanges, execute: Execute) -> FolderView:
    return await execute(UpdateFolder(folder_id=folder_id, changes=changes))


@router.delete(
    "/folders/{folder_id}", raises=(FolderNotFound,), summary="Delete a folder with everything in it"
)
async def delete_folder(folder_id: UUID, execute: Execute) -> None:
    await execute(DeleteFolder(folder_id=folder_id))


@router.get(
    "/folders/{folder_id}/children",
    raises=(FolderNotFound,),
    summary="List what lies in a folder, folders first, each by name",
)
async def list_children(folder_id: UUID, page: PageParams, ask: Ask) -> Page[ChildView]:
    return await ask(ListChildren(folder_id=folder_id, page=page))
