"""Routes of tasks, and of the time that was worked on them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query

from platform_core.domain import Page
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, PageParams, Router
from project_management.application.queries import GetTask, ListTasks, ListTimeEntries
from project_management.application.tasks import CreateTask, DeleteTask, TaskChanges, TaskDraft, UpdateTask
from project_management.application.time_entries import LogTime, WorkedTime
from project_management.contracts import TaskStatus, TaskView, TimeEntryView
from project_management.domain import (
    AssigneeNotInProject,
    IllegalTransition,
    ParentTaskNotFound,
    ProjectNotFound,
    Right,
    RoleTooLow,
    TaskInsideItself,
    TaskNotFound,
)
from project_management.presentation.visibility import in_project, with_task

router = Router()


@router.post(
    "/projects/{project_id}/tasks",
    status_code=201,
    visible=in_project(Right.WORK_ON_TASKS),
    raises=(ProjectNotFound, RoleTooLow, AssigneeNotInProject, ParentTaskNotFound, InvalidInput),
    summary="Put a task into a project",
)
async def create_task(project_id: UUID, draft: TaskDraft, execute: Execute) -> TaskView:
    return await execute(CreateTask(project_id=project_id, draft=draft))


@router.get(
    "/projects/{project_id}/tasks",
    visible=in_project(Right.READ),
    raises=(ProjectNotFound,),
    summary="List or search the tasks of a project, newest first",
)
async def list_tasks(
    project_id: UUID,
    page: PageParams,
    ask: Ask,
    status: Annotated[TaskStatus | None, Query(description="Only those that are so.")] = None,
    assignee_id: Annotated[UUID | None, Query(description="Only those that this person is to do.")] = None,
    q: Annotated[str | None, Query(max_length=200, description="Part of the title.")] = None,
) -> Page[TaskView]:
    return await ask(ListTasks(project_id=project_id, page=page, status=status, assignee_id=assignee_id, q=q))


@router.get("/tasks/{task_id}", raises=(TaskNotFound,), summary="Read a task")
async def get_task(task_id: UUID, ask: Ask) -> TaskView:
    return await ask(GetTask(task_id=task_id))


@router.patch(
    "/tasks/{task_id}",
    visible=with_task(Right.WORK_ON_TASKS),
    raises=(
        TaskNotFound,
        RoleTooLow,
        IllegalTransition,
        TaskInsideItself,
        AssigneeNotInProject,
        ParentTaskNotFound,
        InvalidInput,
    ),
    summary="Describe a task anew, hand it to somebody, or move it on",
)
async def update_task(task_id: UUID, changes: TaskChanges, execute: Execute) -> TaskView:
    return await execute(UpdateTask(task_id=task_id, changes=changes))


@router.delete(
    "/tasks/{task_id}",
    raises=(TaskNotFound, RoleTooLow),
    summary="Delete a task with its parts; for managers and owners",
)
async def delete_task(task_id: UUID, execute: Execute) -> None:
    await execute(DeleteTask(task_id=task_id))


@router.post(
    "/tasks/{task_id}/time-entries",
    status_code=201,
    visible=with_task(Right.LOG_TIME),
    raises=(TaskNotFound, RoleTooLow, InvalidInput),
    summary="Note that you worked on a task",
)
async def log_time(task_id: UUID, worked: WorkedTime, execute: Execute) -> TimeEntryView:
    return await execute(LogTime(task_id=task_id, worked=worked))


@router.get(
    "/tasks/{task_id}/time-entries",
    visible=with_task(Right.READ),
    raises=(TaskNotFound,),
    summary="List the time that was worked on a task, newest first",
)
async def list_time_entries(task_id: UUID, page: PageParams, ask: Ask) -> Page[TimeEntryView]:
    return await ask(ListTimeEntries(task_id=task_id, page=page))
