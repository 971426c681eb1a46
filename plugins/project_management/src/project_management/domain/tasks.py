"""A task: what is to be done, by whom, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from platform_core.domain import Aggregate
from platform_core.texts import human_name, optional_text
from project_management.contracts import (
    Priority,
    TaskAssigned,
    TaskCreated,
    TaskDeleted,
    TaskStatus,
    TaskStatusChanged,
    TaskUpdated,
)
from project_management.domain.workflow import DONE, TODO, require_transition


@dataclass(eq=False, kw_only=True)
class Task(Aggregate):
    """
    A task of a project.

    Attributes:
        parent_id: the task that it is a part of, in the same project.
        completed_at: since when it is done.
    """

    project_id: UUID
    title: str
    description: str | None
    status: TaskStatus = TODO
    priority: Priority
    assignee_id: UUID | None = None
    due_date: date | None
    estimated_minutes: int | None
    parent_id: UUID | None
    created_by: UUID
    completed_at: datetime | None = None

    @classmethod
    def create(
        cls,
        *,
        task_id: UUID,
        project_id: UUID,
        title: str,
        description: str | None,
        priority: Priority,
        due_date: date | None,
        estimated_minutes: int | None,
        parent_id: UUID | None,
        created_by: UUID,
        now: datetime,
    ) -> Task:
        """
        Make a task that nobody is to do yet.

        Raises:
            InvalidInput: a title or a description in which there is nothing to be seen.
        """
        task = cls(
            id=task_id,
            created_at=now,
            updated_at=now,
            project_id=project_id,
            title=human_name(title, "title"),
            description=optional_text(description, "description"),
            priority=priority,
            due_date=due_date,
            estimated_minutes=estimated_minutes,
            parent_id=parent_id,
            created_by=created_by,
        )
        task.record(
            TaskCreated(project_id=project_id, task_id=task_id, title=task.title, created_by=created_by)
        )
        return task

    def assign(self, assignee_id: UUID | None, *, by: UUID, now: datetime) -> None:
        """
        Say who is to do it, or that nobody is; who it was before changes nothing.

        Args:
            assignee_id: in the project; `specs.assignable_in` says so, and the database makes sure.
        """
        if assignee_id == self.assignee_id:
            return
        self.assignee_id = assignee_id
        if self.stored_version:
            self.touch(now)
        if assignee_id is None:
            self._record_update(["assignee_id"])
            return
        self.record(
            TaskAssigned(
                project_id=self.project_id,
                task_id=self.id,
                title=self.title,
                assignee_id=assignee_id,
                assigned_by=by,
                due_date=self.due_date,
            )
        )

    def move_to(self, status: TaskStatus, *, by: UUID, now: datetime) -> None:
        """
        Go on to another status; the present one again changes nothing.

        Raises:
            IllegalTransition: the workflow does not lead there.
        """
        if status == self.status:
            return
        require_transition(self.status, status)
        before, self.status = self.status, status
        self.completed_at = now if status == DONE else None
        self.touch(now)
        self.record(
            TaskStatusChanged(
                project_id=self.project_id,
                task_id=self.id,
                title=self.title,
                before=before,
                after=status,
                assignee_id=self.assignee_id,
                changed_by=by,
            )
        )

    def describe(
        self,
        *,
        title: str,
        description: str | None,
        priority: Priority,
        due_date: date | None,
        estimated_minutes: int | None,
        parent_id: UUID | None,
        now: datetime,
    ) -> None:
        """
        Say anew what is to be done.

        Args:
            parent_id: in the same project, and no part of this task.

        Raises:
            InvalidInput: a title or a description in which there is nothing to be seen.
        """
        before = self._description()
        # what stays is not judged anew: it may be from before there was a rule
        if title != self.title:
            self.title = human_name(title, "title")
        if description != self.description:
            self.description = optional_text(description, "description")
        self.priority = priority
        self.due_date, self.estimated_minutes, self.parent_id = due_date, estimated_minutes, parent_id
        changed = [field for field, value in self._description().items() if value != before[field]]
        if changed:
            self.touch(now)
            self._record_update(changed)

    def delete(self, now: datetime) -> None:
        super().delete(now)
        self.record(TaskDeleted(project_id=self.project_id, task_id=self.id, title=self.title))

    def _description(self) -> dict[str, object]:
        return {
            "title": self.title,
            "description": self.description,
            "priority": self.priority,
            "due_date": self.due_date,
            "estimated_minutes": self.estimated_minutes,
            "parent_id": self.parent_id,
        }

    def _record_update(self, fields: list[str]) -> None:
        self.record(TaskUpdated(project_id=self.project_id, task_id=self.id, title=self.title, fields=fields))
