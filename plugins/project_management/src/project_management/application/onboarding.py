"""A project for everybody who registers: a step of `user_management`'s onboarding."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from platform_core.domain import Command
from platform_core.ports import Clock, SagaRun
from project_management.application.ports import MemberRepository, ProjectRepository
from project_management.contracts import ProjectId
from project_management.domain import OWNER, Membership, Project
from project_management.settings import ProjectManagementSettings
from user_management import Prepared, UserDirectory


@dataclass(frozen=True, kw_only=True)
class PrepareProject(Command[Prepared | None]):
    """Begin the first project of somebody who is new."""

    project_id: ProjectId
    owner_id: UUID


async def prepare_project(
    command: PrepareProject,
    projects: ProjectRepository,
    members: MemberRepository,
    users: UserDirectory,
    settings: ProjectManagementSettings,
    clock: Clock,
) -> Prepared | None:
    """One of that name counts as theirs; nothing is made for whoever has gone, or where a deployer wants none."""
    name, owner_id, now = settings.first_project, command.owner_id, clock.now()
    if not settings.onboarding or await users.get(owner_id) is None:
        return None
    if await projects.find_named(owner_id, name) is None:
        project = Project.create(
            project_id=command.project_id,
            owner_id=owner_id,
            name=name,
            description=None,
            budget=None,
            start_date=None,
            end_date=None,
            now=now,
        )
        projects.add(project)
        members.add(Membership(project_id=project.id, user_id=owner_id, role=OWNER, joined_at=now))
    return Prepared(name=name)


def first_project(run: SagaRun) -> PrepareProject:
    return PrepareProject(project_id=run.id, owner_id=UUID(run.data["user_id"]))
