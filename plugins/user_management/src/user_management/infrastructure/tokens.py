"""Access tokens: JSON Web Tokens signed with Ed25519 (RFC 9068, RFC 8725), their keys, and who is behind one."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.types import Options
from sqlalchemy import DateTime, Select, bindparam, func, select

from platform_core.db import Reads
from platform_core.domain import new_id
from platform_core.errors import Unauthenticated
from platform_core.ports import Clock
from platform_core.security import Claim, Principal
from platform_core.settings import KernelSettings
from user_management.application.sessions import lifetime
from user_management.domain import Lifetime
from user_management.infrastructure.logins import goes_on
from user_management.infrastructure.tables import roles, user_roles, user_sessions, users
from user_management.settings import UserManagementSettings, private_key, public_keys

_ALGORITHM: Final = "EdDSA"
_TYPE: Final = "at+jwt"
_HEADER: Final = frozenset({"alg", "kid", "typ"})
"""Whatever else a header brings (`jku`, `x5u`, `jwk`, `crit`) is an attempt to bring keys or rules along."""

_LONGEST_TOKEN: Final = 4096
_SIGNATURE_ONLY: Final[Options] = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""PyJWT leaves types, presence and `typ` to its callers, and has a clock of its own; every claim is checked here."""


class KeySet:
    """The key that signs, and every key whose signatures are believed."""

    def __init__(self, settings: UserManagementSettings) -> None:
        self.private = private_key(settings.signing_key)
        previous = public_keys(settings.previous_keys) if settings.previous_keys else ()
        publics = [self.private.public_key(), *previous]
        self.publics: dict[str, Ed25519PublicKey] = {thumbprint(key): key for key in publics}
        self.kid = thumbprint(publics[0])

    def jwks(self) -> dict[str, Any]:
        """Return the public keys as a JSON Web Key Set (RFC 7517)."""
        return {
            "keys": [
                {"kty": "OKP", "crv": "Ed25519", "x": _x(key), "kid": kid, "use": "sig", "alg": _ALGORITHM}
                for kid, key in self.publics.items()
            ]
        }


class JwtTokens:
    """Makes the two tokens of a session."""

    def __init__(self, keys: KeySet, settings: UserManagementSettings, kernel: KernelSettings) -> None:
        self._keys = keys
        self._lifetime = timedelta(minutes=settings.access_token_minutes)
        self._fixed = {"iss": settings.issuer or kernel.public_url}
        if settings.audience is not None:
            self._fixed["aud"] = settings.audience

    def access(self, *, user_id: UUID, session_id: UUID, now: datetime) -> str:
        claims = {
            **self._fixed,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": int(now.timestamp()),
            "exp": int((now + self._lifetime).timestamp()),
            "jti": str(new_id()),
        }
        return jwt.encode(
            claims, self._keys.private, algorithm=_ALGORITHM, headers={"kid": self._keys.kid, "typ": _TYPE}
        )

    def refresh(self) -> str:
        return secrets.token_urlsafe(32)


class BearerAuthenticator:
    """
    Answers `Authorization: Bearer …`.

    The kernel remembers what `verify` and `standing` said; the latter until it is told otherwise, and it asks for it
    where the primary database answers, because a replica may not have heard of a revocation yet.
    """

    scheme = "bearer"

    def __init__(
        self,
        keys: KeySet,
        settings: UserManagementSettings,
        kernel: KernelSettings,
        clock: Clock,
        reads: Reads,
    ) -> None:
        self._keys, self._clock, self._reads = keys, clock, reads
        self._issuer = settings.issuer or kernel.public_url
        self._audience = settings.audience
        self._leeway = timedelta(seconds=settings.clock_leeway_seconds)
        self._lifetime = lifetime(settings)

    def verify(self, credentials: str) -> Claim:
        claim, not_before = self._check(credentials)
        now = self._clock.now()
        if now >= claim.expires_at + self._leeway or now < not_before - self._leeway:
            raise Unauthenticated
        return claim

    async def standing(self, claim: Claim) -> Principal | None:
        values = {"session": claim.session_id, "owner": claim.user_id, "now": self._clock.now()}
        row = await self._reads.one(_standing(self._lifetime), values)
        if row is None:
            return None
        permissions = frozenset(name for names in row["granted"] or () for name in names)
        return Principal(user_id=claim.user_id, session_id=claim.session_id, permissions=permissions)

    def _check(self, token: str) -> tuple[Claim, datetime]:
        """
        Check everything about a token that does not change with time.

        Returns: the claim, and the moment before which it does not count.
        """
        try:
            if len(token) > _LONGEST_TOKEN:
                raise Unauthenticated
            key = self._key(jwt.get_unverified_header(token))
            claims = jwt.decode(token, key, algorithms=[_ALGORITHM], options=_SIGNATURE_ONLY)
            return self._claim(claims)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthenticated from None

    def _key(self, header: Mapping[str, Any]) -> Ed25519PublicKey:
        kid = header.get("kid")
        key = self._keys.publics.get(kid) if isinstance(kid, str) else None
        if key is None or not _HEADER.issuperset(header) or header.get("typ") != _TYPE:
            raise Unauthenticated
        return key

    def _claim(self, claims: Mapping[str, Any]) -> tuple[Claim, datetime]:
        issued, expires, not_before = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
        if not all(type(moment) is int for moment in (issued, expires, not_before)):
            raise Unauthenticated
        if claims.get("iss") != self._issuer or claims.get("aud") != self._audience:
            raise Unauthenticated
        subject, session, identity = claims.get("sub"), claims.get("sid"), claims.get("jti")
        if not (isinstance(subject, str) and isinstance(session, str) and isinstance(identity, str)):
            raise Unauthenticated
        claim = Claim(UUID(subject), UUID(session), _moment(expires))
        return claim, max(_moment(issued), _moment(not_before))


def thumbprint(key: Ed25519PublicKey) -> str:
    """Return a key's name: its RFC 7638 thumbprint."""
    canonical = json.dumps(
        {"crv": "Ed25519", "kty": "OKP", "x": _x(key)}, separators=(",", ":"), sort_keys=True
    )
    return _base64url(hashlib.sha256(canonical.encode()).digest())


@functools.cache
def _standing(lasts: Lifetime) -> Select[Any]:
    """Select what somebody may do whose session goes on, once: requests wait for this one."""
    granted = (
        select(func.jsonb_agg(roles.c.permissions))
        .select_from(user_roles.join(roles))
        .where(user_roles.c.user_id == users.c.id, roles.c.deleted_at.is_(None))
        .scalar_subquery()
    )
    return (
        select(granted.label("granted"))
        .select_from(user_sessions.join(users))
        .where(
            user_sessions.c.id == bindparam("session"),
            user_sessions.c.user_id == bindparam("owner"),
            goes_on(lasts, bindparam("now", type_=DateTime(timezone=True))),
            users.c.is_active,
            users.c.deleted_at.is_(None),
        )
    )


def _moment(seconds: Any) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _x(key: Ed25519PublicKey) -> str:
    return _base64url(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
