"""Roles: named sets of permissions, and the two that the platform brings."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from platform_core.domain import Aggregate
from platform_core.errors import FieldError, InvalidInput
from platform_core.texts import optional_text
from user_management.domain.errors import BuiltInRole

ADMIN: Final = "admin"
MEMBER: Final = "member"
ADMIN_ID: Final = UUID("01900000-0000-7000-8000-00000000ad01")
MEMBER_ID: Final = UUID("01900000-0000-7000-8000-00000000ad02")
"""The same in every installation, so that a registration need not look its role up."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(eq=False, kw_only=True)
class Role(Aggregate):
    """
    A named set of permissions.

    Attributes:
        name: lower-case letters, digits, dots, dashes and underscores; part of URLs.
        permissions: names that installed modules declare; `*`, everything, is `admin`'s alone.
    """

    name: str
    description: str | None = None
    permissions: list[str] = field(default_factory=list)

    @classmethod
    def create(
        cls,
        *,
        role_id: UUID,
        name: str,
        description: str | None,
        permissions: Iterable[str],
        declared: Collection[str],
        now: datetime,
    ) -> Role:
        """
        Make a role.

        Args:
            declared: every permission that exists.

        Raises:
            InvalidInput: a name with other signs, or a permission that nobody declares.
        """
        return cls(
            id=role_id,
            created_at=now,
            updated_at=now,
            name=_check_name(name),
            description=optional_text(description, "description"),
            permissions=_check_permissions(permissions, declared),
        )

    @classmethod
    def built_in(
        cls, *, role_id: UUID, name: str, description: str, permissions: list[str], now: datetime
    ) -> Role:
        """Make one of the roles that the platform brings."""
        return cls(
            id=role_id,
            created_at=now,
            updated_at=now,
            name=name,
            description=description,
            permissions=permissions,
        )

    @property
    def is_built_in(self) -> bool:
        return self.id in (ADMIN_ID, MEMBER_ID)

    def rename(self, name: str, now: datetime) -> None:
        """
        Give another name.

        Raises:
            BuiltInRole: the platform knows this one by its name.
        """
        if name == self.name:
            return
        if self.is_built_in:
            raise BuiltInRole
        self.name = _check_name(name)
        self.touch(now)

    def describe(self, description: str | None, now: datetime) -> None:
        """Explain the role in other words; `admin` stays as it is."""
        self._refuse_admin()
        self.description = optional_text(description, "description")
        self.touch(now)

    def permit(self, permissions: Iterable[str], declared: Collection[str], now: datetime) -> None:
        """
        Replace what the role allows.

        Args:
            declared: every permission that exists. What the role has already may stay though its module is gone.

        Raises:
            BuiltInRole: `admin` stays as it is.
            InvalidInput: a permission that nobody declares.
        """
        self._refuse_admin()
        self.permissions = _check_permissions(permissions, {*declared, *self.permissions})
        self.touch(now)

    def withdraw(self, permissions: Iterable[str], now: datetime) -> None:
        """Allow no longer what nobody declares any more."""
        gone = set(permissions)
        self.permissions = [name for name in self.permissions if name not in gone]
        self.touch(now)

    def delete(self, now: datetime) -> None:
        """
        Take the role away from everybody.

        Raises:
            BuiltInRole: the platform relies on this one.
        """
        if self.is_built_in:
            raise BuiltInRole
        super().delete(now)

    def _refuse_admin(self) -> None:
        if self.id == ADMIN_ID:
            raise BuiltInRole


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        message = "takes 1 to 64 lower-case letters, digits, dots, dashes and underscores"
        raise InvalidInput.of("name", message, "invalid_role_name")
    return name


def _check_permissions(permissions: Iterable[str], declared: Collection[str]) -> list[str]:
    wanted = list(permissions)
    errors = [
        FieldError(f"/body/permissions/{index}", "no installed module declares it", "unknown_permission")
        for index, name in enumerate(wanted)
        if name not in declared
    ]
    if errors:
        raise InvalidInput("A permission is unknown.", fields=errors)
    return sorted(set(wanted))
