"""Files that belong to tasks; loaded only where `file_management` is installed."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from file_management import FileDirectory
from platform_core.domain import Command, Page, PageRequest, Query
from platform_core.ports import Clock, Outbox
from project_management.application.access import Access
from project_management.application.ports import TaskRepository
from project_management.contracts import AttachmentView, FileAttached, FileDetached, TaskId
from project_management.domain import BorrowedFile, FileNotReadable, Right, Task

AGGREGATE = "project_management.task"
"""Events about attachments belong to their task."""


@dataclass(frozen=True, kw_only=True)
class AttachFile(Command[None]):
    """Let a file belong to a task, so that everybody in the project may read it."""

    task_id: TaskId
    file_id: UUID


async def attach_file(
    command: AttachFile,
    access: Access,
    tasks: TaskRepository,
    directory: FileDirectory | None,
    outbox: Outbox,
    clock: Clock,
) -> None:
    """Attaching what is attached already changes nothing."""
    task = (await access.task(command.task_id, Right.WORK_ON_TASKS)).task
    if directory is None:
        raise FileNotReadable("No files are kept here.")
    await _require_shareable(command.file_id, task, access.user_id, tasks, directory)
    if await tasks.has_attachment(task.id, command.file_id):
        return
    tasks.attach(task.id, command.file_id, by=access.user_id, now=clock.now())
    event = FileAttached(
        project_id=task.project_id,
        task_id=task.id,
        task_title=task.title,
        file_id=command.file_id,
        attached_by=access.user_id,
    )
    outbox.emit(event, aggregate_type=AGGREGATE, aggregate_id=task.id)


@dataclass(frozen=True, kw_only=True)
class DetachFile(Command[None]):
    """Let a file belong to a task no longer; it is not deleted."""

    task_id: TaskId
    file_id: UUID


async def detach_file(command: DetachFile, access: Access, tasks: TaskRepository, outbox: Outbox) -> None:
    """Detaching what is not attached changes nothing."""
    task = (await access.task(command.task_id, Right.WORK_ON_TASKS)).task
    if not await tasks.has_attachment(task.id, command.file_id):
        return
    tasks.detach(task.id, command.file_id)
    event = FileDetached(
        project_id=task.project_id, task_id=task.id, task_title=task.title, file_id=command.file_id
    )
    outbox.emit(event, aggregate_type=AGGREGATE, aggregate_id=task.id)


@dataclass(frozen=True, kw_only=True)
class ListAttachments(Query[Page[AttachmentView]]):
    """The files of a task, newest first; deleted ones are left out."""

    task_id: TaskId
    page: PageRequest


async def _require_shareable(
    file_id: UUID, task: Task, user_id: UUID, tasks: TaskRepository, directory: FileDirectory
) -> None:
    """
    Insist that somebody may pass a file on to this project.

    Who reads a file only because it is attached elsewhere loses that with their membership there, so it must not live
    on here.
    """
    if await directory.readable([file_id], user_id=user_id, by_rules=False):
        return
    if not await directory.readable([file_id], user_id=user_id):
        raise FileNotReadable
    if not await tasks.is_attached_in(task.project_id, file_id):
        raise BorrowedFile
