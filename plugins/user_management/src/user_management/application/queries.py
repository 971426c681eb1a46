"""What can be asked; the readers are in `infrastructure`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from platform_core.domain import Page, PageRequest, Query
from platform_core.ports import PermissionInfo
from user_management.contracts import RoleView, SessionView, UserProfileView, UserView


@dataclass(frozen=True, kw_only=True)
class GetUser(Query[UserView]):
    """One account, for those who may see every account."""

    user_id: UUID


@dataclass(frozen=True, kw_only=True)
class GetProfile(Query[UserProfileView]):
    """One account with its profile, for its owner."""

    user_id: UUID


@dataclass(frozen=True, kw_only=True)
class ListUsers(Query[Page[UserView]]):
    """
    Accounts, newest first.

    Attributes:
        q: part of the e-mail address, username or full name, whatever the case.
    """

    q: str | None = None
    page: PageRequest = field(default_factory=PageRequest)


@dataclass(frozen=True, kw_only=True)
class ListSessions(Query[Page[SessionView]]):
    """
    Sessions of one user that still work, newest first.

    Attributes:
        current_id: the session that asks.
    """

    user_id: UUID
    current_id: UUID | None
    page: PageRequest = field(default_factory=PageRequest)


@dataclass(frozen=True, kw_only=True)
class GetRole(Query[RoleView]):
    """One role."""

    role_id: UUID


@dataclass(frozen=True, kw_only=True)
class ListRoles(Query[Page[RoleView]]):
    """Roles, newest first."""

    page: PageRequest = field(default_factory=PageRequest)


@dataclass(frozen=True, kw_only=True)
class ListPermissions(Query[Page[PermissionInfo]]):
    """Every permission that the installed modules declare, by name."""

    page: PageRequest = field(default_factory=PageRequest)


@dataclass(frozen=True, kw_only=True)
class GetKeySet(Query[Mapping[str, Any]]):
    """The public keys that verify access tokens, as a JSON Web Key Set."""
