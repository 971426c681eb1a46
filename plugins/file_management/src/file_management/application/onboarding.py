"""A folder for everybody who registers: a step of `user_management`'s onboarding."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from file_management.application.ports import FolderRepository
from file_management.contracts import FolderId
from file_management.domain import Folder, folder_name
from file_management.settings import FileManagementSettings
from platform_core.domain import Command
from platform_core.ports import Clock, SagaRun
from user_management import Prepared, UserDirectory


@dataclass(frozen=True, kw_only=True)
class PrepareWorkspace(Command[Prepared | None]):
    """Make the first folder of somebody who is new."""

    folder_id: FolderId
    owner_id: UUID


async def prepare_workspace(
    command: PrepareWorkspace,
    folders: FolderRepository,
    users: UserDirectory,
    settings: FileManagementSettings,
    clock: Clock,
) -> Prepared | None:
    """One of that name counts as theirs; nothing is made for whoever has gone, or where a deployer wants none."""
    if not settings.onboarding or await users.get(command.owner_id) is None:
        return None
    name = folder_name(settings.workspace_folder)
    if await folders.find_in_root(command.owner_id, name) is None:
        folders.add(
            Folder.create(
                folder_id=command.folder_id,
                owner_id=command.owner_id,
                parent_id=None,
                name=name,
                now=clock.now(),
            )
        )
    return Prepared(name=name)


def workspace(run: SagaRun) -> PrepareWorkspace:
    return PrepareWorkspace(folder_id=run.id, owner_id=UUID(run.data["user_id"]))
