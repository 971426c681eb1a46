"""Making, changing and deleting accounts, and giving them roles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from annotated_types import Len
from typing_extensions import TypedDict

from platform_core.domain import Command, body, new_id
from platform_core.errors import FieldError, InvalidInput
from platform_core.ports import Clock, Sagas, Standings
from platform_core.security import Principal
from user_management.application.ports import (
    Formats,
    MailedLinks,
    PasswordHasher,
    RoleRepository,
    Sessions,
    UserRepository,
)
from user_management.contracts import UserProfileView, UserView
from user_management.domain import (
    ADMIN_ID,
    MEMBER,
    LastAdministrator,
    PasswordPolicy,
    Role,
    User,
    check_reach,
    permissions_of,
)
from user_management.settings import UserManagementSettings

VERIFICATION: Final = "verification"
PASSWORD_RESET: Final = "password_reset"  # noqa: S105  # the purpose of a link, no password
INVITATION: Final = "invitation"

ONBOARDING: Final = "user_management.onboarding"
OFFBOARDING: Final = "user_management.offboarding"
"""Sagas of what other modules do for people who come and who go; `user_management.hookspecs` tells how."""

Email = Annotated[str, Len(3, 320)]
Username = Annotated[str, Len(3, 32)]
FullName = Annotated[str, Len(0, 200)]
Password = Annotated[str, Len(8, 1024)]
RoleName = Annotated[str, Len(1, 64)]


@dataclass(frozen=True, kw_only=True)
class RegisterUser(Command[UserView]):
    """Make an account for oneself."""

    secret_fields = frozenset({"password"})

    email: Email
    username: Username
    password: Password = field(repr=False)
    full_name: FullName | None = None


async def register_user(
    command: RegisterUser,
    users: UserRepository,
    links: MailedLinks,
    hasher: PasswordHasher,
    policy: PasswordPolicy,
    formats: Formats,
    settings: UserManagementSettings,
    sagas: Sagas,
    clock: Clock,
) -> UserView:
    """Check, hash, save; whether address and username are free is decided by the database at the commit."""
    email, now, verification_id = formats.email(command.email), clock.now(), new_id()
    policy.check(command.password, email=email, username=command.username)
    user = User.register(
        user_id=new_id(),
        verification_id=verification_id,
        email=email,
        username=command.username,
        full_name=command.full_name,
        now=now,
    )
    user.password_hash = await hasher.hash(command.password)
    users.add(user)
    links.add(
        verification_id,
        user_id=user.id,
        purpose=VERIFICATION,
        email=email,
        now=now,
        expires_at=now + timedelta(hours=settings.verification_hours),
    )
    sagas.start(ONBOARDING, saga_id=new_id(), data={"user_id": str(user.id)})
    return user_view(user, [MEMBER])


@dataclass(frozen=True, kw_only=True)
class InviteUser(Command[UserView]):
    """Make an account for somebody else, who gets a mail to set a password."""

    email: Email
    username: Username
    full_name: FullName | None = None
    roles: Annotated[list[RoleName], Len(0, 50)] | None = None


async def invite_user(
    command: InviteUser,
    users: UserRepository,
    roles: RoleRepository,
    links: MailedLinks,
    formats: Formats,
    settings: UserManagementSettings,
    principal: Principal,
    clock: Clock,
) -> UserView:
    """Everybody is a member; further roles are given by those who may give roles, and hold what these allow."""
    email, now = formats.email(command.email), clock.now()
    invitation_id = new_id()
    user = User.invite(
        user_id=new_id(),
        invitation_id=invitation_id,
        email=email,
        username=command.username,
        full_name=command.full_name,
        now=now,
    )
    further = await _roles_named(command.roles or (), roles)
    for role in further:
        principal.require("roles:write")
        check_reach(principal.can, role.permissions)
        user.role_ids.add(role.id)
    users.add(user)
    links.add(
        invitation_id,
        user_id=user.id,
        purpose=INVITATION,
        email=email,
        now=now,
        expires_at=now + timedelta(days=settings.invitation_days),
    )
    return user_view(user, [MEMBER, *(role.name for role in further)])


@body
class ProfileChanges(TypedDict, total=False):
    """What a user may change of themselves; what is absent stays, null clears."""

    username: Username
    full_name: FullName | None
    locale: Annotated[str, Len(2, 35)] | None
    timezone: Annotated[str, Len(1, 64)] | None
    phone_number: Annotated[str, Len(5, 32)] | None
    avatar_url: Annotated[str, Len(1, 2048)] | None


@dataclass(frozen=True, kw_only=True)
class UpdateMe(Command[UserProfileView]):
    """Change one's own names and profile."""

    changes: ProfileChanges


