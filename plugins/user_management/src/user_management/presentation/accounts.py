"""Routes below `/users`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query

from platform_core.domain import Page
from platform_core.errors import RateLimited
from platform_core.http import Ask, Caller, Execute, PageParams, Router
from user_management.application import (
    AssignRole,
    ChangePassword,
    DeleteUser,
    GetProfile,
    GetUser,
    InviteUser,
    ListUsers,
    ProfileChanges,
    RegisterUser,
    RevokeRole,
    UpdateMe,
    UpdateUser,
    UserChanges,
)
from user_management.contracts import UserProfileView, UserView
from user_management.domain import (
    EmailTaken,
    LastAdministrator,
    PermissionsNotHeld,
    RoleNotFound,
    TooManyFailedLogins,
    UsernameTaken,
    UserNotFound,
)

router = Router()


def _is_there(path: Mapping[str, Any]) -> GetUser:
    return GetUser(user_id=path["user_id"])


@router.post(
    "/users/register",
    status_code=201,
    public=True,
    limit="signup",
    raises=(EmailTaken, UsernameTaken, RateLimited),
    summary="Register",
)
async def register(command: RegisterUser, execute: Execute) -> UserView:
    return await execute(command)


@router.get("/users/me", summary="Read one's own account and profile")
async def get_me(ask: Ask, caller: Caller) -> UserProfileView:
    return await ask(GetProfile(user_id=caller.require_user()))


@router.patch("/users/me", raises=(UsernameTaken,), summary="Change one's own names and profile")
async def update_me(changes: ProfileChanges, execute: Execute) -> UserProfileView:
    return await execute(UpdateMe(changes=changes))


@router.post(
    "/users/me/password",
    status_code=204,
    secret=True,
    raises=(TooManyFailedLogins,),
    summary="Change one's own password; other sessions end",
)
async def change_password(command: ChangePassword, execute: Execute) -> None:
    await execute(command)


@router.get("/users", permission="users:read", summary="List or search accounts, newest first")
async def list_users(
    ask: Ask,
    page: PageParams,
    q: Annotated[
        str | None, Query(max_length=200, description="Part of the e-mail address, username or full name.")
    ] = None,
) -> Page[UserView]:
    return await ask(ListUsers(q=q, page=page))


@router.post(
    "/users",
    status_code=201,
    permission="users:write",
    raises=(EmailTaken, UsernameTaken, PermissionsNotHeld),
    summary="Invite somebody, who gets a mail to set a password",
)
async def invite(command: InviteUser, execute: Execute) -> UserView:
    return await execute(command)


@router.get("/users/{user_id}", permission="users:read", raises=(UserNotFound,), summary="Read an account")
async def get_user(user_id: UUID, ask: Ask) -> UserView:
    return await ask(GetUser(user_id=user_id))


@router.patch(
    "/users/{user_id}",
    permission="users:write",
    visible=_is_there,
    raises=(UserNotFound, UsernameTaken, PermissionsNotHeld, LastAdministrator),
    summary="Change somebody's names, or whether they may log in",
)
async def update_user(user_id: UUID, changes: UserChanges, execute: Execute) -> UserView:
    return await execute(UpdateUser(user_id=user_id, changes=changes))


@router.delete(
    "/users/{user_id}",
    permission="users:write",
    raises=(UserNotFound, PermissionsNotHeld, LastAdministrator),
    summary="Delete an account; its sessions end",
)
async def delete_user(user_id: UUID, execute: Execute) -> None:
    await execute(DeleteUser(user_id=user_id))


@router.put(
    "/users/{user_id}/roles/{role_name}",
    status_code=204,
    permission="roles:write",
    raises=(UserNotFound, RoleNotFound, PermissionsNotHeld),
    summary="Give somebody a role, with effect from their next request on",
)
async def assign_role(user_id: UUID, role_name: str, execute: Execute) -> None:
    await execute(AssignRole(user_id=user_id, role_name=role_name))


@router.delete(
    "/users/{user_id}/roles/{role_name}",
    permission="roles:write",
    raises=(UserNotFound, RoleNotFound, PermissionsNotHeld, LastAdministrator),
    summary="Take a role from somebody, with effect from their next request on",
)
async def revoke_role(user_id: UUID, role_name: str, execute: Execute) -> None:
    await execute(RevokeRole(user_id=user_id, role_name=role_name))
