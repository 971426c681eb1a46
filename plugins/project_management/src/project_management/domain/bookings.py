"""What is noted once and stays: time that was worked, money that was spent, days that something is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from platform_core.domain import Aggregate, Money
from platform_core.texts import human_name, human_text, optional_text
from project_management.contracts import ExpenseRecorded, MilestoneAdded, TimeLogged
from project_management.domain.projects import Project
from project_management.domain.tasks import Task


@dataclass(eq=False, kw_only=True)
class TimeEntry(Aggregate):
    """Work that somebody did on a task; 1 to 1,440 minutes of one day."""

    task_id: UUID
    user_id: UUID
    minutes: int
    note: str | None
    worked_on: date

    @classmethod
    def log(
        cls,
        task: Task,
        *,
        entry_id: UUID,
        user_id: UUID,
        minutes: int,
        note: str | None,
        worked_on: date,
        now: datetime,
    ) -> TimeEntry:
        """Note that somebody worked on a task."""
        entry = cls(
            id=entry_id,
            created_at=now,
            updated_at=now,
            task_id=task.id,
            user_id=user_id,
            minutes=minutes,
            note=optional_text(note, "note"),
            worked_on=worked_on,
        )
        entry.record(
            TimeLogged(
                project_id=task.project_id,
                task_id=task.id,
                task_title=task.title,
                entry_id=entry_id,
                user_id=user_id,
                minutes=minutes,
            )
        )
        return entry


@dataclass(eq=False, kw_only=True)
class Expense(Aggregate):
    """Money that a project cost, in the project's currency."""

    project_id: UUID
    amount: Decimal
    currency: str
    note: str
    spent_on: date
    recorded_by: UUID

    @classmethod
    def record_for(
        cls,
        project: Project,
        *,
        expense_id: UUID,
        amount: Money,
        note: str,
        spent_on: date,
        recorded_by: UUID,
        now: datetime,
    ) -> Expense:
        """
        Note that a project cost money; raises as `Project.spend` does.

        More may be spent than the budget says: it is a plan, and what is gone is gone.
        """
        spent = project.spend(amount, now)
        expense = cls(
            id=expense_id,
            created_at=now,
            updated_at=now,
            project_id=project.id,
            amount=spent.amount,
            currency=spent.currency,
            note=human_text(note, "note"),
            spent_on=spent_on,
            recorded_by=recorded_by,
        )
        expense.record(
            ExpenseRecorded(
                project_id=project.id,
                expense_id=expense_id,
                amount=str(spent.amount),
                currency=spent.currency,
                recorded_by=recorded_by,
            )
        )
        return expense


@dataclass(eq=False, kw_only=True)
class Milestone(Aggregate):
    """A day by which something is to be reached."""

    project_id: UUID
    name: str
    due_date: date
    created_by: UUID

    @classmethod
    def set_in(
        cls,
        project_id: UUID,
        *,
        milestone_id: UUID,
        name: str,
        due_date: date,
        created_by: UUID,
        now: datetime,
    ) -> Milestone:
        """
        Set a milestone.

        Raises:
            InvalidInput: the name is empty.
        """
        milestone = cls(
            id=milestone_id,
            created_at=now,
            updated_at=now,
            project_id=project_id,
            name=human_name(name, "name"),
            due_date=due_date,
            created_by=created_by,
        )
        milestone.record(
            MilestoneAdded(
                project_id=project_id, milestone_id=milestone_id, name=milestone.name, due_date=due_date
            )
        )
        return milestone
