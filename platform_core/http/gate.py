"""Who is asking, whether they may, and how often: everything that is decided before a body is looked at."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import structlog

from platform_core._replica import Replica
from platform_core.cache import Bucket, Gate, Verdict
from platform_core.context import Context, LastWrite, bind
from platform_core.errors import DomainError, Forbidden, RateLimited, Unauthenticated, Unavailable
from platform_core.http.addresses import network_of
from platform_core.http.exchange import Exchange
from platform_core.http.routing import Policy
from platform_core.security import ANONYMOUS, Authenticator, Principal
from platform_core.settings import KernelSettings, RateLimit
from platform_core.standings import StandingCache, Watched

__all__ = ["AuditDenied", "Gatekeeper", "InvalidToken"]

logger = structlog.get_logger("platform_core.http")

AuditDenied = Callable[[Context, str, str], Awaitable[None]]
"""Notes what was denied: context, action (method and route), the problem's slug."""

_CREDENTIALS_BYTES: Final = 8 * 1024
_VERIFIED_COUNT: Final = 10_000
_REJECTED_COUNT: Final = 10_000
_REJECTED_SECONDS: Final = 2.0
"""A session that PostgreSQL does not know is not asked for again for so long: a stolen token is no load generator."""


class InvalidToken(Unauthenticated):
    """A valid access token is needed."""

    challenge = 'Bearer error="invalid_token"'


InvalidToken.slug = Unauthenticated.slug  # clients learn the same, whatever is wrong with the token


@dataclass(frozen=True, slots=True)
class _Verified:
    authenticator: Authenticator
    watched: Watched
    bucket: Bucket
    expires_at: float
    wrote: tuple[str, int] | None
    seen_at: float


class Gatekeeper:
    """
    Lets requests in, or says why not.

    Args:
        settings: the limits.
        gate: counts, and reads cached standings.
        standings: tells which of them still hold.
        authenticators: scheme → how it proves who is asking; called with the first request that brings a token.
        audit_denied: called for bad tokens and missing permissions.
        replica: what callers are shown by it depends on what they wrote.
    """

    def __init__(
        self,
        settings: KernelSettings,
        gate: Gate,
        standings: StandingCache,
        authenticators: Callable[[], Mapping[str, Authenticator]],
        audit_denied: AuditDenied,
        replica: Replica | None = None,
    ) -> None:
        self._settings, self._gate, self._standings = settings, gate, standings
        self._authenticators, self._audit_denied = authenticators, audit_denied
        self._replica = replica if replica is not None and replica.is_configured else None
        self._anonymous, self._user = settings.rate_limit_anonymous, settings.rate_limit_user
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._rejected: OrderedDict[UUID, float] = OrderedDict()

    async def admit(self, exchange: Exchange, policy: Policy) -> Principal:
        """
        Return who is asking.

        Raises:
            RateLimited: too often.
            Unauthenticated: no token, or a bad one, where one is needed.
            Forbidden: the permission is missing.
        """
        values = exchange.headers.get(b"authorization")
        principal = None
        if values is None:
            await self._charge(exchange, policy)
        else:
            principal = await self._authenticate(exchange, policy, values)
        if principal is None and policy.public:
            return ANONYMOUS
        if principal is None:
            await self._refuse(exchange, None if values is None else InvalidToken())
            raise InvalidToken if values is not None else Unauthenticated
        if policy.permission is not None and not principal.can(policy.permission):
            error = Forbidden(f"This needs the permission {policy.permission}.")
            exchange.context = replace(exchange.context, principal=principal)
            await self._refuse(exchange, error)
            raise error
        return principal

    def vigil(self, exchange: Exchange, policy: Policy) -> Vigil:
        """Return the watch over one request that was let in and whose answer does not end by itself."""
        return Vigil(self, self._standings, exchange, policy)

    async def charge_stray(self, exchange: Exchange) -> None:
        """
        Count a request that no route answers.

        Raises:
            RateLimited: too often.
        """
        await self._charge(exchange, Policy())

    async def _authenticate(
        self, exchange: Exchange, policy: Policy, values: list[bytes]
    ) -> Principal | None:
        known = self._verify(values)
        if known is None or self._is_rejected(known.watched.claim.session_id):
            await self._charge(exchange, policy)
            return None
        verdict = await self._charge(exchange, policy, known)
        if known.wrote is not None:
            ago = verdict.wrote_seconds_ago
            # what led to the token, such as registering, left no mark: it was anybody who did it
            wrote_at = math.inf if ago is None else max(time.monotonic() - ago, known.seen_at)
            exchange.context = replace(exchange.context, last_write=LastWrite(wrote_at))
        principal = self._standings.believed(verdict.standing, known.watched)
        if principal is None:
            principal = await self._ask(exchange, known)
        if principal is None:
            self._reject(known.watched.claim.session_id)
            await self._charge(exchange, policy)
        return principal

    def _verify(self, values: list[bytes]) -> _Verified | None:
        header = values[0]
        known = self._verified.get(header)
        if known is not None and len(values) == 1:
            return known if time.time() < known.expires_at else None
        if len(values) > 1 or len(header) > _CREDENTIALS_BYTES:
            return None
        scheme, _, credentials = header.decode("latin-1").partition(" ")
        authenticator = self._authenticators().get(scheme.lower())
        if authenticator is None:
            return None
        try:
            claim = authenticator.verify(credentials.strip())
        except DomainError:
            return None
        bucket = Bucket("user", claim.user_id.hex, self._user)
        wrote = None
        if self._replica is not None:
            wrote = (self._replica.mark_of(claim.user_id), self._replica.window_ms)
        watched = self._standings.watch(claim)
        expires_at = claim.expires_at.timestamp()
        known = _Verified(authenticator, watched, bucket, expires_at, wrote, time.monotonic())
        self._verified[header] = known
        if len(self._verified) > _VERIFIED_COUNT:
            self._verified.popitem(last=False)
        return known

    async def _ask(self, exchange: Exchange, known: _Verified) -> Principal | None:
        read_at = self._standings.database_time()
        # a replica may not have heard of the revocation
        with bind(replace(exchange.context, primary_reads=True)):
            principal = await known.authenticator.standing(known.watched.claim)
        if principal is not None:
            self._standings.remember(known.watched, principal, read_at)
        return principal

    async def _charge(self, exchange: Exchange, policy: Policy, known: _Verified | None = None) -> Verdict:
        buckets = [known.bucket] if known is not None else [self._anonymous_bucket(exchange)]
        if policy.limit is not None:
            limit: RateLimit = getattr(self._settings, f"rate_limit_{policy.limit}")
            buckets.append(Bucket(policy.limit, network_of(exchange.context.ip), limit))
        mark, claim = None, exchange.claim
        if claim is not None:
            exchange.claim = None  # who is charged twice leaves one mark
            mark = claim(None if known is None else known.watched.claim.user_id)
        if known is None:
            verdict = await self._gate.admit(buckets, mark=mark)
        else:
            verdict = await self._gate.admit(buckets, known.watched.keys, known.wrote, mark)
        exchange.rate_headers = _headers(verdict)
        if not verdict.allowed:
            raise RateLimited(retry_after_seconds=verdict.retry_after_seconds)
        if mark is not None:
            exchange.begun_seconds = verdict.begun_seconds
        return verdict

    def _anonymous_bucket(self, exchange: Exchange) -> Bucket:
        return Bucket("anonymous", network_of(exchange.context.ip), self._anonymous)

    async def _refuse(self, exchange: Exchange, error: DomainError | None) -> None:
        if error is None:
            return
        action = f"{exchange.method} {exchange.template}"
        try:
            await self._audit_denied(exchange.context, action, error.slug)
        except Exception:
            logger.exception("a denial could not be audited", action=action)

    def _is_rejected(self, session_id: UUID) -> bool:
        until = self._rejected.get(session_id)
        return until is not None and time.monotonic() < until

    def _reject(self, session_id: UUID) -> None:
        self._rejected[session_id] = time.monotonic() + _REJECTED_SECONDS
        self._rejected.move_to_end(session_id)
        if len(self._rejected) > _REJECTED_COUNT:
            self._rejected.popitem(last=False)


