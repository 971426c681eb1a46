"""What somebody needs to begin with: the two roles, the first administrator, people to try things with."""

from __future__ import annotations

from typing import Final

from platform_core.declarations import Seed, Tier
from platform_core.ports import Execute
from platform_core.settings import KernelSettings
from user_management.application import CreateRole, EnsureBuiltInRoles, EnsureUser, MakeAdministrator
from user_management.domain import RoleNameTaken


async def make_roles(execute: Execute) -> None:
    await execute(EnsureBuiltInRoles())


async def make_first_administrator(execute: Execute, settings: KernelSettings) -> None:
    """Without an address and a password from the environment nobody is made: there is no built-in password."""
    if settings.admin_email and settings.admin_password:
        await execute(
            MakeAdministrator(
                email=settings.admin_email,
                username="admin",
                password=settings.admin_password.get_secret_value(),
                only_first=True,
            )
        )


_PEOPLE: Final = (
    ("anna@example.com", "anna", "Anna Abel", ()),
    ("ben@example.com", "ben", "Ben Brandt", ("support",)),
    ("clara@example.com", "clara", "Clara Costa", ("support", "role-keeper")),
    ("david@example.com", "david", "David Dietz", ()),
)


async def make_people(execute: Execute, settings: KernelSettings) -> None:
    """They share the administrator's password, so that this file holds none; without it they cannot log in."""
    await _make_role(execute, "support", "Sees and helps every account.", ["users:read", "users:write"])
    await _make_role(
        execute, "role-keeper", "Decides who may do what.", ["roles:read", "roles:write", "users:read"]
    )
    password = settings.admin_password.get_secret_value() if settings.admin_password else None
    for email, username, full_name, roles in _PEOPLE:
        await execute(
            EnsureUser(email=email, username=username, full_name=full_name, password=password, roles=roles)
        )


async def make_crowd(execute: Execute) -> None:
    """Enough accounts for a second page; they cannot log in."""
    for number in range(1, 31):
        await execute(
            EnsureUser(
                email=f"member-{number:02}@example.com",
                username=f"member-{number:02}",
                full_name=f"Member {number}",
            )
        )


async def _make_role(execute: Execute, name: str, description: str, permissions: list[str]) -> None:
    try:
        await execute(CreateRole(name=name, description=description, permissions=permissions))
    except RoleNameTaken:
        return


SEEDS: Final = (
    Seed(name="roles", tier=Tier.ESSENTIAL, run=make_roles),
    Seed(name="first_administrator", tier=Tier.ESSENTIAL, run=make_first_administrator),
    Seed(name="people", tier=Tier.DEVELOPMENT, run=make_people),
    Seed(name="crowd", tier=Tier.TEST, run=make_crowd),
)
