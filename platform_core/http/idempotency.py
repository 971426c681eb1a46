"""
`Idempotency-Key`: a repeated POST has its effect once and its answer again.

The key is reserved before the endpoint runs, in Redis where it is at hand: the gate's round trip leaves a mark, and who
left the first one goes ahead. Everybody else, and everybody while Redis is away, asks PostgreSQL. The answer is stored
by the very statement that stores the effect, so there is no moment in which one exists without the other, and whoever
was overtaken meanwhile (a reservation that ran out, a mark that Redis forgot) stores neither and gets that answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg.types.json import Jsonb
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from platform_core._pools import KERNEL, Pools, translated
from platform_core._uow import Write
from platform_core.cache import Mark, Redis
from platform_core.errors import InvalidInput
from platform_core.http.problems import IdempotencyKeyReused, RequestInProgress
from platform_core.ports import Keys

__all__ = ["Answer", "IdempotencyKeys", "Reservation", "fingerprint", "purge_idempotency_keys"]

_LOCK_SECONDS: Final = 20
"""
A reservation whose process died may be taken over after this; one that merely was slow loses its effect then.

It only matters to a client whose request had no effect yet: the answer is stored with the effect, so whoever repeats
what was done gets it at once. Until then they hear 409 with `Retry-After: 1`. Shorter would not be safer but worse: two
patient clients could take a slow request from each other for ever. So it is longer than a request takes (a connection
1.5 s, a statement 10 s, a bucket 5 s), and shorter than the half minute in which the platform is to have recovered.
"""

_KEPT_HEADERS: Final = frozenset(
    {"content-type", "location", "etag", "link", "content-language", "www-authenticate"}
)
_TRIES_COUNT: Final = 3
_MARK_BYTES: Final = 16
_NOT_YET: Final = datetime.min.replace(tzinfo=UTC)

_RESERVE: Final = """
WITH won AS (
  INSERT INTO platform.idempotency_keys AS k (key, module, fingerprint, locked_until)
  VALUES (%(key)s, %(module)s, %(fingerprint)s, clock_timestamp() + make_interval(secs => %(lock)s))
  ON CONFLICT (key) DO UPDATE SET fingerprint = EXCLUDED.fingerprint, locked_until = EXCLUDED.locked_until,
    created_at = now(), status = NULL, headers = NULL, body = NULL
  WHERE (k.status IS NULL AND k.locked_until < clock_timestamp())
     OR k.created_at < now() - make_interval(secs => %(keep)s)
  RETURNING locked_until
)
SELECT TRUE AS won, locked_until, NULL::bytea AS fingerprint, NULL::int2 AS status, NULL::jsonb AS headers,
  NULL::bytea AS body, set_config('synchronous_commit', 'off', true) FROM won
UNION ALL
SELECT FALSE, locked_until, fingerprint, status, headers, body, NULL FROM platform.idempotency_keys
WHERE key = %(key)s AND NOT EXISTS (SELECT FROM won)
"""
"""The commit does not wait for the disk: a reservation that a crash of PostgreSQL takes along had no effect yet."""

_FIND: Final = """
SELECT fingerprint, status, headers, body FROM platform.idempotency_keys
WHERE key = %(key)s AND created_at >= now() - make_interval(secs => %(keep)s)
"""

_STORE: Final = """
INSERT INTO platform.idempotency_keys AS k (key, module, fingerprint, locked_until, status, headers, body)
VALUES (%(key)s, %(module)s, %(fingerprint)s, %(locked_until)s, %(status)s, %(headers)s, %(body)s)
ON CONFLICT (key) DO UPDATE SET fingerprint = EXCLUDED.fingerprint, locked_until = EXCLUDED.locked_until,
  created_at = now(), status = EXCLUDED.status, headers = EXCLUDED.headers, body = EXCLUDED.body
WHERE k.locked_until = EXCLUDED.locked_until OR k.created_at < now() - make_interval(secs => %(keep)s)
"""
"""Touches a row unless the key is somebody else's: `locked_until` says whose it is."""

