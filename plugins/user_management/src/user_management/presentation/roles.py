"""Routes below `/roles` and `/permissions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from platform_core.domain import Page
from platform_core.http import Ask, Execute, PageParams, Router
from platform_core.ports import PermissionInfo
from user_management.application import (
    CreateRole,
    DeleteRole,
    GetRole,
    ListPermissions,
    ListRoles,
    RoleChanges,
    UpdateRole,
)
from user_management.contracts import RoleView
from user_management.domain import BuiltInRole, PermissionsNotHeld, RoleNameTaken, RoleNotFound

router = Router()


def _is_there(path: Mapping[str, Any]) -> GetRole:
    return GetRole(role_id=path["role_id"])


@router.get("/roles", permission="roles:read", summary="List roles, newest first")
async def list_roles(ask: Ask, page: PageParams) -> Page[RoleView]:
    return await ask(ListRoles(page=page))


@router.post(
    "/roles",
    status_code=201,
    permission="roles:write",
    raises=(RoleNameTaken, PermissionsNotHeld),
    summary="Name a set of permissions",
)
async def create_role(command: CreateRole, execute: Execute) -> RoleView:
    return await execute(command)


@router.get("/roles/{role_id}", permission="roles:read", raises=(RoleNotFound,), summary="Read a role")
async def get_role(role_id: UUID, ask: Ask) -> RoleView:
    return await ask(GetRole(role_id=role_id))


@router.patch(
    "/roles/{role_id}",
    permission="roles:write",
    visible=_is_there,
    raises=(RoleNotFound, RoleNameTaken, BuiltInRole, PermissionsNotHeld),
    summary="Change a role, with effect from its holders' next requests on",
)
async def update_role(role_id: UUID, changes: RoleChanges, execute: Execute) -> RoleView:
    return await execute(UpdateRole(role_id=role_id, changes=changes))


@router.delete(
    "/roles/{role_id}",
    permission="roles:write",
    raises=(RoleNotFound, BuiltInRole, PermissionsNotHeld),
    summary="Delete a role and take it from everybody",
)
async def delete_role(role_id: UUID, execute: Execute) -> None:
    await execute(DeleteRole(role_id=role_id))


@router.get("/permissions", summary="List every permission that the installed modules declare")
async def list_permissions(page: PageParams, ask: Ask) -> Page[PermissionInfo]:
    return await ask(ListPermissions(page=page))
