"""Who is asking and what they may do; standard library only, anything above `errors` may import it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from platform_core.errors import Forbidden, Unauthenticated

__all__ = ["ANONYMOUS", "EVERYTHING", "SYSTEM", "Authenticator", "Claim", "Principal"]

EVERYTHING: Final = "*"
"""The permission that includes every other one, of this and of every later module."""


@dataclass(frozen=True, slots=True)
class Principal:
    """
    The acting party of a request, job or command line.

    Attributes:
        user_id: None for a visitor and for the platform itself.
        session_id: the login this request belongs to, where there is one.
        permissions: names such as `users:read`, or `*`.
        label: how logs and the audit trail call a principal that is no user.
    """

    user_id: UUID | None = None
    session_id: UUID | None = None
    permissions: frozenset[str] = field(default=frozenset())
    label: str = "user"

    @property
    def is_authenticated(self) -> bool:
        return self.user_id is not None or EVERYTHING in self.permissions

    def can(self, permission: str) -> bool:
        """Tell whether `permission` was granted, by name or through `*`."""
        return permission in self.permissions or EVERYTHING in self.permissions

    def require(self, permission: str) -> None:
        """
        Insist on a permission.

        Raises:
            Unauthenticated: a visitor.
            Forbidden: somebody without the permission.
        """
        if not self.is_authenticated:
            raise Unauthenticated
        if not self.can(permission):
            raise Forbidden(f"This needs the permission {permission}.")

    def require_user(self) -> UUID:
        """
        Insist on somebody who has an account, and return who it is.

        Raises:
            Unauthenticated: a visitor.
            Forbidden: the platform itself, which has nothing of its own: a job, a seed, the command line.
        """
        if self.user_id is not None:
            return self.user_id
        if not self.is_authenticated:
            raise Unauthenticated
        raise Forbidden(f"This is for users, and {self.label} is none.")


ANONYMOUS: Final = Principal(label="anonymous")
SYSTEM: Final = Principal(permissions=frozenset({EVERYTHING}), label="system")


@dataclass(frozen=True, slots=True)
class Claim:
    """
    What a verified token says, before anybody asked whether it still holds.

    Attributes:
        user_id: whose token it is; rate limits follow it.
        session_id: the cached standing of this session decides whether the token still works.
        expires_at: end of the token, UTC.
    """

    user_id: UUID
    session_id: UUID
    expires_at: datetime


class Authenticator(Protocol):
    """How a module proves who is asking; contributed by the `authenticate` hook, resolved by type."""

    scheme: str
    """The `Authorization` scheme it answers to, lower case: `bearer`."""

    def verify(self, credentials: str) -> Claim:
        """
        Check a token's signature, issuer, type and time; processor work only, no I/O.

        Raises:
            Unauthenticated: for every reason alike.
        """
        ...

    async def standing(self, claim: Claim) -> Principal | None:
        """
        Read from the database who this session is and what they may do now.

        Returns: None when the session was revoked, has ended, or its user may not log in.
            The kernel caches the answer in Redis and forgets it when told so (`ports.Standings`).
        """
        ...