_RELEASE: Final = (
    "DELETE FROM platform.idempotency_keys"
    " WHERE key = %(key)s AND locked_until = %(locked_until)s AND status IS NULL"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is given again: status, the headers that matter, the body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def of(cls, response: Response) -> Answer:
        """Take what is kept of a finished response."""
        kept = tuple(sorted((k, v) for k, v in response.headers.items() if k in _KEPT_HEADERS))
        return cls(response.status_code, kept, bytes(response.body))

    @property
    def is_final(self) -> bool:
        """Whether trying again would be answered the same: success, and refusals that lie in the request."""
        return self.status < 500 and self.status not in (401, 403, 408, 425, 429)

    def replay(self) -> Response:
        """Return it as an answer to a repeated request."""
        response = Response(self.body, status_code=self.status, headers=dict(self.headers))
        response.headers["Idempotent-Replayed"] = "true"
        if self.status in (204, 304):
            del response.headers["content-length"]
        return response


@dataclass(slots=True)
class Reservation:
    """
    The right to answer for a key, for as long as nobody took it over.

    Attributes:
        digest: of caller, route and key; what the table knows.
        module: whose route it is; its answers go when it does.
        fingerprint: of the request.
        cipher_key: made of the client's own key, which nobody stores.
        locked_until: also the token that proves who holds the reservation.
        mark: where it stands in Redis, and nowhere else yet; None when PostgreSQL has it.
        offered: the answer that goes into the command's statement.
        stored: the same, once that statement was committed.
    """

    digest: bytes
    module: str
    fingerprint: bytes
    cipher_key: bytes
    locked_until: datetime
    mark: str | None = None
    offered: Answer | None = None
    stored: Answer | None = None


class IdempotencyKeys:
    """
    Keys that clients sent, and the answers that they have had.

    Args:
        pools: the table is the kernel's.
        redis: where marks are left.
        keys: answers are encrypted, so that a copy of the database shows none of them.
        hours: how long a key is remembered.
    """

    def __init__(self, pools: Pools, redis: Redis, keys: Keys, hours: float) -> None:
        self._pools, self._redis, self._keep_seconds = pools, redis, hours * 3600
        self._left_behind: dict[bytes, datetime] = {}
        self._secret = keys.derive("idempotency")

    def claim(self, key: str, *, scope: tuple[str, ...]) -> Mark:
        """
        Return the mark that the first request with a key leaves in Redis.

        Args:
            key: as the client sent it.
            scope: caller and route; the same key means something else elsewhere.
        """
        name = hmac.digest(self._secret, _digest(key, scope), "sha256")[:_MARK_BYTES]
        return Mark(f"platform:once:{name.hex()}", max(_LOCK_SECONDS, math.ceil(self._keep_seconds)))

    def unclaim(self, mark: Mark) -> None:
        """Take a mark away: the request was refused before it came to anything."""
        self._redis.send("DEL", mark.key)

    async def reserve(
        self,
        key: str,
        *,
        module: str,
        scope: tuple[str, ...],
        request: bytes,
        mark: Mark | None = None,
        begun_seconds: int | None = None,
    ) -> Reservation | Answer:
        """
        Reserve a key, or return the answer that it has already had.

        Args:
            key, scope: as for `claim`.
            module: whose route it is.
            request: fingerprint of everything that makes the request what it is.
            mark: as `claim` made it, if it was left.
            begun_seconds: what Redis said of it: how long ago the first request came; negative for this one.

        Raises:
            InvalidInput: the key has characters or a length that keys do not have.
            IdempotencyKeyReused: it was used with another request.
            RequestInProgress: the first request is still running.
        """
        if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()) or " " in key:
            raise InvalidInput.of(
                "Idempotency-Key", "is 1 to 255 visible ASCII characters", "key_invalid", where="header"
            )
        await self._release_left_behind()
        digest = _digest(key, scope)
        cipher_key = hmac.digest(self._secret, b"\0".join((digest, key.encode())), "sha256")
        if mark is not None and begun_seconds is not None and begun_seconds < 0:
            locked_until = datetime.now(UTC) + timedelta(seconds=_LOCK_SECONDS)
            return Reservation(digest, module, request, cipher_key, locked_until, mark.key)
        held = Reservation(digest, module, request, cipher_key, _NOT_YET)
        if begun_seconds is not None and begun_seconds < _LOCK_SECONDS:
            answer = await self.earlier(held)
            if answer is None:
                raise RequestInProgress(retry_after_seconds=1)
            return answer
        return await self._reserve_stored(held)

    async def earlier(self, reservation: Reservation) -> Answer | None:
        """
        Return the answer that another request with the same key has had meanwhile.

        Raises:
            IdempotencyKeyReused: it was another request altogether.
        """
        row = await self._one(_FIND, {"key": reservation.digest, "keep": self._keep_seconds})
        return None if row is None or row["status"] is None else self._known(row, reservation)

    async def _reserve_stored(self, held: Reservation) -> Reservation | Answer:
        params = {
            "key": held.digest,
            "module": held.module,
            "fingerprint": held.fingerprint,
            "lock": _LOCK_SECONDS,
            "keep": self._keep_seconds,
        }
        for _ in range(_TRIES_COUNT):
            row = await self._one(_RESERVE, params)
            if row is None:
                await asyncio.sleep(0.01)  # somebody reserved it while we looked; they are visible next time
                continue
            if row["won"]:
                held.locked_until = row["locked_until"]
                return held
            return self._known(row, held)
        raise RequestInProgress(retry_after_seconds=1)

    def store(self, reservation: Reservation, answer: Answer) -> Write:
        """Return the part of a command's statement that stores its answer; it fails when the reservation was lost."""
        reservation.offered = answer
        return Write(_STORE, self._row(reservation, answer), 1, RequestInProgress(retry_after_seconds=1))

    async def finish(self, reservation: Reservation, answer: Answer | None) -> Answer | None:
        """
        Store the answer if it is final and not stored yet, or give the key free.

        Args:
            answer: None when nobody knows how the request ended.

        Returns: what another request with the same key was answered, when that one was first.
        """
        if reservation.stored is not None:
            if answer is not None and answer.is_final and answer != reservation.stored:
                await self._run(_STORE, self._row(reservation, answer))
        elif answer is not None and answer.is_final:
            if not await self._run(_STORE, self._row(reservation, answer)):
                return await self.earlier(reservation)
        elif reservation.mark is not None:
            if datetime.now(UTC) < reservation.locked_until:  # later, somebody else may have taken over
                self._redis.send("DEL", reservation.mark)
        else:
            self._left_behind[reservation.digest] = reservation.locked_until
            await self._release_left_behind()
        return None

    async def _release_left_behind(self) -> None:
        """Give free what failed; what the database was away for is given free with the next request that has a key."""
        for digest, locked_until in list(self._left_behind.items()):
            await self._run(_RELEASE, {"key": digest, "locked_until": locked_until})
            self._left_behind.pop(digest, None)

    def _known(self, row: Mapping[str, Any], asked: Reservation) -> Answer:
        if bytes(row["fingerprint"]) != asked.fingerprint:
            raise IdempotencyKeyReused
        if row["status"] is None:
            raise RequestInProgress(retry_after_seconds=1)
        sealed = bytes(row["body"])
        try:
            body = AESGCM(asked.cipher_key).decrypt(sealed[:12], sealed[12:], asked.digest)
        except InvalidTag:  # the platform's secret key was changed since
            raise IdempotencyKeyReused("The stored answer can no longer be read; use a new key.") from None
        return Answer(row["status"], tuple((name, value) for name, value in row["headers"]), body)

    def _row(self, reservation: Reservation, answer: Answer) -> dict[str, Any]:
        nonce = secrets.token_bytes(12)
        return {
            "key": reservation.digest,
            "module": reservation.module,
            "fingerprint": reservation.fingerprint,
            "locked_until": reservation.locked_until,
            "keep": self._keep_seconds,
            "status": answer.status,
            "headers": Jsonb([list(pair) for pair in answer.headers]),
            "body": nonce + AESGCM(reservation.cipher_key).encrypt(nonce, answer.body, reservation.digest),
        }

    async def _one(self, sql: str, params: dict[str, Any]) -> Mapping[str, Any] | None:
        with translated():
            async with self._pools.commands(KERNEL).connect() as connection:
                rows = await connection.fetch(sql, params)
                return rows[0] if rows else None

    async def _run(self, sql: str, params: dict[str, Any]) -> int:
        with translated():
            async with self._pools.commands(KERNEL).connect() as connection:
                return await connection.run(sql, params)


