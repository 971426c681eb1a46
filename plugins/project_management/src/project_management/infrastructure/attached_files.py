"""Who may read a file because it belongs to a task."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import Uuid, bindparam, literal, select

from platform_core.db import Reads, where
from project_management.domain import visible_to
from project_management.infrastructure.tables import project_members, projects, task_attachments, tasks

_USER: Final = bindparam("user", type_=Uuid)
_OPEN: Final = (
    select(literal(1).label("open"))
    .select_from(task_attachments)
    .join(tasks, tasks.c.id == task_attachments.c.task_id)
    .join(projects, projects.c.id == tasks.c.project_id)
    .join(project_members, project_members.c.project_id == tasks.c.project_id)
    .where(
        task_attachments.c.file_id == bindparam("file", type_=Uuid),
        tasks.c.deleted_at.is_(None),
        projects.c.deleted_at.is_(None),
        where(visible_to(_USER), project_members),
    )
    .limit(1)
)


class AttachedFiles:
    """The access rule: members read the files of their projects' tasks, for as long as they are members."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def may_read(self, user_id: UUID, file_id: UUID) -> bool:
        return await self._reads.one(_OPEN, {"user": user_id, "file": file_id}) is not None
