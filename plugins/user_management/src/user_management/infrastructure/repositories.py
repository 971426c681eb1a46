"""Accounts and roles in PostgreSQL, and the text checks that need standards or tables of the world."""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection
from functools import cache
from typing import ClassVar, Final
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import Uuid, any_, bindparam, delete, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from platform_core.db import AggregateMap, Repository
from platform_core.errors import InvalidInput
from user_management.domain import ADMIN_ID, Role, RoleNotFound, User, UserNotFound
from user_management.infrastructure.tables import ROLES, USERS, roles, user_roles, users


class SqlUserRepository(Repository[User]):
    """Accounts that are not deleted."""

    mapping: ClassVar[AggregateMap[User]] = USERS
    missing = UserNotFound

    async def find_by_email(self, email: str) -> User | None:
        return await self.find(func.lower(users.c.email) == email.lower())

    async def count_other_administrators(self, user_id: UUID | None) -> int:
        await self.uow.begin()
        # a statement of its own: the count below must begin after whoever held the lock has committed
        await self.uow.fetch_one(
            select(roles.c.id).where(roles.c.id == ADMIN_ID).with_for_update(key_share=True)
        )
        row = await self.uow.fetch_one(
            select(func.count().label("count"))
            .select_from(users.join(user_roles))
            .where(
                user_roles.c.role_id == ADMIN_ID,
                users.c.id.is_distinct_from(user_id),
                users.c.is_active,
                users.c.deleted_at.is_(None),
                users.c.password_hash.is_not(None),
            )
        )
        return int(row["count"]) if row else 0


_ROLES_BY_IDS: Final = ROLES.select().where(
    roles.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))), roles.c.deleted_at.is_(None)
)

_NAMES_BY_IDS: Final = (
    select(roles.c.name)
    .where(roles.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))), roles.c.deleted_at.is_(None))
    .order_by(roles.c.name)
)


class SqlRoleRepository(Repository[Role]):
    """Roles that are not deleted."""

    mapping: ClassVar[AggregateMap[Role]] = ROLES
    missing = RoleNotFound

    async def get_by_name(self, name: str) -> Role:
        role = await self.find(roles.c.name == name)
        if role is None:
            raise RoleNotFound
        return role

    async def find_by_ids(self, identities: Collection[UUID]) -> list[Role]:
        if not identities:
            return []
        rows = await self.uow.fetch_all(_ROLES_BY_IDS, {"ids": list(identities)})
        return sorted((self._remember(row) for row in rows), key=lambda role: role.name)

    async def names_of(self, identities: Collection[UUID]) -> list[str]:
        if not identities:
            return []
        return [row["name"] for row in await self.uow.fetch_all(_NAMES_BY_IDS, {"ids": list(identities)})]

    async def find_by_names(self, names: Collection[str]) -> list[Role]:
        found = await self.find_all(roles.c.name.in_(names)) if names else []
        return sorted(found, key=lambda role: role.name)

    async def find_by_permissions(self, names: Collection[str]) -> list[Role]:
        if not names:
            return []
        return await self.find_all(or_(*(roles.c.permissions.contains([name]) for name in names)))

    def take_from_everybody(self, role_id: UUID) -> None:
        self.uow.write(delete(user_roles).where(user_roles.c.role_id == role_id))


class StandardFormats:
    """
    E-mail addresses as RFC 5321 spells them, time zones as IANA names them.

    Nobody is asked over the network whether a domain exists.
    """

    def email(self, text: str) -> str:
        problem = InvalidInput.of("email", "is no e-mail address", "invalid_email")
        local, _, domain = text.strip().rpartition("@")
        # Letters outside of ASCII before the @ need a mail server that can (SMTPUTF8), and invite look-alikes.
        # With a suffix, names such as corp.local count, which the library knows as reserved and a company may use.
        try:
            checked = validate_email(
                f"{local}@{domain}{_SUFFIX}", check_deliverability=False, allow_smtputf8=False, strict=True
            )
        except EmailNotValidError:
            raise problem from None
        email = checked.normalized.removesuffix(_SUFFIX)
        if "." not in domain or len(email) > _LONGEST_EMAIL:
            raise problem
        return email

    def timezone(self, text: str) -> str:
        if text not in _timezones():
            raise InvalidInput.of("timezone", "is no time zone such as Europe/Berlin", "invalid_timezone")
        return text


_SUFFIX = ".com"
_LONGEST_EMAIL = 254


@cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