def _digest(key: str, scope: tuple[str, ...]) -> bytes:
    return hashlib.sha256("\0".join((*scope, key)).encode("utf-8", "surrogatepass")).digest()


async def fingerprint(path: str, query: bytes, *, json: Any, form: FormData | None, body: bytes) -> bytes:
    """
    Return a digest of everything that makes a request what it is.

    JSON counts by its content, not by its spelling; a form by its fields, since clients make up a new multipart
    boundary for each try.
    """
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass") + b"\0" + query + b"\0")
    if form is not None:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                content = await asyncio.to_thread(_file_digest, value)
                digest.update(orjson.dumps([name, value.filename, value.content_type, content]))
            else:
                digest.update(orjson.dumps([name, value]))
    elif json is not None:
        digest.update(orjson.dumps(json, option=orjson.OPT_SORT_KEYS))
    else:
        digest.update(body)
    return digest.digest()


def _file_digest(upload: UploadFile) -> str:
    upload.file.seek(0)
    digest = hashlib.file_digest(upload.file, "sha256").hexdigest()  # type: ignore[arg-type]  # a spooled file reads like a file
    upload.file.seek(0)
    return digest


async def purge_idempotency_keys(pools: Pools, hours: float, *, batch_count: int = 5000) -> int:
    """
    Delete keys whose time is over, in small statements.

    Returns: how many there were.
    """
    deleted = 0
    while True:
        with translated():
            async with pools.commands(KERNEL).connect() as connection:
                count = await connection.run(
                    "DELETE FROM platform.idempotency_keys WHERE key IN (SELECT key FROM platform.idempotency_keys"
                    " WHERE created_at < now() - make_interval(secs => %(keep)s) LIMIT %(batch)s)",
                    {"keep": hours * 3600, "batch": batch_count},
                )
        deleted += count
        if count < batch_count:
            return deleted