async def update_me(
    command: UpdateMe,
    users: UserRepository,
    roles: RoleRepository,
    formats: Formats,
    principal: Principal,
    clock: Clock,
) -> UserProfileView:
    user, changes, now = await users.get(principal.require_user()), command.changes, clock.now()
    _rename(user, changes, now)
    if changes.keys() & {"locale", "timezone", "phone_number", "avatar_url"}:
        timezone = changes.get("timezone", user.timezone)
        user.describe(
            locale=changes.get("locale", user.locale),
            timezone=None if timezone is None else formats.timezone(timezone),
            phone_number=changes.get("phone_number", user.phone_number),
            avatar_url=changes.get("avatar_url", user.avatar_url),
            now=now,
        )
    return profile_view(user, await roles.names_of(user.role_ids))


@body
class UserChanges(TypedDict, total=False):
    """What an administrator may change of an account; what is absent stays."""

    username: Username
    full_name: FullName | None
    is_active: bool


@dataclass(frozen=True, kw_only=True)
class UpdateUser(Command[UserView]):
    """Change somebody's names, or whether they may log in."""

    user_id: UUID
    changes: UserChanges


async def update_user(
    command: UpdateUser,
    users: UserRepository,
    roles: RoleRepository,
    sessions: Sessions,
    principal: Principal,
    standings: Standings,
    clock: Clock,
) -> UserView:
    """Disabling ends every session at once."""
    user, changes, now = await users.get(command.user_id), command.changes, clock.now()
    held = await roles.find_by_ids(user.role_ids)
    check_reach(principal.can, permissions_of(held))
    _rename(user, changes, now)
    if changes.get("is_active") is True:
        user.activate(now)
    elif "is_active" in changes and user.is_active:
        await _keep_an_administrator(user, users)
        user.deactivate(now)
        await sessions.end_all(user.id, reason="account_disabled", now=now)
        standings.revoke(users=[user.id])
    return user_view(user, [role.name for role in held])


@dataclass(frozen=True, kw_only=True)
class DeleteUser(Command[None]):
    """Take an account away; nobody finds it any more."""

    user_id: UUID


async def delete_user(
    command: DeleteUser,
    users: UserRepository,
    roles: RoleRepository,
    sessions: Sessions,
    links: MailedLinks,
    principal: Principal,
    standings: Standings,
    sagas: Sagas,
    clock: Clock,
) -> None:
    """Deleting ends every session at once; what other modules do about it follows."""
    user, now = await users.get(command.user_id), clock.now()
    check_reach(principal.can, permissions_of(await roles.find_by_ids(user.role_ids)))
    await _keep_an_administrator(user, users)
    user.delete(now)
    await sessions.end_all(user.id, reason="account_deleted", now=now)
    links.revoke(user.id, (VERIFICATION, PASSWORD_RESET, INVITATION), now=now)
    standings.revoke(users=[user.id])
    sagas.start(OFFBOARDING, saga_id=new_id(), data={"user_id": str(user.id)})


@dataclass(frozen=True, kw_only=True)
class AssignRole(Command[None]):
    """Give a user a role."""

    user_id: UUID
    role_name: RoleName


async def assign_role(
    command: AssignRole,
    users: UserRepository,
    roles: RoleRepository,
    principal: Principal,
    standings: Standings,
    clock: Clock,
) -> None:
    """It takes effect with the user's next request."""
    user = await users.get(command.user_id)
    role = await roles.get_by_name(command.role_name)
    check_reach(principal.can, role.permissions)
    user.assign(role, clock.now())
    standings.revoke(users=[user.id])


@dataclass(frozen=True, kw_only=True)
class RevokeRole(Command[None]):
    """Take a role from a user."""

    user_id: UUID
    role_name: RoleName


async def revoke_role(
    command: RevokeRole,
    users: UserRepository,
    roles: RoleRepository,
    principal: Principal,
    standings: Standings,
    clock: Clock,
) -> None:
    """It takes effect with the user's next request."""
    user = await users.get(command.user_id)
    role = await roles.get_by_name(command.role_name)
    check_reach(principal.can, role.permissions)
    if role.id == ADMIN_ID:
        await _keep_an_administrator(user, users)
    user.revoke(role, clock.now())
    standings.revoke(users=[user.id])


