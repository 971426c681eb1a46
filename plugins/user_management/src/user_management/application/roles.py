"""Roles and what they allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from annotated_types import Len
from typing_extensions import TypedDict

from platform_core.domain import Command, body, new_id
from platform_core.ports import Clock, Permissions, Standings
from platform_core.security import EVERYTHING, Principal
from user_management.application.accounts import RoleName
from user_management.application.ports import RoleRepository
from user_management.contracts import RoleView
from user_management.domain import ADMIN, ADMIN_ID, MEMBER, MEMBER_ID, Role, check_reach

PermissionNames = Annotated[list[Annotated[str, Len(1, 100)]], Len(0, 500)]
Description = Annotated[str, Len(0, 500)]


@dataclass(frozen=True, kw_only=True)
class CreateRole(Command[RoleView]):
    """Name a set of permissions."""

    name: RoleName
    description: Description | None = None
    permissions: PermissionNames


async def create_role(
    command: CreateRole, roles: RoleRepository, permissions: Permissions, principal: Principal, clock: Clock
) -> RoleView:
    """It allows no more than its maker may do."""
    role = Role.create(
        role_id=new_id(),
        name=command.name,
        description=command.description,
        permissions=command.permissions,
        declared=_declared(permissions),
        now=clock.now(),
    )
    check_reach(principal.can, role.permissions)
    roles.add(role)
    return role_view(role)


@body
class RoleChanges(TypedDict, total=False):
    """What may be changed of a role; what is absent stays."""

    name: RoleName
    description: Description | None
    permissions: PermissionNames


@dataclass(frozen=True, kw_only=True)
class UpdateRole(Command[RoleView]):
    """Change a role for everybody who holds it."""

    role_id: UUID
    changes: RoleChanges


async def update_role(
    command: UpdateRole,
    roles: RoleRepository,
    permissions: Permissions,
    standings: Standings,
    principal: Principal,
    clock: Clock,
) -> RoleView:
    """It takes effect with the holders' next requests."""
    role, changes, now = await roles.get(command.role_id), command.changes, clock.now()
    if "name" in changes:
        role.rename(changes["name"], now)
    if "description" in changes:
        role.describe(changes["description"], now)
    if "permissions" in changes:
        before = set(role.permissions)
        role.permit(changes["permissions"], _declared(permissions), now)
        check_reach(principal.can, before.symmetric_difference(role.permissions))
        standings.revoke(everybody=True)
    return role_view(role)


@dataclass(frozen=True, kw_only=True)
class DeleteRole(Command[None]):
    """Take a role away from everybody, and out of the list."""

    role_id: UUID


async def delete_role(
    command: DeleteRole, roles: RoleRepository, standings: Standings, principal: Principal, clock: Clock
) -> None:
    """It takes effect with the former holders' next requests."""
    role = await roles.get(command.role_id)
    check_reach(principal.can, role.permissions)
    role.delete(clock.now())
    roles.take_from_everybody(role.id)
    standings.revoke(everybody=True)


@dataclass(frozen=True, kw_only=True)
class WithdrawPermissions(Command[None]):
    """Take permissions out of every role, because the module that declared them is gone for good."""

    permissions: PermissionNames


async def withdraw_permissions(
    command: WithdrawPermissions, roles: RoleRepository, standings: Standings, clock: Clock
) -> None:
    """A module that declares the same ones some day finds nobody who holds them already."""
    holding, now = await roles.find_by_permissions(command.permissions), clock.now()
    for role in holding:
        role.withdraw(command.permissions, now)
    if holding:
        standings.revoke(everybody=True)


@dataclass(frozen=True, kw_only=True)
class EnsureBuiltInRoles(Command[None]):
    """Make the two roles that the platform relies on, where they are missing."""


async def ensure_built_in_roles(command: EnsureBuiltInRoles, roles: RoleRepository, clock: Clock) -> None:
    """What an administrator changed about `member` stays."""
    existing, now = {role.id for role in await roles.find_by_ids((ADMIN_ID, MEMBER_ID))}, clock.now()
    if ADMIN_ID not in existing:
        description = "May do everything, in every module."
        roles.add(
            Role.built_in(
                role_id=ADMIN_ID, name=ADMIN, description=description, permissions=[EVERYTHING], now=now
            )
        )
    if MEMBER_ID not in existing:
        description = "What everybody with an account may do."
        roles.add(
            Role.built_in(role_id=MEMBER_ID, name=MEMBER, description=description, permissions=[], now=now)
        )


def role_view(role: Role) -> RoleView:
    """Show an aggregate as the reader of a query would."""
    return RoleView(
        id=role.id,
        name=role.name,
        description=role.description,
        permissions=list(role.permissions),
        created_at=role.created_at,
        updated_at=role.updated_at,
    )


def _declared(permissions: Permissions) -> set[str]:
    return {permission.name for permission in permissions.all()}
