"""The read side: one statement per question, rows straight to views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Text, Uuid, any_, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from platform_core.db import Cursors, Reads
from platform_core.domain import Page
from platform_core.ports import Clock, PermissionInfo, Permissions
from user_management.application import (
    GetKeySet,
    GetProfile,
    GetRole,
    GetUser,
    ListPermissions,
    ListRoles,
    ListSessions,
    ListUsers,
)
from user_management.application.sessions import lifetime
from user_management.contracts import RoleView, SessionView, UserProfileView, UserView
from user_management.domain import RoleNotFound, UserNotFound
from user_management.infrastructure.logins import goes_on
from user_management.infrastructure.tables import roles, user_roles, user_sessions, users
from user_management.infrastructure.tokens import KeySet
from user_management.settings import UserManagementSettings

_ROLE_NAMES: Final = (
    select(func.array_agg(aggregate_order_by(roles.c.name, roles.c.name)))
    .select_from(user_roles.join(roles))
    .where(user_roles.c.user_id == users.c.id, roles.c.deleted_at.is_(None))
    .scalar_subquery()
    .label("roles")
)
_USER: Final = (
    users.c.id,
    users.c.email,
    users.c.username,
    users.c.full_name,
    users.c.is_active,
    users.c.email_verified,
    _ROLE_NAMES,
    users.c.last_login_at,
    users.c.created_at,
    users.c.updated_at,
)
_PROFILE: Final = (*_USER, users.c.locale, users.c.timezone, users.c.phone_number, users.c.avatar_url)
_ROLE: Final = (
    roles.c.id,
    roles.c.name,
    roles.c.description,
    roles.c.permissions,
    roles.c.created_at,
    roles.c.updated_at,
)


# made once: putting a statement together takes longer than PostgreSQL needs for the answer
_USERS: Final = select(*_USER).where(users.c.deleted_at.is_(None))
_USER_BY_ID: Final = _USERS.where(users.c.id == bindparam("id"))
_USERS_BY_IDS: Final = _USERS.where(users.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))))
_USERS_BY_NAMES: Final = _USERS.where(
    func.lower(users.c.username) == any_(bindparam("names", type_=ARRAY(Text)))
)
_PROFILES: Final = select(*_PROFILE).where(users.c.deleted_at.is_(None))
_PROFILE_BY_ID: Final = _PROFILES.where(users.c.id == bindparam("id"))
_PROFILES_BY_IDS: Final = _PROFILES.where(users.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))))
_ROLES: Final = select(*_ROLE).where(roles.c.deleted_at.is_(None))
_ROLE_BY_ID: Final = _ROLES.where(roles.c.id == bindparam("id"))


async def get_user(query: GetUser, reads: Reads) -> UserView:
    row = await reads.one(_USER_BY_ID, {"id": query.user_id})
    if row is None:
        raise UserNotFound
    return _user(row)


async def get_profile(query: GetProfile, reads: Reads) -> UserProfileView:
    row = await reads.one(_PROFILE_BY_ID, {"id": query.user_id})
    if row is None:
        raise UserNotFound
    return _profile(row)


async def list_users(query: ListUsers, reads: Reads) -> Page[UserView]:
    statement = _USERS
    if query.q:
        columns = (users.c.email, users.c.username, users.c.full_name)
        statement = statement.where(or_(*(column.icontains(query.q, autoescape=True) for column in columns)))
    return await reads.page(statement, query.page, _user, order=(users.c.id,))


async def list_sessions(
    query: ListSessions, reads: Reads, settings: UserManagementSettings, clock: Clock
) -> Page[SessionView]:
    statement = select(
        user_sessions.c.id,
        user_sessions.c.created_at,
        user_sessions.c.last_seen_at,
        user_sessions.c.ip,
        user_sessions.c.user_agent,
    ).where(user_sessions.c.user_id == query.user_id, goes_on(lifetime(settings), clock.now()))

    def view(row: Mapping[str, Any]) -> SessionView:
        return SessionView(**row, current=row["id"] == query.current_id)

    return await reads.page(statement, query.page, view, order=(user_sessions.c.id,))


async def get_role(query: GetRole, reads: Reads) -> RoleView:
    row = await reads.one(_ROLE_BY_ID, {"id": query.role_id})
    if row is None:
        raise RoleNotFound
    return RoleView(**row)


async def list_roles(query: ListRoles, reads: Reads) -> Page[RoleView]:
    return await reads.page(_ROLES, query.page, lambda row: RoleView(**row), order=(roles.c.id,))


async def list_permissions(
    query: ListPermissions, permissions: Permissions, cursors: Cursors
) -> Page[PermissionInfo]:
    return cursors.page_of("permissions", permissions.all(), query.page, lambda permission: permission.name)


async def get_key_set(query: GetKeySet, keys: KeySet) -> Mapping[str, Any]:
    return keys.jwks()


class SqlUserDirectory:
    """`UserDirectory`: what other modules may know of accounts."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def get(self, user_id: UUID) -> UserView | None:
        row = await self._reads.one(_USER_BY_ID, {"id": user_id})
        return None if row is None else _user(row)

    async def get_profile(self, user_id: UUID) -> UserProfileView | None:
        row = await self._reads.one(_PROFILE_BY_ID, {"id": user_id})
        return None if row is None else _profile(row)

    async def get_many(self, user_ids: Iterable[UUID]) -> Mapping[UUID, UserView]:
        wanted = list(user_ids)
        rows = await self._reads.all(_USERS_BY_IDS, {"ids": wanted}) if wanted else []
        return {row["id"]: _user(row) for row in rows}

    async def get_profiles(self, user_ids: Iterable[UUID]) -> Mapping[UUID, UserProfileView]:
        wanted = list(user_ids)
        rows = await self._reads.all(_PROFILES_BY_IDS, {"ids": wanted}) if wanted else []
        return {row["id"]: _profile(row) for row in rows}

    async def find_by_usernames(self, usernames: Iterable[str]) -> Mapping[str, UserView]:
        wanted = [name.lower() for name in usernames]
        if not wanted:
            return {}
        rows = await self._reads.all(_USERS_BY_NAMES, {"names": wanted})
        return {row["username"].lower(): _user(row) for row in rows}


def _user(row: Mapping[str, Any]) -> UserView:
    return UserView(**{**row, "roles": row["roles"] or []})


def _profile(row: Mapping[str, Any]) -> UserProfileView:
    return UserProfileView(**{**row, "roles": row["roles"] or []})
