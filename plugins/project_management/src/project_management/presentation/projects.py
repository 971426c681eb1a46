"""Routes of projects themselves, and of what happened in them."""

from __future__ import annotations

from uuid import UUID

from platform_core.domain import Page
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, PageParams, Router
from project_management.application.projects import (
    CreateProject,
    DeleteProject,
    ProjectChanges,
    UpdateProject,
)
from project_management.application.queries import GetProject, GetTimeline, ListActivity, ListProjects
from project_management.contracts import ActivityView, ProjectView, TimelineEntryView
from project_management.domain import ProjectNotFound, Right, RoleTooLow
from project_management.presentation.visibility import in_project

router = Router()


@router.post("/projects", status_code=201, raises=(InvalidInput,), summary="Begin a project")
async def create_project(command: CreateProject, execute: Execute) -> ProjectView:
    return await execute(command)


@router.get("/projects", summary="List the projects you are in, newest first")
async def list_projects(page: PageParams, ask: Ask) -> Page[ProjectView]:
    return await ask(ListProjects(page=page))


@router.get("/projects/{project_id}", raises=(ProjectNotFound,), summary="Read a project")
async def get_project(project_id: UUID, ask: Ask) -> ProjectView:
    return await ask(GetProject(project_id=project_id))


@router.patch(
    "/projects/{project_id}",
    visible=in_project(Right.OWN),
    raises=(ProjectNotFound, RoleTooLow, InvalidInput),
    summary="Describe a project anew, or say how it stands; for owners",
)
async def update_project(project_id: UUID, changes: ProjectChanges, execute: Execute) -> ProjectView:
    return await execute(UpdateProject(project_id=project_id, changes=changes))


@router.delete(
    "/projects/{project_id}",
    raises=(ProjectNotFound, RoleTooLow),
    summary="Delete a project with everything in it; for owners",
)
async def delete_project(project_id: UUID, execute: Execute) -> None:
    await execute(DeleteProject(project_id=project_id))


@router.get(
    "/projects/{project_id}/timeline",
    visible=in_project(Right.READ),
    raises=(ProjectNotFound,),
    summary="List tasks and milestones over time, the earliest first",
)
async def get_timeline(project_id: UUID, page: PageParams, ask: Ask) -> Page[TimelineEntryView]:
    return await ask(GetTimeline(project_id=project_id, page=page))


@router.get(
    "/projects/{project_id}/activity",
    visible=in_project(Right.READ),
    raises=(ProjectNotFound,),
    summary="List what happened in a project, newest first",
)
async def list_activity(project_id: UUID, page: PageParams, ask: Ask) -> Page[ActivityView]:
    return await ask(ListActivity(project_id=project_id, page=page))
