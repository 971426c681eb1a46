"""Whole projects at once, for seeds: the same aggregates as everybody's, made by one command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from platform_core.domain import Command, Money, new_id
from platform_core.ports import Clock
from project_management.application.ports import (
    CommentRepository,
    ExpenseRepository,
    MemberRepository,
    MilestoneRepository,
    ProjectRepository,
    TaskRepository,
    TimeEntryRepository,
)
from project_management.contracts import Priority, Role, TaskStatus
from project_management.domain import (
    OWNER,
    Comment,
    Expense,
    Membership,
    Milestone,
    Project,
    Task,
    TimeEntry,
)

_WAYS: Final[Mapping[TaskStatus, tuple[TaskStatus, ...]]] = {
    "todo": (),
    "in_progress": ("in_progress",),
    "review": ("in_progress", "review"),
    "done": ("in_progress", "done"),
    "cancelled": ("cancelled",),
}
"""Status → the shortest way there."""


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """
    A task of a project that is made as a whole.

    Attributes:
        assignee_id: of the owner or a member.
        due_in_days: from today; negative is overdue.
        spent_minutes: worked by the assignee.
        remark: a comment by the owner.
        mentioned_ids: whom the remark names.
    """

    title: str
    status: TaskStatus = "todo"
    priority: Priority = "medium"
    assignee_id: UUID | None = None
    due_in_days: int | None = None
    estimated_minutes: int | None = None
    spent_minutes: int = 0
    remark: str = ""
    mentioned_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EnsureProject(Command[bool]):
    """
    See to it that somebody has a project of this name, with everything in it; answers whether it is new. For seeds.

    Attributes:
        members: beside the owner.
        milestones: name → in how many days.
        expenses: note → amount, in the currency of the budget.
    """

    owner_id: UUID
    name: str
    description: str | None = None
    budget: Money | None = None
    members: Mapping[UUID, Role]
    tasks: tuple[PlannedTask, ...] = ()
    milestones: Mapping[str, int]
    expenses: Mapping[str, Money]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where whole projects are made."""

    projects: ProjectRepository
    members: MemberRepository
    tasks: TaskRepository
    entries: TimeEntryRepository
    comments: CommentRepository
    expenses: ExpenseRepository
    milestones: MilestoneRepository
    clock: Clock

    def make(self, command: EnsureProject) -> None:
        """Make the project with everything in it."""
        now = self.clock.now()
        project = self._project(command, now)
        for planned in command.tasks:
            self._task(planned, project, now)
        for name, days in command.milestones.items():
            self.milestones.add(
                Milestone.set_in(
                    project.id,
                    milestone_id=new_id(),
                    name=name,
                    due_date=_day(now, days),
                    created_by=project.owner_id,
                    now=now,
                )
            )
        for note, amount in command.expenses.items():
            self.expenses.add(
                Expense.record_for(
                    project,
                    expense_id=new_id(),
                    amount=amount,
                    note=note,
                    spent_on=now.date(),
                    recorded_by=project.owner_id,
                    now=now,
                )
            )

    def _project(self, command: EnsureProject, now: datetime) -> Project:
        project = Project.create(
            project_id=new_id(),
            owner_id=command.owner_id,
            name=command.name,
            description=command.description,
            budget=command.budget,
            start_date=_day(now, -14),
            end_date=_day(now, 60),
            now=now,
        )
        self.projects.add(project)
        for user_id, role in (*command.members.items(), (command.owner_id, OWNER)):
            self.members.add(Membership(project_id=project.id, user_id=user_id, role=role, joined_at=now))
        return project

    def _task(self, planned: PlannedTask, project: Project, now: datetime) -> None:
        task = Task.create(
            task_id=new_id(),
            project_id=project.id,
            title=planned.title,
            description=None,
            priority=planned.priority,
            due_date=None if planned.due_in_days is None else _day(now, planned.due_in_days),
            estimated_minutes=planned.estimated_minutes,
            parent_id=None,
            created_by=project.owner_id,
            now=now,
        )
        task.assign(planned.assignee_id, by=project.owner_id, now=now)
        for status in _WAYS[planned.status]:
            task.move_to(status, by=planned.assignee_id or project.owner_id, now=now)
        self.tasks.add(task)
        if planned.remark:
            self.comments.add(
                Comment.write(
                    task,
                    comment_id=new_id(),
                    author_id=project.owner_id,
                    parent_id=None,
                    body=planned.remark,
                    mentioned_ids=planned.mentioned_ids,
                    now=now,
                )
            )
        for minutes in _days_of(planned.spent_minutes):
            self.entries.add(
                TimeEntry.log(
                    task,
                    entry_id=new_id(),
                    user_id=planned.assignee_id or project.owner_id,
                    minutes=minutes,
                    note=None,
                    worked_on=now.date(),
                    now=now,
                )
            )


async def ensure_project(command: EnsureProject, projects: ProjectRepository, workshop: Workshop) -> bool:
    """A deleted one counts as missing."""
    if await projects.find_named(command.owner_id, command.name) is not None:
        return False
    workshop.make(command)
    return True


def _day(now: datetime, days: int) -> date:
    return (now + timedelta(days=days)).date()


def _days_of(minutes: int, working_day: int = 480) -> Iterator[int]:
    while minutes > 0:
        yield min(minutes, working_day)
        minutes -= working_day
