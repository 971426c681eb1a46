"""Passwords and proofs of address: changing, forgetting, choosing the first one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from annotated_types import Len

from platform_core.domain import Command, Refused, new_id
from platform_core.ports import Clock, Jobs, Standings
from platform_core.security import Principal
from user_management.application.accounts import (
    INVITATION,
    PASSWORD_RESET,
    VERIFICATION,
    Email,
    Password,
)
from user_management.application.ports import (
    Formats,
    LoginFailures,
    MailedLinks,
    PasswordHasher,
    Sessions,
    UserRepository,
)
from user_management.domain import (
    InvalidToken,
    PasswordPolicy,
    TooManyFailedLogins,
    User,
    UserNotFound,
    WrongPassword,
)
from user_management.settings import UserManagementSettings

LinkToken = Annotated[str, Len(1, 200)]


@dataclass(frozen=True, kw_only=True)
class ChangePassword(Command[None]):
    """Replace one's own password."""

    secret_fields = frozenset({"current_password", "new_password"})

    current_password: Annotated[str, Len(1, 1024)] = field(repr=False)
    new_password: Password = field(repr=False)


async def change_password(
    command: ChangePassword,
    users: UserRepository,
    sessions: Sessions,
    links: MailedLinks,
    failures: LoginFailures,
    hasher: PasswordHasher,
    policy: PasswordPolicy,
    standings: Standings,
    principal: Principal,
    clock: Clock,
) -> Refused | None:
    """The other sessions end. Guessing the current password counts like a failed login."""
    user, now = await users.get(principal.require_user()), clock.now()
    policy.check(command.new_password, email=user.email, username=user.username, name="new_password")
    seconds = await failures.locked_for(user.email)
    if seconds is not None:
        raise TooManyFailedLogins(retry_after_seconds=seconds)
    if not await hasher.verify(command.current_password, user.password_hash):
        seconds = await failures.count(user.email, user)
        return Refused(
            WrongPassword() if seconds is None else TooManyFailedLogins(retry_after_seconds=seconds)
        )
    user.change_password(await hasher.hash(command.new_password), now)
    await sessions.end_all(user.id, but=principal.session_id, reason="password_changed", now=now)
    links.revoke(user.id, (PASSWORD_RESET, INVITATION), now=now)
    standings.revoke(users=[user.id])
    return None


@dataclass(frozen=True, kw_only=True)
class RequestPasswordReset(Command[None]):
    """Ask for a mail with a way around a forgotten password."""

    email: Email


async def request_password_reset(
    command: RequestPasswordReset,
    users: UserRepository,
    formats: Formats,
    jobs: Jobs,
) -> None:
    """
    Whether there is such an account shows neither in the answer nor in the time it takes: both ways cost a look and a
    job, and what the account really causes is a worker's.
    """
    user = await users.find_by_email(formats.email(command.email))
    jobs.later(OpenPasswordReset(user_id=new_id() if user is None else user.id))


@dataclass(frozen=True, kw_only=True)
class OpenPasswordReset(Command[None]):
    """Offer a user a way around a forgotten password, as a job; the identity may be nobody's."""

    user_id: UUID


async def open_password_reset(
    command: OpenPasswordReset,
    users: UserRepository,
    links: MailedLinks,
    settings: UserManagementSettings,
    clock: Clock,
) -> None:
    """One account gets few mails an hour."""
    now = clock.now()
    try:
        user = await users.get(command.user_id)
    except UserNotFound:
        return
    if not user.is_active or await _has_enough(links, user, PASSWORD_RESET, settings, now):
        return
    reset_id = new_id()
    user.request_password_reset(reset_id)
    links.add(
        reset_id,
        user_id=user.id,
        purpose=PASSWORD_RESET,
        email=user.email,
        now=now,
        expires_at=now + timedelta(minutes=settings.password_reset_minutes),
    )


@dataclass(frozen=True, kw_only=True)
class ConfirmPasswordReset(Command[None]):
    """Set a password through a mailed link, of a reset or of an invitation."""

    secret_fields = frozenset({"token", "new_password"})

    token: LinkToken = field(repr=False)
    new_password: Password = field(repr=False)


async def confirm_password_reset(
    command: ConfirmPasswordReset,
    users: UserRepository,
    sessions: Sessions,
    links: MailedLinks,
    failures: LoginFailures,
    hasher: PasswordHasher,
    policy: PasswordPolicy,
    standings: Standings,
    clock: Clock,
) -> None:
    """Every session ends, the address is proven, and a locked account is open again."""
    now = clock.now()
    link_id, user_id = await links.read(command.token, (PASSWORD_RESET, INVITATION), now)
    try:
        user = await users.get(user_id)
    except UserNotFound:
        raise InvalidToken from None
    if not user.is_active:
        raise InvalidToken
    policy.check(command.new_password, email=user.email, username=user.username, name="new_password")
    user.change_password(await hasher.hash(command.new_password), now)
    user.verify_email(now)
    links.spend(link_id, now)
    links.revoke(user.id, (PASSWORD_RESET, INVITATION), but=link_id, now=now)
    await sessions.end_all(user.id, reason="password_reset", now=now)
    failures.forgive(user.email)
    standings.revoke(users=[user.id])


@dataclass(frozen=True, kw_only=True)
class RequestEmailVerification(Command[None]):
    """Ask for a new mail to prove one's own address, because the first one has ended or is lost."""


async def request_email_verification(
    command: RequestEmailVerification,
    users: UserRepository,
    links: MailedLinks,
    settings: UserManagementSettings,
    principal: Principal,
    clock: Clock,
) -> None:
    """Nothing happens where the address is proven, or where enough mails were sent lately."""
    user, now = await users.get(principal.require_user()), clock.now()
    if user.email_verified or await _has_enough(links, user, VERIFICATION, settings, now):
        return
    verification_id = new_id()
    user.request_verification(verification_id)
    links.add(
        verification_id,
        user_id=user.id,
        purpose=VERIFICATION,
        email=user.email,
        now=now,
        expires_at=now + timedelta(hours=settings.verification_hours),
    )


@dataclass(frozen=True, kw_only=True)
class VerifyEmail(Command[None]):
    """Prove through a mailed link that an address is one's own."""

    secret_fields = frozenset({"token"})

    token: LinkToken = field(repr=False)


async def verify_email(command: VerifyEmail, users: UserRepository, links: MailedLinks, clock: Clock) -> None:
    """Each link works once."""
    now = clock.now()
    link_id, user_id = await links.read(command.token, (VERIFICATION,), now)
    try:
        user = await users.get(user_id)
    except UserNotFound:
        raise InvalidToken from None
    user.verify_email(now)
    links.spend(link_id, now)


async def _has_enough(
    links: MailedLinks, user: User, purpose: str, settings: UserManagementSettings, now: datetime
) -> bool:
    return await links.count_since(user.id, purpose, now - timedelta(hours=1)) >= settings.mails_per_hour
