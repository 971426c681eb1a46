"""Roles and what they allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from annotated_types import Len
from typing_extensions import TypedDict

from platform_core.domain import Command, new_id
from platform_core.errors import Forbidden
from platform_core.ports import Clock, Permissions, Standings
from platform_core.security import EVERYTHING, Principal
from user_management.application.accounts import RoleName, own_id
from user_management.application.ports import RoleRepository, UserRepository
from user_management.contracts import RoleView
from user_management.domain import ADMIN, ADMIN_ID, MEMBER, MEMBER_ID, Role

PermissionNames = Annotated[list[Annotated[str, Len(1, 100)]], Len(0, 500)]
Description = Annotated[str, Len(0, 500)]


@dataclass(frozen=True, kw_only=True)
class CreateRole(Command[RoleView]):
    """Name a set of permissions."""

    name: RoleName
    description: Description | None = None
    permissions: PermissionNames


async def create_role(
    command: CreateRole, roles: RoleRepository, permissions: Permissions, clock: Clock
) -> RoleView:
    role = Role.create(
        role_id=new_id(),
        name=command.name,
        description=command.description,
        permissions=command.permissions,
        declared=_declared(permissions),
        now=clock.now(),
    )
    roles.add(role)
    return role_view(role)


class RoleChanges(TypedDict, total=False):
    """What may be changed of a role; what is absent stays."""

    __pydantic_config__ = {"extra": "forbid"}  # type: ignore[misc]  # noqa: RUF012  # pydantic's own way to configure a TypedDict

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
    users: UserRepository,
    permissions: Permissions,
    standings: Standings,
    principal: Principal,
    clock: Clock,
) -> RoleView:
    """It takes effect with the holders' next requests."""
    if "permissions" in command.changes:
        await roles.hold(command.role_id)  # nobody becomes a holder while it is asked who holds it
    role, changes, now = await roles.get(command.role_id), command.changes, clock.now()
    if "name" in changes:
        role.rename(changes["name"], now)
    if "description" in changes:
        role.describe(changes["description"], now)
    if "permissions" in changes:
        added = set(changes["permissions"]) - set(role.permissions)
        role.permit(changes["permissions"], _declared(permissions), now)
        if not all(map(principal.can, added)) and role.id in (await users.get(own_id(principal))).role_ids:
            raise Forbidden("You cannot give yourself permissions that you do not have.")
        standings.revoke(everybody=True)
    return role_view(role)


@dataclass(frozen=True, kw_only=True)
class DeleteRole(Command[None]):
    """Take a role away from everybody, and out of the list."""

    role_id: UUID


async def delete_role(command: DeleteRole, roles: RoleRepository, standings: Standings, clock: Clock) -> None:
    role = await roles.get(command.role_id)
    role.delete(clock.now())
    roles.take_from_everybody(role.id)
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
