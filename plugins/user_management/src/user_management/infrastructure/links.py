"""Mailed links: rows say that a request is open, the token is derived when the mail is written."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Select, Text, any_, bindparam, delete, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from platform_core.db import Reads, UnitOfWork
from platform_core.ports import Clock, Keys
from platform_core.settings import KernelSettings
from user_management.application.accounts import INVITATION, PASSWORD_RESET, VERIFICATION
from user_management.domain import InvalidToken
from user_management.infrastructure.tables import mailed_links, users
from user_management.settings import UserManagementSettings

_KEPT: Final = timedelta(days=7)


class LinkTokens:
    """
    Derives tokens: base64url(id) . base64url(HMAC-SHA256(key of the purpose, id)).

    Nothing in the database, an event or a job leads to a token without the platform's secret key.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = {
            purpose: keys.derive(f"user_management.{purpose}")
            for purpose in (VERIFICATION, PASSWORD_RESET, INVITATION)
        }

    def make(self, purpose: str, link_id: UUID) -> str:
        """Return the token of a request."""
        signature = hmac.digest(self._keys[purpose], link_id.bytes, "sha256")
        return f"{_encode(link_id.bytes)}.{_encode(signature)}"

    def read(self, token: str, purposes: Collection[str]) -> tuple[str, UUID]:
        """
        Return the purpose and the request of a token.

        Raises:
            InvalidToken: it was not made here for one of `purposes`.
        """
        encoded, _, _ = token.partition(".")
        try:
            link_id = UUID(bytes=base64.b64decode(encoded + "==", altchars=b"-_", validate=True))
        except ValueError:
            raise InvalidToken from None
        given = token.encode("utf-8", "surrogatepass")
        for purpose in purposes:
            if hmac.compare_digest(self.make(purpose, link_id).encode(), given):
                return purpose, link_id
        raise InvalidToken


class PublicLinks:
    """`MailLinks`: addresses below `PLATFORM_PUBLIC_URL`, never below a Host header."""

    def __init__(
        self,
        tokens: LinkTokens,
        settings: UserManagementSettings,
        kernel: KernelSettings,
        reads: Reads,
        clock: Clock,
    ) -> None:
        self._tokens, self._reads, self._clock = tokens, reads, clock
        base = kernel.public_url.rstrip("/")
        self._verify, self._reset = base + settings.verify_email_page, base + settings.reset_password_page

    async def is_open(self, request_id: UUID) -> bool:
        return await self._reads.one(_open(request_id, self._clock.now())) is not None

    def verification_link(self, verification_id: UUID) -> str:
        return f"{self._verify}?token={self._tokens.make(VERIFICATION, verification_id)}"

    def password_reset_link(self, reset_id: UUID) -> str:
        return f"{self._reset}?token={self._tokens.make(PASSWORD_RESET, reset_id)}"

    def invitation_link(self, invitation_id: UUID) -> str:
        return f"{self._reset}?token={self._tokens.make(INVITATION, invitation_id)}"


_ADD: Final = insert(mailed_links).values(
    {name: bindparam(name) for name in ("id", "user_id", "purpose", "email", "created_at", "expires_at")}
)


class SqlMailedLinks:
    """Requests that are answered by following a mailed link."""

    def __init__(self, uow: UnitOfWork, tokens: LinkTokens) -> None:
        self._uow, self._tokens = uow, tokens

    def add(
        self, link_id: UUID, *, user_id: UUID, purpose: str, email: str, now: datetime, expires_at: datetime
    ) -> None:
        values = {
            "id": link_id,
            "user_id": user_id,
            "purpose": purpose,
            "email": email,
            "created_at": now,
            "expires_at": expires_at,
        }
        self._uow.write(_ADD, values)

    async def read(self, token: str, purposes: Collection[str], now: datetime) -> tuple[UUID, UUID]:
        purpose, link_id = self._tokens.read(token, purposes)
        row = await self._uow.fetch_one(_open(link_id, now).where(mailed_links.c.purpose == purpose))
        if row is None:
            raise InvalidToken
        return link_id, row["user_id"]

    def spend(self, link_id: UUID, now: datetime) -> None:
        self._uow.write(
            update(mailed_links)
            .where(mailed_links.c.id == link_id, mailed_links.c.spent_at.is_(None))
            .values(spent_at=now),
            expect=1,
            otherwise=InvalidToken,
        )

    def revoke(
        self, user_id: UUID, purposes: Collection[str], *, but: UUID | None = None, now: datetime
    ) -> None:
        open_ones = update(mailed_links).where(
            mailed_links.c.user_id == user_id,
            mailed_links.c.purpose == any_(literal(list(purposes), ARRAY(Text))),
            mailed_links.c.spent_at.is_(None),
        )
        if but is not None:
            open_ones = open_ones.where(mailed_links.c.id != but)
        self._uow.write(open_ones.values(spent_at=now))

    async def count_since(self, user_id: UUID, purpose: str, since: datetime) -> int:
        await self._uow.begin()
        # a statement of its own: the count below must begin after whoever held the lock has committed
        await self._uow.fetch_one(
            select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True)
        )
        row = await self._uow.fetch_one(
            select(func.count().label("count")).where(
                mailed_links.c.user_id == user_id,
                mailed_links.c.purpose == purpose,
                mailed_links.c.created_at > since,
            )
        )
        return int(row["count"]) if row else 0

    def purge(self, now: datetime) -> None:
        self._uow.write(delete(mailed_links).where(mailed_links.c.expires_at < now - _KEPT))


def _open(link_id: UUID, now: datetime) -> Select[tuple[UUID]]:
    """Select whose request it is, if its link works."""
    return (
        select(mailed_links.c.user_id)
        .select_from(mailed_links.join(users))
        .where(
            mailed_links.c.id == link_id,
            mailed_links.c.spent_at.is_(None),
            mailed_links.c.expires_at > now,
            mailed_links.c.email == users.c.email,
        )
    )


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