class Vigil:
    """Tells whether the caller of an answer that goes on and on would be let in now, too."""

    def __init__(
        self, gatekeeper: Gatekeeper, standings: StandingCache, exchange: Exchange, policy: Policy
    ) -> None:
        self._gatekeeper, self._standings = gatekeeper, standings
        self._exchange, self._policy = exchange, policy
        values = exchange.headers.get(b"authorization")
        self._known = None if values is None else gatekeeper._verify(values)  # the same room
        self._read_at = standings.database_time() or 0.0

    async def holds(self) -> bool:
        """
        Tell whether token and session still work, and the permission is still there.

        PostgreSQL is asked only when something was revoked since, or revocations cannot be heard.
        """
        known = self._known
        if known is None or time.time() >= known.expires_at:
            return self._policy.public
        if not self._standings.may_have_changed(known.watched, self._read_at):
            return True
        read_at = self._standings.database_time()
        try:
            principal = await self._gatekeeper._ask(self._exchange, known)
        except Unavailable:
            return True  # nor can anything have been revoked while the database is away
        self._read_at = self._read_at if read_at is None else read_at
        permission = self._policy.permission
        return principal is not None and (permission is None or principal.can(permission))


_policies: dict[tuple[tuple[str, RateLimit], ...], bytes] = {}


def _headers(verdict: Verdict) -> tuple[tuple[bytes, bytes], ...]:
    limits = tuple((allowance.bucket.policy, allowance.bucket.limit) for allowance in verdict.allowances)
    policy = _policies.get(limits)
    if policy is None:
        text = ", ".join(f'"{name}";q={limit.count};w={limit.seconds}' for name, limit in limits)
        policy = _policies[limits] = text.encode()
    left = ", ".join(f'"{a.bucket.policy}";r={a.remaining};t={a.reset_seconds}' for a in verdict.allowances)
    return ((b"ratelimit-policy", policy), (b"ratelimit", left.encode()))
