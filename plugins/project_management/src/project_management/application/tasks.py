"""Making, changing and deleting tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated
from uuid import UUID

from annotated_types import Interval, Len
from typing_extensions import TypedDict

from platform_core.domain import Command, body, new_id
from platform_core.ports import Clock
from platform_core.security import Principal
from project_management.application.access import Access
from project_management.application.ports import Surroundings, TaskRepository
from project_management.contracts import Priority, ProjectId, TaskId, TaskStatus, TaskView
from project_management.domain import (
    AssigneeNotInProject,
    ParentTaskNotFound,
    ProjectNotFound,
    Right,
    Task,
    TaskInsideItself,
    assignable_in,
)

Title = Annotated[str, Len(1, 300)]
Description = Annotated[str, Len(0, 50_000)]
Estimate = Annotated[int, Interval(ge=1, le=10_000_000)]


@body
@dataclass(frozen=True, kw_only=True)
class TaskDraft:
    """What is to be done."""

    title: Title
    description: Description | None = None
    assignee_id: UUID | None = None
    priority: Priority = "medium"
    due_date: date | None = None
    estimated_minutes: Estimate | None = None
    parent_id: TaskId | None = None


@dataclass(frozen=True, kw_only=True)
class CreateTask(Command[TaskView]):
    """Put a task into a project."""

    project_id: ProjectId
    draft: TaskDraft


async def create_task(
    command: CreateTask,
    tasks: TaskRepository,
    principal: Principal,
    clock: Clock,
) -> TaskView:
    """
    One read: the project with everything that matters in it. Whether somebody's account works is not asked: who was
    switched off for a while is still in the project, and finds what was assigned meanwhile.

    A part of another task waits for whoever changes the project's tree just now, which takes a lock and a further read.
    Somebody who leaves in between is caught by a foreign key: an assignee is in the project.
    """
    user_id, draft, now = principal.require_user(), command.draft, clock.now()
    found = await tasks.surroundings(
        command.project_id, user_id, assignee_id=draft.assignee_id, parent_id=None
    )
    if found.membership is None:
        raise ProjectNotFound
    found.membership.require(Right.WORK_ON_TASKS)
    if draft.parent_id is not None:
        await _require_parent(draft.parent_id, command.project_id, user_id, tasks)
    task = Task.create(
        task_id=new_id(),
        project_id=command.project_id,
        title=draft.title,
        description=draft.description,
        priority=draft.priority,
        due_date=draft.due_date,
        estimated_minutes=draft.estimated_minutes,
        parent_id=draft.parent_id,
        created_by=user_id,
        now=now,
    )
    if draft.assignee_id is not None:
        _require_assignable(found, task)
        task.assign(draft.assignee_id, by=user_id, now=now)
    tasks.add(task)
    return view(task, 0)


@body
class TaskChanges(TypedDict, total=False):
    """What may be changed; what is absent stays, and null takes away."""

    title: Title
    description: Description | None
    status: TaskStatus
    priority: Priority
    assignee_id: UUID | None
    due_date: date | None
    estimated_minutes: Estimate | None
    parent_id: TaskId | None


@dataclass(frozen=True, kw_only=True)
class UpdateTask(Command[TaskView]):
    """Describe a task anew, hand it to somebody, or move it on."""

    task_id: TaskId
    changes: TaskChanges


async def update_task(command: UpdateTask, access: Access, tasks: TaskRepository, clock: Clock) -> TaskView:
    """Two moves at once could make a circle of which each alone knows nothing, so moves in one project queue up."""
    opened = await access.task(command.task_id, Right.WORK_ON_TASKS)
    task, changes, now, user_id = opened.task, command.changes, clock.now(), access.user_id
    assignee_id = changes.get("assignee_id", task.assignee_id)
    parent_id = changes.get("parent_id", task.parent_id)
    if assignee_id is not None and assignee_id != task.assignee_id:
        found = await tasks.surroundings(task.project_id, user_id, assignee_id=assignee_id, parent_id=None)
        _require_assignable(found, task)
    if parent_id is not None and parent_id != task.parent_id:
        await _require_parent(parent_id, task.project_id, user_id, tasks)
        if parent_id in await tasks.below(task.id):
            raise TaskInsideItself
    task.describe(
        title=changes.get("title", task.title),
        description=changes.get("description", task.description),
        priority=changes.get("priority", task.priority),
        due_date=changes.get("due_date", task.due_date),
        estimated_minutes=changes.get("estimated_minutes", task.estimated_minutes),
        parent_id=parent_id,
        now=now,
    )
    task.assign(assignee_id, by=user_id, now=now)
    if "status" in changes:
        task.move_to(changes["status"], by=user_id, now=now)
    return view(task, opened.spent_minutes)


@dataclass(frozen=True, kw_only=True)
class DeleteTask(Command[None]):
    """Delete a task with its parts."""

    task_id: TaskId


async def delete_task(command: DeleteTask, access: Access, tasks: TaskRepository, clock: Clock) -> None:
    """A part that somebody adds meanwhile waits, and then finds nothing to be a part of."""
    task, now = (await access.task(command.task_id, Right.MODERATE)).task, clock.now()
    await tasks.hold_tree(task.project_id)
    tasks.delete_parts(await tasks.below(task.id), except_id=task.id, now=now)
    task.delete(now)


async def _require_parent(parent_id: UUID, project_id: UUID, user_id: UUID, tasks: TaskRepository) -> None:
    """Insist that a task is there to be the parent, and let nobody delete or move it until the commit."""
    await tasks.hold_tree(project_id)
    found = await tasks.surroundings(project_id, user_id, assignee_id=None, parent_id=parent_id)
    if not found.has_parent:
        raise ParentTaskNotFound


def _require_assignable(found: Surroundings, task: Task) -> None:
    if found.assignee is None or not assignable_in(task.project_id).is_satisfied_by(found.assignee):
        raise AssigneeNotInProject


def view(task: Task, spent_minutes: int) -> TaskView:
    """Show a task."""
    return TaskView(
        id=task.id,
        project_id=task.project_id,
        title=task.title,
        description=task.description,
        status=task.status,
        priority=task.priority,
        assignee_id=task.assignee_id,
        due_date=task.due_date,
        estimated_minutes=task.estimated_minutes,
        spent_minutes=spent_minutes,
        parent_id=task.parent_id,
        version=task.version,
        created_by=task.created_by,
        created_at=task.created_at,
        updated_at=task.updated_at,
        completed_at=task.completed_at,
    )
