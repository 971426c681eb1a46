"""
What user management promises to other modules: views, published events, services they may ask for.

Imported through the facade, `from user_management import UserDirectory`. No event holds a secret: it names a request
(`reset_id`), and whoever writes the mail gets the link from `MailLinks` at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol, TypeAlias
from uuid import UUID

from platform_core.domain import Event

UserId: TypeAlias = UUID
RoleId: TypeAlias = UUID


# ── Views ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class UserView:
    """
    An account as others see it.

    Attributes:
        roles: names, in alphabetical order.
    """

    id: UserId
    email: str
    username: str
    full_name: str | None
    is_active: bool
    email_verified: bool
    roles: list[str]
    last_login_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserProfileView(UserView):
    """
    An account with what its owner says about themselves.

    Attributes:
        locale: a language tag such as `de` or `pt-BR`.
        timezone: an IANA name such as `Europe/Berlin`.
    """

    locale: str | None
    timezone: str | None
    phone_number: str | None
    avatar_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """
    One login of a user.

    Attributes:
        current: whether the request that asks belongs to it.
    """

    id: UUID
    created_at: datetime
    last_seen_at: datetime
    ip: str | None
    user_agent: str | None
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleView:
    """A named set of permissions."""

    id: RoleId
    name: str
    description: str | None
    permissions: list[str]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """
    What a step of the onboarding has made for somebody.

    Attributes:
        name: as people see it.
    """

    name: str


# ── Published events ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class UserRegistered(Event):
    """
    Somebody made an account for themselves.

    Attributes:
        verification_id: the address waits for proof; the welcome mail carries `MailLinks.verification_link` of it.
    """

    wire_name: ClassVar[str] = "user_management.user_registered"

    user_id: UserId
    email: str
    username: str
    full_name: str | None
    locale: str | None
    verification_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class UserInvited(Event):
    """
    An administrator made an account for somebody, who has yet to choose a password.

    `MailLinks.invitation_link(invitation_id)` is where they do so.
    """

    wire_name: ClassVar[str] = "user_management.user_invited"

    invitation_id: UUID
    user_id: UserId
    email: str
    username: str
    full_name: str | None
    locale: str | None


@dataclass(frozen=True, kw_only=True)
class UserAdded(Event):
    """An account was made on an operator's word; nobody gets a mail because of it."""

    wire_name: ClassVar[str] = "user_management.user_added"

    user_id: UserId
    username: str
    full_name: str | None


@dataclass(frozen=True, kw_only=True)
class EmailVerificationRequested(Event):
    """An address waits for proof that it belongs to the user; see `MailLinks.verification_link`."""

    wire_name: ClassVar[str] = "user_management.email_verification_requested"

    verification_id: UUID
    user_id: UserId
    email: str
    username: str
    full_name: str | None
    locale: str | None


@dataclass(frozen=True, kw_only=True)
class EmailVerified(Event):
    """A user proved that the address is theirs."""

    wire_name: ClassVar[str] = "user_management.email_verified"

    user_id: UserId
    email: str


@dataclass(frozen=True, kw_only=True)
class PasswordResetRequested(Event):
    """Somebody asked for a way around a forgotten password; see `MailLinks.password_reset_link`."""

    wire_name: ClassVar[str] = "user_management.password_reset_requested"

    reset_id: UUID
    user_id: UserId
    email: str
    username: str
    full_name: str | None
    locale: str | None


@dataclass(frozen=True, kw_only=True)
class PasswordChanged(Event):
    """A password was changed by its owner, or set through a mailed link; all other sessions have ended."""

    wire_name: ClassVar[str] = "user_management.password_changed"

    user_id: UserId
    email: str


@dataclass(frozen=True, kw_only=True)
class UserRenamed(Event):
    """The username or full name is another one now; both are given as they are."""

    wire_name: ClassVar[str] = "user_management.user_renamed"

    user_id: UserId
    username: str
    full_name: str | None


@dataclass(frozen=True, kw_only=True)
class UserDeactivated(Event):
    """An account may no longer log in; all its sessions have ended."""

    wire_name: ClassVar[str] = "user_management.user_deactivated"

    user_id: UserId


@dataclass(frozen=True, kw_only=True)
class UserReactivated(Event):
    """An account may log in again."""

    wire_name: ClassVar[str] = "user_management.user_reactivated"

    user_id: UserId


@dataclass(frozen=True, kw_only=True)
class UserDeleted(Event):
    """An account is gone; its address and username are free again."""

    wire_name: ClassVar[str] = "user_management.user_deleted"

    user_id: UserId


@dataclass(frozen=True, kw_only=True)
class RoleAssigned(Event):
    """A user has a further role, with effect from their next request on."""

    wire_name: ClassVar[str] = "user_management.role_assigned"

    user_id: UserId
    role_id: RoleId
    role_name: str


@dataclass(frozen=True, kw_only=True)
class RoleRevoked(Event):
    """A user has one role less, with effect from their next request on."""

    wire_name: ClassVar[str] = "user_management.role_revoked"

    user_id: UserId
    role_id: RoleId
    role_name: str


@dataclass(frozen=True, kw_only=True)
class SessionReuseDetected(Event):
    """A refresh token was used again long after it was spent: it was probably stolen, and its session has ended."""

    wire_name: ClassVar[str] = "user_management.session_reuse_detected"

    session_id: UUID
    user_id: UserId


# ── Services that others may ask for ─────────────────────────────────────────────────────────────


class UserDirectory(Protocol):
    """Who is who; deleted accounts are not in it, disabled ones are."""

    async def get(self, user_id: UserId) -> UserView | None:
        """Return one account, or None."""
        ...

    async def get_profile(self, user_id: UserId) -> UserProfileView | None:
        """Return one account with its language, time zone and phone number, or None."""
        ...

    async def get_many(self, user_ids: Iterable[UserId]) -> Mapping[UserId, UserView]:
        """Return those of the accounts that exist, in one round trip."""
        ...

    async def get_profiles(self, user_ids: Iterable[UserId]) -> Mapping[UserId, UserProfileView]:
        """Return those of the accounts that exist, as `get_profile` does, in one round trip."""
        ...

    async def find_by_usernames(self, usernames: Iterable[str]) -> Mapping[str, UserView]:
        """Return those of the accounts that exist, by lower-case username, in one round trip."""
        ...


class MailLinks(Protocol):
    """
    Links for mails, made at the moment of writing; they hold secrets, so nobody may store or log them.

    Each leads to `PLATFORM_PUBLIC_URL`, works once, and ends with the request that it names.
    """

    async def is_open(self, request_id: UUID) -> bool:
        """Tell whether a link of this request would still work: it was not followed, replaced or left too long."""
        ...

    def verification_link(self, verification_id: UUID) -> str:
        """Return where the owner of an address proves it."""
        ...

    def password_reset_link(self, reset_id: UUID) -> str:
        """Return where a new password replaces a forgotten one."""
        ...

    def invitation_link(self, invitation_id: UUID) -> str:
        """Return where an invited user chooses their first password."""
        ...
