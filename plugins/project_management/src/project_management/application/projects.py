"""Beginning, describing, closing and deleting projects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from annotated_types import Len
from typing_extensions import TypedDict

from platform_core.domain import Command, Money, body, new_id
from platform_core.money import exact
from platform_core.ports import Clock
from platform_core.security import Principal
from project_management.application.access import Access
from project_management.application.ports import Figures, MemberRepository, ProjectRepository
from project_management.contracts import ProjectId, ProjectStatus, ProjectView
from project_management.domain import OWNER, Membership, Project, Right

Name = Annotated[str, Len(1, 200)]
Text = Annotated[str, Len(0, 20_000)]


@dataclass(frozen=True, kw_only=True)
class CreateProject(Command[ProjectView]):
    """Begin a project; whoever does is its owner."""

    name: Name
    description: Text | None = None
    budget: Money | None = None
    start_date: date | None = None
    end_date: date | None = None


async def create_project(
    command: CreateProject,
    projects: ProjectRepository,
    members: MemberRepository,
    principal: Principal,
    clock: Clock,
) -> ProjectView:
    """Nothing is read: whatever could be wrong is in the command itself."""
    owner_id, now = principal.require_user(), clock.now()
    project = Project.create(
        project_id=new_id(),
        owner_id=owner_id,
        name=command.name,
        description=command.description,
        budget=command.budget,
        start_date=command.start_date,
        end_date=command.end_date,
        now=now,
    )
    projects.add(project)
    members.add(Membership(project_id=project.id, user_id=owner_id, role=OWNER, joined_at=now))
    return view(project, Figures())


@body
class ProjectChanges(TypedDict, total=False):
    """What may be changed; what is absent stays, and null takes away."""

    name: Name
    description: Text | None
    status: ProjectStatus
    budget: Money | None
    start_date: date | None
    end_date: date | None


@dataclass(frozen=True, kw_only=True)
class UpdateProject(Command[ProjectView]):
    """Describe a project anew, or say how it stands."""

    project_id: ProjectId
    changes: ProjectChanges


async def update_project(
    command: UpdateProject, access: Access, projects: ProjectRepository, clock: Clock
) -> ProjectView:
    project, now = (await access.project(command.project_id, Right.OWN)).project, clock.now()
    changes = command.changes
    if "status" in changes:
        project.change_status(changes["status"], now)
    project.describe(
        name=changes.get("name", project.name),
        description=changes.get("description", project.description),
        budget=changes.get("budget", project.budget),
        start_date=changes.get("start_date", project.start_date),
        end_date=changes.get("end_date", project.end_date),
        now=now,
    )
    return view(project, await projects.figures(project.id))


@dataclass(frozen=True, kw_only=True)
class DeleteProject(Command[None]):
    """Delete a project with everything in it."""

    project_id: ProjectId


async def delete_project(command: DeleteProject, access: Access, clock: Clock) -> None:
    """What is in it goes with it: nobody finds a way to a task but through its project."""
    opened = await access.project(command.project_id, Right.OWN)
    opened.project.delete(clock.now())


def view(project: Project, figures: Figures) -> ProjectView:
    """Show a project."""
    return ProjectView(
        id=project.id,
        name=project.name,
        description=project.description,
        status=project.status,
        owner_id=project.owner_id,
        budget=project.budget,
        budget_spent=exact(figures.spent, project.currency) if project.currency else None,
        progress=figures.progress,
        start_date=project.start_date,
        end_date=project.end_date,
        created_at=project.created_at,
        updated_at=project.updated_at,
    )
