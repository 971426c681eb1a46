"""The account: one aggregate with its roles, and the rules about names and profiles."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from platform_core.domain import Aggregate, is_public_host
from platform_core.errors import InvalidInput
from platform_core.texts import human_name
from user_management.contracts import (
    EmailVerificationRequested,
    EmailVerified,
    PasswordChanged,
    PasswordResetRequested,
    RoleAssigned,
    RoleRevoked,
    UserAdded,
    UserDeactivated,
    UserDeleted,
    UserInvited,
    UserReactivated,
    UserRegistered,
    UserRenamed,
)
from user_management.domain.roles import ADMIN_ID, MEMBER_ID, Role

_USERNAME: Final = re.compile(r"[A-Za-z0-9._-]{3,32}")
_LANGUAGE_TAG: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")
_PHONE_NUMBER: Final = re.compile(r"\+?[0-9][0-9 ()./-]{3,30}[0-9]")


@dataclass(eq=False, kw_only=True)
class User(Aggregate):
    """
    Somebody who may log in.

    Attributes:
        email: as its owner writes it; compared without regard to case.
        username: 3–32 letters, digits, dots, dashes and underscores; compared without regard to case.
        password_hash: None until an invited user has chosen a password.
        last_login_at: set by each login without raising the version, so that logging in never collides with editing.
    """

    email: str
    username: str
    full_name: str | None = None
    password_hash: str | None = None
    is_active: bool = True
    email_verified: bool = False
    last_login_at: datetime | None = None
    locale: str | None = None
    timezone: str | None = None
    phone_number: str | None = None
    avatar_url: str | None = None
    role_ids: set[UUID] = field(default_factory=set)

    @classmethod
    def register(
        cls,
        *,
        user_id: UUID,
        verification_id: UUID,
        email: str,
        username: str,
        full_name: str | None,
        now: datetime,
    ) -> User:
        """
        Make an account that somebody asked for themselves; everybody begins as a member.

        Args:
            verification_id: of the request to prove the address, which the welcome mail carries.
        """
        user = cls._new(user_id, email, username, full_name, now)
        user.record(
            UserRegistered(
                user_id=user.id,
                email=email,
                username=username,
                full_name=user.full_name,
                locale=user.locale,
                verification_id=verification_id,
            )
        )
        return user

    @classmethod
    def invite(
        cls,
        *,
        user_id: UUID,
        invitation_id: UUID,
        email: str,
        username: str,
        full_name: str | None,
        now: datetime,
    ) -> User:
        """Make an account for somebody else, who chooses the password through a mailed link."""
        user = cls._new(user_id, email, username, full_name, now)
        user.record(
            UserInvited(
                invitation_id=invitation_id,
                user_id=user.id,
                email=email,
                username=username,
                full_name=user.full_name,
                locale=user.locale,
            )
        )
        return user

    @classmethod
    def vouched_for(
        cls, *, user_id: UUID, email: str, username: str, full_name: str | None, now: datetime
    ) -> User:
        """Make an account on an operator's word: its address counts as proven, and nobody gets a mail."""
        user = cls._new(user_id, email, username, full_name, now)
        user.email_verified = True
        user.record(UserAdded(user_id=user.id, username=user.username, full_name=user.full_name))
        return user

    @classmethod
    def _new(cls, user_id: UUID, email: str, username: str, full_name: str | None, now: datetime) -> User:
        return cls(
            id=user_id,
            created_at=now,
            updated_at=now,
            email=email,
            username=check_username(username),
            full_name=_check_full_name(full_name),
            role_ids={MEMBER_ID},
        )

    # ── names and profile

    def rename(self, *, username: str, full_name: str | None, now: datetime) -> None:
        """Give the account another username or full name; what stays is not judged by rules that came later."""
        if username != self.username:
            username = check_username(username)
        if full_name != self.full_name:
            full_name = _check_full_name(full_name)
        if (username, full_name) == (self.username, self.full_name):
            return
        self.username, self.full_name = username, full_name
        self.touch(now)
        self.record(UserRenamed(user_id=self.id, username=username, full_name=full_name))

    def describe(
        self,
        *,
        locale: str | None,
        timezone: str | None,
        phone_number: str | None,
        avatar_url: str | None,
        now: datetime,
    ) -> None:
        """
        Change the profile.

        Args:
            timezone: an IANA name that was checked to exist.

        Raises:
            InvalidInput: no language tag, phone number or web address.
        """
        if locale is not None and not _LANGUAGE_TAG.fullmatch(locale):
            raise InvalidInput.of("locale", "is no language tag such as de or pt-BR", "invalid_locale")
        if phone_number is not None and not _PHONE_NUMBER.fullmatch(phone_number.strip()):
            raise InvalidInput.of(
                "phone_number", "is no phone number such as +49 30 1234567", "invalid_phone_number"
            )
        self.locale, self.timezone = locale, timezone
        self.phone_number = phone_number.strip() if phone_number is not None else None
        self.avatar_url = None if avatar_url is None else _check_web_address("avatar_url", avatar_url)
        self.touch(now)

    # ── proof of the address, passwords

    def request_verification(self, verification_id: UUID) -> None:
        """Ask the owner of the address to prove it."""
        self.record(
            EmailVerificationRequested(
                verification_id=verification_id,
                user_id=self.id,
                email=self.email,
                username=self.username,
                full_name=self.full_name,
                locale=self.locale,
            )
        )

    def request_password_reset(self, reset_id: UUID) -> None:
        """Offer the owner of the address a way around a forgotten password."""
        self.record(
            PasswordResetRequested(
                reset_id=reset_id,
                user_id=self.id,
                email=self.email,
                username=self.username,
                full_name=self.full_name,
                locale=self.locale,
            )
        )

    def verify_email(self, now: datetime) -> None:
        """Note that the address is proven; once."""
        if not self.email_verified:
            self.email_verified = True
            self.touch(now)
            self.record(EmailVerified(user_id=self.id, email=self.email))

    def change_password(self, password_hash: str, now: datetime) -> None:
        """Replace the password; whoever calls this ends the other sessions."""
        self.password_hash = password_hash
        self.touch(now)
        self.record(PasswordChanged(user_id=self.id, email=self.email))

    # ── whether and as what they may log in

    @property
    def is_administrator(self) -> bool:
        return ADMIN_ID in self.role_ids

    def activate(self, now: datetime) -> None:
        """Let the account log in again."""
        if not self.is_active:
            self.is_active = True
            self.touch(now)
            self.record(UserReactivated(user_id=self.id))

    def deactivate(self, now: datetime) -> None:
        """Keep the account from logging in; whoever calls this ends its sessions."""
        if self.is_active:
            self.is_active = False
            self.touch(now)
            self.record(UserDeactivated(user_id=self.id))

    def delete(self, now: datetime) -> None:
        """Take the account away; its address and username are free again."""
        super().delete(now)
        self.record(UserDeleted(user_id=self.id))

    def assign(self, role: Role, now: datetime) -> None:
        """Give a role; giving it again changes nothing."""
        if role.id not in self.role_ids:
            self.role_ids.add(role.id)
            self.touch(now)
            self.record(RoleAssigned(user_id=self.id, role_id=role.id, role_name=role.name))

    def revoke(self, role: Role, now: datetime) -> None:
        """Take a role; taking what is not there changes nothing."""
        if role.id in self.role_ids:
            self.role_ids.remove(role.id)
            self.touch(now)
            self.record(RoleRevoked(user_id=self.id, role_id=role.id, role_name=role.name))


def check_username(text: str) -> str:
    """
    Return a username if it is one.

    Raises:
        InvalidInput: not 3–32 of the letters, digits and signs that are allowed.
    """
    if not _USERNAME.fullmatch(text):
        message = "takes 3 to 32 letters (a to z), digits, dots, dashes and underscores"
        raise InvalidInput.of("username", message, "invalid_username")
    return text


def _check_full_name(text: str | None) -> str | None:
    """Return it without spaces around it; None when nothing is left."""
    return human_name(text, "full_name") if text and not text.isspace() else None


def _check_web_address(name: str, text: str) -> str:
    """Nobody here fetches it, but whoever does must not be led into the deployer's own network."""
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        host, parts = "", urlsplit("")
    is_clean = text.isprintable() and " " not in text and parts.username is None
    if parts.scheme not in ("http", "https") or not is_clean or not is_public_host(host):
        raise InvalidInput.of(name, "is no public http(s) address", "invalid_url")
    return text
