"""Logging in, staying logged in, logging out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from annotated_types import Len

from platform_core.domain import Command, Refused, new_id
from platform_core.ports import Clock, Outbox, Standings
from platform_core.security import Principal
from user_management.application.ports import (
    LoginFailures,
    MailedLinks,
    PasswordHasher,
    Sessions,
    Tokens,
    UserRepository,
)
from user_management.contracts import SessionReuseDetected
from user_management.domain import (
    InvalidCredentials,
    InvalidRefreshToken,
    Lifetime,
    RefreshSuperseded,
    TooManyFailedLogins,
    Verdict,
)
from user_management.settings import UserManagementSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensView:
    """
    What a client needs to act as a user.

    Attributes:
        access_token: sent as `Authorization: Bearer …`.
        refresh_token: exchanged for the next pair, once.
        expires_in: seconds that the access token lasts.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    token_type: str = "bearer"  # noqa: S105  # the scheme's name
    expires_in: int


@dataclass(frozen=True, kw_only=True)
class LogIn(Command[TokensView]):
    """Prove who one is by a password, and begin a session."""

    secret_fields = frozenset({"password"})

    email: Annotated[str, Len(1, 320)]
    password: Annotated[str, Len(1, 1024)] = field(repr=False)


async def log_in(
    command: LogIn,
    users: UserRepository,
    sessions: Sessions,
    failures: LoginFailures,
    hasher: PasswordHasher,
    tokens: Tokens,
    settings: UserManagementSettings,
    clock: Clock,
) -> TokensView | Refused:
    """
    Wrong, unknown and disabled take the same path: one hash, one counted failure, one answer.

    Whether the account is locked is asked three times, on purpose: before the hash, so that a locked one costs nothing;
    when a failure is counted, and when a success is stored, so that parallel guesses are decided one by one by the
    database.
    """
    email = command.email.strip()
    seconds = await failures.locked_for(email)
    if seconds is not None:
        raise TooManyFailedLogins(retry_after_seconds=seconds)
    user = await users.find_by_email(email)
    is_right = await hasher.verify(command.password, user.password_hash if user else None)
    if user is None or user.password_hash is None or not is_right or not user.is_active:
        seconds = await failures.count(email, user)
        return Refused(
            InvalidCredentials() if seconds is None else TooManyFailedLogins(retry_after_seconds=seconds)
        )
    new_hash = await hasher.hash(command.password) if hasher.is_outdated(user.password_hash) else None
    session_id, refresh_token, now = new_id(), tokens.refresh(), clock.now()
    sessions.open(user, session_id=session_id, refresh_token=refresh_token, new_hash=new_hash, now=now)
    return TokensView(
        access_token=tokens.access(user_id=user.id, session_id=session_id, now=now),
        refresh_token=refresh_token,
        expires_in=int(settings.access_token_minutes * 60),
    )


@dataclass(frozen=True, kw_only=True)
class RefreshTokens(Command[TokensView]):
    """Exchange a refresh token for a new pair."""

    secret_fields = frozenset({"refresh_token"})

    refresh_token: Annotated[str, Len(1, 512)] = field(repr=False)


async def refresh_tokens(
    command: RefreshTokens,
    sessions: Sessions,
    tokens: Tokens,
    outbox: Outbox,
    standings: Standings,
    settings: UserManagementSettings,
    clock: Clock,
) -> TokensView | Refused:
    """A spent token that comes late was stolen, from here or from there: nobody keeps the session."""
    state, now = await sessions.find_refresh(command.refresh_token), clock.now()
    if state is None:
        raise InvalidRefreshToken
    match state.judge(lifetime(settings), timedelta(seconds=settings.refresh_grace_seconds), now):
        case Verdict.DEAD:
            raise InvalidRefreshToken
        case Verdict.SUPERSEDED:
            raise RefreshSuperseded
        case Verdict.REUSED:
            sessions.end_reused(state, now=now)
            outbox.emit(
                SessionReuseDetected(session_id=state.session_id, user_id=state.user_id),
                aggregate_type="user_management.user",
                aggregate_id=state.user_id,
            )
            standings.revoke(sessions=[state.session_id])
            return Refused(InvalidRefreshToken())
        case Verdict.ROTATE:
            successor = tokens.refresh()
            sessions.rotate(state, spent=command.refresh_token, successor=successor, now=now)
            return TokensView(
                access_token=tokens.access(user_id=state.user_id, session_id=state.session_id, now=now),
                refresh_token=successor,
                expires_in=int(settings.access_token_minutes * 60),
            )


@dataclass(frozen=True, kw_only=True)
class LogOut(Command[None]):
    """End the session of this request."""


async def log_out(
    command: LogOut, sessions: Sessions, standings: Standings, principal: Principal, clock: Clock
) -> None:
    """Its tokens stop working at once, on every process; of two who log out at once both are told so."""
    user_id = principal.require_user()
    if principal.session_id is not None:
        sessions.end(
            principal.session_id, user_id=user_id, reason="logout", now=clock.now(), must_exist=False
        )
        standings.revoke(sessions=[principal.session_id])


@dataclass(frozen=True, kw_only=True)
class EndSession(Command[None]):
    """End one of one's own sessions."""

    session_id: UUID


async def end_session(
    command: EndSession, sessions: Sessions, standings: Standings, principal: Principal, clock: Clock
) -> None:
    sessions.end(
        command.session_id, user_id=principal.require_user(), reason="ended_by_user", now=clock.now()
    )
    standings.revoke(sessions=[command.session_id])


@dataclass(frozen=True, kw_only=True)
class PurgeLogins(Command[None]):
    """Delete what nobody can use any more: sessions, links, counted failures."""


async def purge_logins(
    command: PurgeLogins, sessions: Sessions, links: MailedLinks, failures: LoginFailures, clock: Clock
) -> None:
    """The trail of what happened stays in `audit`."""
    now = clock.now()
    sessions.purge(now)
    links.purge(now)
    failures.purge(now)


def lifetime(settings: UserManagementSettings) -> Lifetime:
    """Return how long a session lasts."""
    idle = settings.session_idle_minutes
    return Lifetime(timedelta(days=settings.session_days), None if idle is None else timedelta(minutes=idle))
