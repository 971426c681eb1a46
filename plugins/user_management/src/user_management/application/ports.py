"""What the use cases need from the outside, as Protocols; `infrastructure` has the adapters."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

from user_management.domain import RefreshState, Role, User


class UserRepository(Protocol):
    """Accounts that are not deleted."""

    def add(self, aggregate: User) -> None: ...

    async def get(self, identity: UUID) -> User:
        """Load one account; raises `UserNotFound`."""
        ...

    async def find_by_email(self, email: str) -> User | None:
        """Load the account with this address, whatever its case."""
        ...

    async def count_other_administrators(self, user_id: UUID | None) -> int:
        """
        Lock the `admin` role until the commit, and count its other holders who can log in.

        The lock keeps two administrators from both being the last but one.
        """
        ...


class RoleRepository(Protocol):
    """Roles that are not deleted."""

    def add(self, aggregate: Role) -> None: ...

    async def get(self, identity: UUID) -> Role:
        """Load one role; raises `RoleNotFound`."""
        ...

    async def get_by_name(self, name: str) -> Role:
        """Load one role; raises `RoleNotFound`."""
        ...

    async def find_by_ids(self, identities: Collection[UUID]) -> list[Role]:
        """Load those of the roles that exist, by name."""
        ...

    async def names_of(self, identities: Collection[UUID]) -> list[str]:
        """Return the names of those of the roles that exist, in order; for showing, nothing is loaded to be changed."""
        ...

    async def find_by_names(self, names: Collection[str]) -> list[Role]:
        """Load those of the roles that exist, by name."""
        ...

    async def find_by_permissions(self, names: Collection[str]) -> list[Role]:
        """Load the roles that hold one of these permissions."""
        ...

    def take_from_everybody(self, role_id: UUID) -> None:
        """Remove the role from all who hold it, at the commit."""
        ...


class PasswordHasher(Protocol):
    """Slow one-way hashing, off the event loop, a bounded number at once."""

    async def hash(self, password: str) -> str:
        """
        Return what to store of a password.

        Raises:
            RateLimited: too many wait already.
        """
        ...

    async def verify(self, password: str, stored: str | None) -> bool:
        """
        Tell whether `password` is the one behind `stored`.

        Args:
            stored: None where there is no account or no password; it costs as much, and the answer is no.

        Raises:
            RateLimited: too many wait already.
        """
        ...

    def is_outdated(self, stored: str) -> bool:
        """Tell whether `stored` was made at another cost than today's."""
        ...


class LoginFailures(Protocol):
    """Failed logins by account and by address of origin, known to every process and never forgotten early."""

    async def locked_for(self, email: str) -> int | None:
        """Return for how many seconds nobody gets in as `email` from where this request comes from, or None."""
        ...

    async def count(self, email: str, user: User | None) -> int | None:
        """
        Count one more failure.

        Args:
            user: whose account it is, for the audit trail; None where there is none.

        Returns: None while it was within what is allowed; else for how many seconds nobody gets in, so that
            of many parallel guesses no more than allowed are told apart from the rest.
        """
        ...

    def forgive(self, email: str) -> None:
        """Forget the failures of an account (never those of an address) at the commit: the owner proved themselves."""
        ...

    def purge(self, now: datetime) -> None:
        """Delete what no window reaches any more."""
        ...


class Sessions(Protocol):
    """Logins; what is written here takes effect at the commit."""

    def open(
        self, user: User, *, session_id: UUID, refresh_token: str, new_hash: str | None, now: datetime
    ) -> None:
        """
        Begin a session for a user whose password was verified.

        The commit fails with `InvalidCredentials` if the account was disabled or its password changed in the
        meantime, and with `TooManyFailedLogins` if it was locked.

        Args:
            new_hash: replaces the password's hash where its cost is outdated.
        """
        ...

    async def find_refresh(self, refresh_token: str) -> RefreshState | None:
        """Read what is known of a refresh token."""
        ...

    def rotate(self, state: RefreshState, *, spent: str, successor: str, now: datetime) -> None:
        """
        Exchange one refresh token for the next, by compare-and-swap at the commit.

        Exactly one of several parallel calls commits; the others fail with `RefreshSuperseded`, or with
        `InvalidRefreshToken` if the session was revoked in the meantime.
        """
        ...

    def end(
        self, session_id: UUID, *, user_id: UUID, reason: str, now: datetime, must_exist: bool = True
    ) -> None:
        """Revoke one session of a user; the commit fails with `NotFound` if it must exist and does not any more."""
        ...

    def end_reused(self, state: RefreshState, *, now: datetime) -> None:
        """Revoke a session whose spent token came again; the commit fails if it was revoked already."""
        ...

    async def end_all(self, user_id: UUID, *, but: UUID | None = None, reason: str, now: datetime) -> None:
        """
        Revoke every session of a user, except for one; those too that are being opened at this moment.

        From here to the commit nobody logs in as this user, so nothing slow may follow.
        """
        ...

    def purge(self, now: datetime) -> None:
        """Delete sessions that ended some time ago, with their tokens."""
        ...


class Tokens(Protocol):
    """Makes the two tokens of a session."""

    def access(self, *, user_id: UUID, session_id: UUID, now: datetime) -> str:
        """Sign an access token."""
        ...

    def refresh(self) -> str:
        """Draw a refresh token: 256 random bits."""
        ...


class MailedLinks(Protocol):
    """Requests that are answered by following a mailed link; each link works once."""

    def add(
        self, link_id: UUID, *, user_id: UUID, purpose: str, email: str, now: datetime, expires_at: datetime
    ) -> None:
        """Keep a request."""
        ...

    async def read(self, token: str, purposes: Collection[str], now: datetime) -> tuple[UUID, UUID]:
        """
        Check a token.

        Returns: the request's and the user's identity.

        Raises:
            InvalidToken: not made here, used, ended, or for an address that the account no longer has.
        """
        ...

    def spend(self, link_id: UUID, now: datetime) -> None:
        """Use the request up; the commit fails with `InvalidToken` if another call was faster."""
        ...

    def revoke(
        self, user_id: UUID, purposes: Collection[str], *, but: UUID | None = None, now: datetime
    ) -> None:
        """Use up every open request of a user, except for one."""
        ...

    async def count_since(self, user_id: UUID, purpose: str, since: datetime) -> int:
        """Count the requests of a user, open or not; others who count wait until this one's commit."""
        ...

    def purge(self, now: datetime) -> None:
        """Delete requests that ended some time ago."""
        ...


class Formats(Protocol):
    """Checks of text that need more than the domain knows: standards, and tables of the world."""

    def email(self, text: str) -> str:
        """
        Return an e-mail address in the form to keep.

        Raises:
            InvalidInput: it is none.
        """
        ...

    def timezone(self, text: str) -> str:
        """
        Return the name of a time zone.

        Raises:
            InvalidInput: there is none of that name.
        """
        ...
