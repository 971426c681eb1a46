"""Failed logins, sessions and their refresh tokens in PostgreSQL."""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, insert, literal, not_, or_, select, text, update

from platform_core.context import Context
from platform_core.db import UnitOfWork
from platform_core.errors import NotFound
from platform_core.ports import Clock
from platform_core.settings import KernelSettings, RateLimit
from user_management.application.sessions import lifetime
from user_management.domain import (
    FailureWindow,
    InvalidCredentials,
    InvalidRefreshToken,
    Lifetime,
    RefreshState,
    RefreshSuperseded,
    TooManyFailedLogins,
    User,
)
from user_management.infrastructure.tables import USERS, login_failures, refresh_tokens, user_sessions, users
from user_management.settings import UserManagementSettings

_KEPT: Final = timedelta(days=30)
"""How long an ended session stays for whoever looks into an incident."""

_SESSION: Final = "user_management.session"


class SqlLoginFailures:
    """
    One row per account and per address of origin, with the moments of its latest failures.

    The row is locked while a failure is added, so however many guesses come at once, each knows how many were before.
    """

    def __init__(self, uow: UnitOfWork, kernel: KernelSettings, context: Context, clock: Clock) -> None:
        self._uow, self._clock = uow, clock
        self._origin = _origin(context.ip)
        self._by_account = _window(kernel.rate_limit_login_failures_account)
        self._by_origin = _window(kernel.rate_limit_login_failures_ip)

    async def locked_for(self, email: str) -> int | None:
        windows = self._windows(email)
        statement = select(login_failures.c.key, login_failures.c.moments).where(
            login_failures.c.key.in_(windows)
        )
        rows = await self._uow.fetch_all(statement)
        now = self._clock.now()
        return _longest([windows[row["key"]].locked_for(row["moments"], now) for row in rows])

    async def count(self, email: str, user: User | None) -> int | None:
        windows, now = self._windows(email), self._clock.now()
        await self._uow.begin()
        waits: list[int | None] = []
        # always the account first and the origin second, so that two guesses cannot wait for each other in a circle
        for key, window in windows.items():
            row = await self._uow.fetch_one(_COUNT.bindparams(key=key, now=now, kept=window.count + 1))
            waits.append(window.locked_for(row["moments"][:-1], now) if row else None)
        # nothing new, but it tells the trail whose account it was; written for unknown ones too, for the same time
        self._uow.write(
            update(login_failures).where(login_failures.c.key == _account(email)).values(updated_at=now),
            resource=None if user is None else (USERS.name, user.id),
        )
        return _longest(waits)

    def forgive(self, email: str) -> None:
        self._uow.write(delete(login_failures).where(login_failures.c.key == _account(email)))

    def purge(self, now: datetime) -> None:
        longest = timedelta(seconds=max(self._by_account.seconds, self._by_origin.seconds))
        self._uow.write(delete(login_failures).where(login_failures.c.updated_at < now - longest))

    def is_locked(self, email: str, now: datetime) -> ColumnElement[bool]:
        """Return the same rule as `locked_for`, as a condition for the statement that lets somebody in."""
        moments = login_failures.c.moments
        return or_(
            *(
                select(login_failures.c.key)
                .where(
                    login_failures.c.key == key,
                    # the moment that would have to leave the window first; NULL while there are fewer
                    moments[func.cardinality(moments) - window.count + 1]
                    > now - timedelta(seconds=window.seconds),
                )
                .exists()
                for key, window in self._windows(email).items()
            )
        )

    def _windows(self, email: str) -> dict[str, FailureWindow]:
        windows = {_account(email): self._by_account}
        if self._origin is not None:
            windows[self._origin] = self._by_origin
        return windows


_COUNT: Final = text(
    "INSERT INTO user_management.login_failures AS f (key, moments, updated_at) VALUES (:key, ARRAY[:now], :now)"
    " ON CONFLICT (key) DO UPDATE SET updated_at = :now,"
    " moments = (f.moments || excluded.moments)[greatest(1, cardinality(f.moments) + 2 - :kept):]"
    " RETURNING moments"
)


class SqlSessions:
    """Sessions, and the chain of refresh tokens of each."""

    def __init__(
        self,
        uow: UnitOfWork,
        settings: UserManagementSettings,
        kernel: KernelSettings,
        context: Context,
        clock: Clock,
    ) -> None:
        self._uow, self._context = uow, context
        self._lifetime = lifetime(settings)
        self._failures = SqlLoginFailures(uow, kernel, context, clock)

    def open(
        self, user: User, *, session_id: UUID, refresh_token: str, new_hash: str | None, now: datetime
    ) -> None:
        values = {
            user_sessions.c.id: session_id,
            user_sessions.c.user_id: user.id,
            user_sessions.c.created_at: now,
            user_sessions.c.last_seen_at: now,
            user_sessions.c.expires_at: now + self._lifetime.total,
            user_sessions.c.ip: self._context.ip,
            user_sessions.c.user_agent: (self._context.user_agent or "")[:500] or None,
        }
        row = select(*(literal(value, column.type).label(column.name) for column, value in values.items()))
        self._uow.write(
            insert(user_sessions).from_select(
                list(values), row.where(not_(self._failures.is_locked(user.email, now)))
            ),
            expect=1,
            otherwise=TooManyFailedLogins,
        )
        self._uow.write(
            insert(refresh_tokens).values(hash=_hash(refresh_token), session_id=session_id, created_at=now)
        )
        # the password may have changed and the account may have been disabled while the hash was computed
        verified = (users.c.id == user.id, users.c.is_active, users.c.password_hash == user.password_hash)
        values_of_user = {"last_login_at": now} | ({} if new_hash is None else {"password_hash": new_hash})
        self._uow.write(
            update(users).where(*verified, users.c.deleted_at.is_(None)).values(values_of_user),
            expect=1,
            otherwise=InvalidCredentials,
            resource=(USERS.name, user.id),
        )

    async def find_refresh(self, refresh_token: str) -> RefreshState | None:
        row = await self._uow.fetch_one(
            select(
                refresh_tokens.c.session_id,
                refresh_tokens.c.spent_at,
                user_sessions.c.user_id,
                user_sessions.c.revoked_at,
                user_sessions.c.expires_at,
                user_sessions.c.last_seen_at,
                (users.c.is_active & users.c.deleted_at.is_(None)).label("may_log_in"),
            )
            .select_from(refresh_tokens.join(user_sessions).join(users))
            .where(refresh_tokens.c.hash == _hash(refresh_token))
        )
        return None if row is None else RefreshState(**row)

    def rotate(self, state: RefreshState, *, spent: str, successor: str, now: datetime) -> None:
        # all three are parts of one statement: either everything happens or nothing
        self._uow.write(
            update(user_sessions)
            .where(user_sessions.c.id == state.session_id, user_sessions.c.revoked_at.is_(None))
            .values(last_seen_at=now),
            expect=1,
            otherwise=InvalidRefreshToken,
            resource=(_SESSION, state.session_id),
        )
        self._uow.write(
            update(refresh_tokens)
            .where(refresh_tokens.c.hash == _hash(spent), refresh_tokens.c.spent_at.is_(None))
            .values(spent_at=now),
            expect=1,
            otherwise=RefreshSuperseded,
        )
        self._uow.write(
            insert(refresh_tokens).values(hash=_hash(successor), session_id=state.session_id, created_at=now)
        )

    def end(
        self, session_id: UUID, *, user_id: UUID, reason: str, now: datetime, must_exist: bool = True
    ) -> None:
        self._uow.write(
            update(user_sessions)
            .where(
                user_sessions.c.id == session_id,
                user_sessions.c.user_id == user_id,
                goes_on(self._lifetime, now),
            )
            .values(revoked_at=now, revoked_reason=reason),
            expect=1 if must_exist else None,
            otherwise=NotFound,
            resource=(_SESSION, session_id),
        )

    def end_reused(self, state: RefreshState, *, now: datetime) -> None:
        self._uow.write(
            update(user_sessions)
            .where(user_sessions.c.id == state.session_id, user_sessions.c.revoked_at.is_(None))
            .values(revoked_at=now, revoked_reason="refresh_reuse"),
            expect=1,
            otherwise=InvalidRefreshToken,
            resource=(_SESSION, state.session_id),
        )

    async def end_all(self, user_id: UUID, *, but: UUID | None = None, reason: str, now: datetime) -> None:
        # A login with the old password may be about to commit, and one statement sees only what was committed before it
        # began. So the user's row, which every login writes, is locked by a statement of its own first.
        await self._uow.begin()
        await self._uow.fetch_one(
            select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True)
        )
        theirs = update(user_sessions).where(
            user_sessions.c.user_id == user_id, user_sessions.c.revoked_at.is_(None)
        )
        if but is not None:
            theirs = theirs.where(user_sessions.c.id != but)
        self._uow.write(theirs.values(revoked_at=now, revoked_reason=reason))

    def purge(self, now: datetime) -> None:
        self._uow.write(delete(user_sessions).where(user_sessions.c.expires_at < now - _KEPT))


def goes_on(lasts: Lifetime, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return "neither revoked nor over by itself" (`Lifetime.is_over`) as a condition on `user_sessions`."""
    conditions = [user_sessions.c.revoked_at.is_(None), user_sessions.c.expires_at > now]
    if lasts.idle is not None:
        conditions.append(user_sessions.c.last_seen_at > now - lasts.idle)
    return and_(*conditions)


def _hash(refresh_token: str) -> bytes:
    # 256 random bits need no salt and no slowness
    return hashlib.sha256(refresh_token.encode("utf-8", "surrogatepass")).digest()


def _account(email: str) -> str:
    """Name an account's row without keeping what people type into the e-mail field, which may be a password."""
    return "account:" + hashlib.sha256(email.strip().lower().encode("utf-8", "surrogatepass")).hexdigest()


def _origin(ip: str | None) -> str | None:
    """Name an address's row; whoever has one IPv6 address has a whole /64 of them."""
    if ip is None:
        return None
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return f"ip:{ip[:64]}"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return f"ip:{ipaddress.ip_network((address, 64), strict=False)}"
    return f"ip:{getattr(address, 'ipv4_mapped', None) or address}"


def _window(limit: RateLimit) -> FailureWindow:
    return FailureWindow(limit.count, limit.seconds)


def _longest(waits: list[int | None]) -> int | None:
    return max((wait for wait in waits if wait is not None), default=None)