@dataclass(frozen=True, kw_only=True)
class EnsureUser(Command[UUID]):
    """
    Make an account unless there is one with this address; for seeds.

    Attributes:
        password: None for an account that cannot log in until its password is reset.
        roles: beside `member`.
    """

    secret_fields = frozenset({"password"})

    email: Email
    username: Username
    full_name: FullName | None = None
    password: Password | None = field(default=None, repr=False)
    roles: tuple[RoleName, ...] = ()


async def ensure_user(
    command: EnsureUser,
    users: UserRepository,
    roles: RoleRepository,
    hasher: PasswordHasher,
    policy: PasswordPolicy,
    formats: Formats,
    clock: Clock,
) -> UUID:
    """
    Whoever runs a seed vouches for the address; nobody is welcomed because of one.

    Returns: the account's identity.
    """
    email = formats.email(command.email)
    user = await users.find_by_email(email)
    if user is not None:
        return user.id
    user = User.vouched_for(
        user_id=new_id(), email=email, username=command.username, full_name=command.full_name, now=clock.now()
    )
    user.role_ids.update(role.id for role in await _roles_named(command.roles, roles))
    if command.password is not None:
        policy.check(command.password, email=email, username=command.username)
        user.password_hash = await hasher.hash(command.password)
    users.add(user)
    return user.id


@dataclass(frozen=True, kw_only=True)
class MakeAdministrator(Command[bool]):
    """
    Make an account that may do everything, or turn an existing one into it; for seeds and the command line.

    Attributes:
        only_first: do nothing where somebody can administer the platform already.
    """

    secret_fields = frozenset({"password"})

    email: Email
    username: Username
    password: Password = field(repr=False)
    only_first: bool = False


async def make_administrator(
    command: MakeAdministrator,
    users: UserRepository,
    roles: RoleRepository,
    sessions: Sessions,
    standings: Standings,
    hasher: PasswordHasher,
    policy: PasswordPolicy,
    formats: Formats,
    clock: Clock,
) -> bool:
    """
    The password counts for an existing account too, whose sessions end.

    Returns: whether anything was done.
    """
    if command.only_first and await users.count_other_administrators(None):
        return False
    email, now = formats.email(command.email), clock.now()
    user = await users.find_by_email(email)
    policy.check(command.password, email=email, username=user.username if user else command.username)
    password_hash = await hasher.hash(command.password)
    if user is None:
        user = User.vouched_for(
            user_id=new_id(), email=email, username=command.username, full_name=None, now=now
        )
        user.password_hash = password_hash  # the first one is no change that anybody should hear of
        users.add(user)
    else:
        user.change_password(password_hash, now)
    user.assign(await roles.get(ADMIN_ID), now)
    user.activate(now)
    await sessions.end_all(user.id, reason="password_changed", now=now)
    standings.revoke(users=[user.id])
    return True


def user_view(user: User, roles: Iterable[str]) -> UserView:
    """Show an aggregate as the reader of a query would."""
    return UserView(**_view_fields(user, roles))


def profile_view(user: User, roles: Iterable[str]) -> UserProfileView:
    """Show an aggregate with its profile."""
    return UserProfileView(
        **_view_fields(user, roles),
        locale=user.locale,
        timezone=user.timezone,
        phone_number=user.phone_number,
        avatar_url=user.avatar_url,
    )


async def _keep_an_administrator(user: User, users: UserRepository) -> None:
    if user.is_administrator and user.is_active and not await users.count_other_administrators(user.id):
        raise LastAdministrator


async def _roles_named(names: Sequence[str], roles: RoleRepository) -> list[Role]:
    """Load roles in the order of `names`; an unknown one is an error of the request's body."""
    wanted = list(dict.fromkeys(names))
    found = {role.name: role for role in await roles.find_by_names(wanted)} if wanted else {}
    unknown = [
        FieldError(f"/body/roles/{names.index(name)}", "there is no such role", "unknown_role")
        for name in wanted
        if name not in found
    ]
    if unknown:
        raise InvalidInput("A role is unknown.", fields=unknown)
    return [found[name] for name in wanted]


def _rename(user: User, changes: ProfileChanges | UserChanges, now: datetime) -> None:
    if changes.keys() & {"username", "full_name"}:
        user.rename(
            username=changes.get("username", user.username),
            full_name=changes.get("full_name", user.full_name),
            now=now,
        )


def _view_fields(user: User, roles: Iterable[str]) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "username": user.username,
        "full_name": user.full_name,
        "is_active": user.is_active,
        "email_verified": user.email_verified,
        "roles": sorted(set(roles)),
        "last_login_at": user.last_login_at,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }
