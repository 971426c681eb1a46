"""Folders: making, renaming, moving and deleting them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from annotated_types import Len
from typing_extensions import TypedDict

from file_management.application.ports import FolderRepository
from file_management.contracts import FolderId, FolderView
from file_management.domain import Folder, FolderInsideItself, folder_name
from platform_core.domain import Command, body, new_id
from platform_core.ports import Clock
from platform_core.security import Principal

FolderName = Annotated[str, Len(1, 255)]


@dataclass(frozen=True, kw_only=True)
class CreateFolder(Command[FolderView]):
    """Make a folder; without a parent it lies in one's root."""

    name: FolderName
    parent_id: FolderId | None = None


async def create_folder(
    command: CreateFolder, folders: FolderRepository, principal: Principal, clock: Clock
) -> FolderView:
    """Whether the name is free is decided by the database at the commit."""
    owner_id = principal.require_user()
    if command.parent_id is not None:
        await folders.get_own(command.parent_id, owner_id)
    folder = Folder.create(
        folder_id=new_id(),
        owner_id=owner_id,
        parent_id=command.parent_id,
        name=folder_name(command.name),
        now=clock.now(),
    )
    folders.add(folder)
    return view(folder)


@body
class FolderChanges(TypedDict, total=False):
    """What may be changed; what is absent stays, and no parent is one's root."""

    name: FolderName
    parent_id: FolderId | None


@dataclass(frozen=True, kw_only=True)
class UpdateFolder(Command[FolderView]):
    """Call a folder something else, or put it elsewhere with everything in it."""

    folder_id: FolderId
    changes: FolderChanges


async def update_folder(
    command: UpdateFolder, folders: FolderRepository, principal: Principal, clock: Clock
) -> FolderView:
    """Two moves at once could make a circle of which each alone knows nothing, so moves of one owner queue up."""
    owner_id, changes, now = principal.require_user(), command.changes, clock.now()
    if "parent_id" in changes:
        await folders.hold_tree(owner_id)
    folder = await folders.get_own(command.folder_id, owner_id)
    if "parent_id" in changes:
        await _move(folder, changes["parent_id"], folders)
        folder.move(changes["parent_id"], now)
    if "name" in changes:
        folder.rename(folder_name(changes["name"]), now)
    return view(folder)


async def _move(folder: Folder, parent_id: UUID | None, folders: FolderRepository) -> None:
    if parent_id is None:
        return
    parent = await folders.get_own(parent_id, folder.owner_id)
    if parent.id in await folders.below(folder.id):
        raise FolderInsideItself


@dataclass(frozen=True, kw_only=True)
class DeleteFolder(Command[None]):
    """Delete a folder with everything in it; the files can be restored for a while."""

    folder_id: FolderId


async def delete_folder(
    command: DeleteFolder, folders: FolderRepository, principal: Principal, clock: Clock
) -> None:
    owner_id, now = principal.require_user(), clock.now()
    await folders.hold_tree(owner_id)
    folder = await folders.get_own(command.folder_id, owner_id)
    folders.delete_contents(await folders.below(folder.id), except_id=folder.id, now=now)
    folder.delete(now)


def view(folder: Folder) -> FolderView:
    """Show a folder."""
    return FolderView(
        id=folder.id,
        name=folder.name,
        parent_id=folder.parent_id,
        created_at=folder.created_at,
        updated_at=folder.updated_at,
    )
