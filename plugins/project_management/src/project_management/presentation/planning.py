"""Routes of expenses and milestones."""

from __future__ import annotations

from uuid import UUID

from platform_core.domain import Page
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, PageParams, Router
from project_management.application.planning import Goal, RecordExpense, SetMilestone, Spent
from project_management.application.queries import ListExpenses, ListMilestones
from project_management.contracts import ExpenseView, MilestoneView
from project_management.domain import CurrencyMismatch, ProjectNotFound, Right, RoleTooLow
from project_management.presentation.visibility import in_project

router = Router()


@router.post(
    "/projects/{project_id}/expenses",
    status_code=201,
    visible=in_project(Right.OWN),
    raises=(ProjectNotFound, RoleTooLow, CurrencyMismatch, InvalidInput),
    summary="Note that a project cost money; for owners",
)
async def record_expense(project_id: UUID, spent: Spent, execute: Execute) -> ExpenseView:
    return await execute(RecordExpense(project_id=project_id, spent=spent))


@router.get(
    "/projects/{project_id}/expenses",
    visible=in_project(Right.READ),
    raises=(ProjectNotFound,),
    summary="List what a project cost, newest first",
)
async def list_expenses(project_id: UUID, page: PageParams, ask: Ask) -> Page[ExpenseView]:
    return await ask(ListExpenses(project_id=project_id, page=page))


@router.post(
    "/projects/{project_id}/milestones",
    status_code=201,
    visible=in_project(Right.PLAN),
    raises=(ProjectNotFound, RoleTooLow, InvalidInput),
    summary="Set a milestone; for managers and owners",
)
async def set_milestone(project_id: UUID, goal: Goal, execute: Execute) -> MilestoneView:
    return await execute(SetMilestone(project_id=project_id, goal=goal))


@router.get(
    "/projects/{project_id}/milestones",
    visible=in_project(Right.READ),
    raises=(ProjectNotFound,),
    summary="List the milestones of a project, the earliest day first",
)
async def list_milestones(project_id: UUID, page: PageParams, ask: Ask) -> Page[MilestoneView]:
    return await ask(ListMilestones(project_id=project_id, page=page))
