"""Which files a task has; loaded only where `file_management` is installed."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import select

from file_management import FileDirectory
from platform_core.db import Reads
from platform_core.domain import Page
from platform_core.security import Principal
from project_management.application.attachments import ListAttachments
from project_management.contracts import AttachmentView
from project_management.infrastructure.reads import of_task, on_task
from project_management.infrastructure.tables import task_attachments

_ATTACHMENTS: Final = on_task(
    select(task_attachments.c.file_id, task_attachments.c.attached_by, task_attachments.c.created_at),
    task_attachments,
)
_NEWEST: Final = (task_attachments.c.created_at, task_attachments.c.file_id)


async def list_attachments(
    query: ListAttachments, reads: Reads, principal: Principal, directory: FileDirectory | None
) -> Page[AttachmentView]:
    """Two questions, because two modules know the answer: which files belong to the task, and what they are."""
    values = {"task": query.task_id, "user": principal.require_user()}
    page: Page[dict[str, Any]] = await reads.page(
        _ATTACHMENTS, query.page, dict, order=_NEWEST, values=values
    )
    await of_task(page, query.page, query.task_id, reads, principal)
    files = {} if directory is None else await directory.get_many(row["file_id"] for row in page.items)
    views = [
        AttachmentView(name=file.name, size=file.size, content_type=file.content_type, **row)
        for row in page.items
        if (file := files.get(row["file_id"])) is not None
    ]
    return Page(views, page.next_cursor)
