"""Routes below `/tasks/{task_id}/attachments`; loaded only where `file_management` is installed."""

from __future__ import annotations

from uuid import UUID

from platform_core.domain import Page
from platform_core.http import Ask, Execute, PageParams, Router
from project_management.application.attachments import AttachFile, DetachFile, ListAttachments
from project_management.contracts import AttachmentView
from project_management.domain import BorrowedFile, FileNotReadable, Right, RoleTooLow, TaskNotFound
from project_management.presentation.visibility import with_task

router = Router()


@router.get(
    "/tasks/{task_id}/attachments",
    visible=with_task(Right.READ),
    raises=(TaskNotFound,),
    summary="List the files of a task, newest first",
)
async def list_attachments(task_id: UUID, page: PageParams, ask: Ask) -> Page[AttachmentView]:
    return await ask(ListAttachments(task_id=task_id, page=page))


@router.put(
    "/tasks/{task_id}/attachments/{file_id}",
    status_code=204,
    raises=(TaskNotFound, FileNotReadable, RoleTooLow, BorrowedFile),
    summary="Let a file belong to a task, so that everybody in the project may read it",
)
async def attach_file(task_id: UUID, file_id: UUID, execute: Execute) -> None:
    await execute(AttachFile(task_id=task_id, file_id=file_id))


@router.delete(
    "/tasks/{task_id}/attachments/{file_id}",
    raises=(TaskNotFound, RoleTooLow),
    summary="Let a file belong to a task no longer; it is not deleted",
)
async def detach_file(task_id: UUID, file_id: UUID, execute: Execute) -> None:
    await execute(DetachFile(task_id=task_id, file_id=file_id))
