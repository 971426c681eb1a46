"""What a project costs, and by when something is to be reached."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from annotated_types import Len

from platform_core.domain import Command, Money, body, new_id
from platform_core.money import exact
from platform_core.ports import Clock
from project_management.application.access import Access
from project_management.application.ports import ExpenseRepository, MilestoneRepository
from project_management.contracts import ExpenseView, MilestoneView, ProjectId
from project_management.domain import Expense, Milestone, Right


@body
@dataclass(frozen=True, kw_only=True)
class Spent:
    """What was paid, for what, and when."""

    amount: Money
    note: Annotated[str, Len(1, 2000)]
    spent_on: date


@dataclass(frozen=True, kw_only=True)
class RecordExpense(Command[ExpenseView]):
    """Note that a project cost money."""

    project_id: ProjectId
    spent: Spent


async def record_expense(
    command: RecordExpense, access: Access, expenses: ExpenseRepository, clock: Clock
) -> ExpenseView:
    """The first of two first expenses in different currencies decides; the project's version tells which is first."""
    project, spent = (await access.project(command.project_id, Right.OWN)).project, command.spent
    expense = Expense.record_for(
        project,
        expense_id=new_id(),
        amount=spent.amount,
        note=spent.note,
        spent_on=spent.spent_on,
        recorded_by=access.user_id,
        now=clock.now(),
    )
    expenses.add(expense)
    return ExpenseView(
        id=expense.id,
        project_id=expense.project_id,
        amount=exact(expense.amount, expense.currency),
        note=expense.note,
        spent_on=expense.spent_on,
        recorded_by=expense.recorded_by,
        created_at=expense.created_at,
    )


@body
@dataclass(frozen=True, kw_only=True)
class Goal:
    """What is to be reached, and by when."""

    name: Annotated[str, Len(1, 200)]
    due_date: date


@dataclass(frozen=True, kw_only=True)
class SetMilestone(Command[MilestoneView]):
    """Set a milestone in a project."""

    project_id: ProjectId
    goal: Goal


async def set_milestone(
    command: SetMilestone, access: Access, milestones: MilestoneRepository, clock: Clock
) -> MilestoneView:
    project = (await access.project(command.project_id, Right.PLAN)).project
    milestone = Milestone.set_in(
        project.id,
        milestone_id=new_id(),
        name=command.goal.name,
        due_date=command.goal.due_date,
        created_by=access.user_id,
        now=clock.now(),
    )
    milestones.add(milestone)
    return MilestoneView(
        id=milestone.id,
        project_id=milestone.project_id,
        name=milestone.name,
        due_date=milestone.due_date,
        created_at=milestone.created_at,
        updated_at=milestone.updated_at,
    )
