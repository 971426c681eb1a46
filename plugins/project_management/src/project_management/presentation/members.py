"""Routes below `/projects/{project_id}/members`."""

from __future__ import annotations

from uuid import UUID

from platform_core.domain import Page
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, PageParams, Router
from project_management.application.members import AddMember, ChangeRole, NewMember, NewRole, RemoveMember
from project_management.application.queries import GetMember, ListMembers
from project_management.contracts import MemberView
from project_management.domain import (
    AlreadyMember,
    LastOwner,
    MemberNotFound,
    OwnersOnly,
    ProjectNotFound,
    Right,
    RoleTooLow,
    UnknownUser,
)
from project_management.presentation.visibility import in_project

router = Router()


@router.get(
    "/projects/{project_id}/members",
    visible=in_project(Right.READ),
    raises=(ProjectNotFound,),
    summary="List who is in a project, the latest first",
)
async def list_members(project_id: UUID, page: PageParams, ask: Ask) -> Page[MemberView]:
    return await ask(ListMembers(project_id=project_id, page=page))


@router.post(
    "/projects/{project_id}/members",
    status_code=201,
    visible=in_project(Right.MANAGE_MEMBERS),
    raises=(ProjectNotFound, RoleTooLow, OwnersOnly, AlreadyMember, UnknownUser, InvalidInput),
    summary="Let somebody take part in a project",
)
async def add_member(project_id: UUID, member: NewMember, execute: Execute) -> MemberView:
    return await execute(AddMember(project_id=project_id, member=member))


@router.get(
    "/projects/{project_id}/members/{user_id}",
    raises=(MemberNotFound,),
    summary="Read what somebody may do in a project",
)
async def get_member(project_id: UUID, user_id: UUID, ask: Ask) -> MemberView:
    return await ask(GetMember(project_id=project_id, user_id=user_id))


@router.patch(
    "/projects/{project_id}/members/{user_id}",
    visible=in_project(Right.MANAGE_MEMBERS),
    raises=(ProjectNotFound, MemberNotFound, RoleTooLow, OwnersOnly, LastOwner, InvalidInput),
    summary="Let somebody in a project do more, or less",
)
async def change_role(project_id: UUID, user_id: UUID, new: NewRole, execute: Execute) -> MemberView:
    return await execute(ChangeRole(project_id=project_id, user_id=user_id, role=new.role))


@router.delete(
    "/projects/{project_id}/members/{user_id}",
    raises=(ProjectNotFound, MemberNotFound, RoleTooLow, OwnersOnly, LastOwner),
    summary="Let somebody, or yourself, out of a project",
)
async def remove_member(project_id: UUID, user_id: UUID, execute: Execute) -> None:
    await execute(RemoveMember(project_id=project_id, user_id=user_id))
