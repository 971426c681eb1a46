"""
What the kernel remembers of sessions, and when it stops believing it.

PostgreSQL knows who may do what; Redis keeps the answer for a minute. An entry is believed only while this process
listens to PostgreSQL for revocations, and only if it was read after every revocation that concerns it:

    command ── UPDATE sessions … ; NOTIFY ──commit──► every process: "before now, nothing about this session counts"

Times are the database's clock throughout, so skewed machines do not matter. While a process does not listen (start,
lost connection), it asks PostgreSQL each time; when it listens again, nothing that was cached before counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

import orjson
import psycopg
import structlog
from redis.exceptions import RedisError

from platform_core._pools import libpq_url
from platform_core._uow import SqlUnitOfWork
from platform_core.cache import Redis, RedisAway
from platform_core.security import Claim, Principal
from platform_core.settings import KernelSettings

__all__ = ["CHANNEL", "Revocation", "StandingCache", "UowStandings", "Watched"]

logger = structlog.get_logger("platform_core.standings")

CHANNEL: Final = "platform_standings"

TTL_SECONDS: Final = 60
"""How long Redis keeps a standing."""

_HEARTBEAT_SECONDS: Final = 2.0
_HEARTBEAT_TIMEOUT_SECONDS: Final = 2.0
_STALE_SECONDS: Final = 6.0
"""Without a heartbeat for so long, the connection may be dead and revocations may be missed."""

_NOTIFY_GUARD_SECONDS: Final = 1.0
"""Added to the time of a revocation: more than the clock estimates of two processes can differ by."""

_RECONNECT_GUARD_SECONDS: Final = 10.0
"""The same after a connection was lost: the database may have moved to a machine whose clock is behind."""

_RETRY_SECONDS: Final = 0.25
_MARKS_COUNT: Final = 50_000
_IDS_PER_NOTE_COUNT: Final = 150
"""A NOTIFY carries less than 8,000 bytes."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """Whose standing has to be read anew."""

    sessions: tuple[UUID, ...] = ()
    users: tuple[UUID, ...] = ()
    everybody: bool = False

    def notes(self) -> Iterable[str]:
        """Yield NOTIFY payloads, each short enough."""
        if self.everybody:
            yield orjson.dumps({"everybody": True}).decode()
            return
        for name, identities in (("sessions", self.sessions), ("users", self.users)):
            for start in range(0, len(identities), _IDS_PER_NOTE_COUNT):
                yield orjson.dumps({name: identities[start : start + _IDS_PER_NOTE_COUNT]}).decode()

    @classmethod
    def parse(cls, note: str) -> Revocation:
        """Read a payload; one that makes no sense revokes everybody, to be on the safe side."""
        try:
            values = orjson.loads(note)
            sessions = tuple(UUID(value) for value in values.get("sessions", ()))
            users = tuple(UUID(value) for value in values.get("users", ()))
            return cls(sessions, users, bool(values.get("everybody", False)))
        except (ValueError, AttributeError, TypeError):
            return cls(everybody=True)


class UowStandings:
    """The port `Standings` of one unit of work: the NOTIFY is sent by the statement that commits."""

    def __init__(self, uow: SqlUnitOfWork) -> None:
        self._uow = uow

    def revoke(
        self, *, sessions: Iterable[UUID] = (), users: Iterable[UUID] = (), everybody: bool = False
    ) -> None:
        """Make every process re-read the standing of these once the running command has committed."""
        revocation = Revocation(tuple(sessions), tuple(users), everybody)
        for note in revocation.notes():
            self._uow.notify(CHANNEL, note)
        self._uow.revoked.append(revocation)


@dataclass(slots=True)
class Watched:
    """
    One claim, and the last entry that was seen of its standing.

    Attributes:
        session, user: how revocations name them.
        keys: where the standing is kept in Redis, then the marks that void it.
        entry, read_at, principal: what was read last, so that the same bytes are parsed once.
    """

    claim: Claim
    session: str
    user: str
    keys: tuple[str, ...]
    entry: bytes | None = None
    read_at: float = 0.0
    principal: Principal | None = None


class Guest(Protocol):
    """
    Somebody else who wants to hear notes of PostgreSQL, without a connection of their own.

    Attributes:
        channel: which ones.
    """

    channel: str

    async def look(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Read what notes of the past have told; called whenever the connection was made anew, after LISTEN."""
        ...

    def hear(self, note: str) -> None:
        """Take in one note."""
        ...


class StandingCache:
    """
    Standings by session, in Redis, with this process's knowledge of what has been revoked.

    Args:
        settings: the primary database's address.
        redis: where entries are kept.
        namespace: first part of every key.
        guests: hear their own notes on the same connection.
        reconnect_guard_seconds: after (re)connecting, entries count only when they are so much younger.
    """

    def __init__(
        self,
        settings: KernelSettings,
        redis: Redis,
        *,
        namespace: str = "platform",
        guests: Iterable[Guest] = (),
        reconnect_guard_seconds: float = _RECONNECT_GUARD_SECONDS,
    ) -> None:
        self._guests = {guest.channel: guest for guest in guests}
        self._settings, self._redis = settings, redis
        self._reconnect_guard_seconds = reconnect_guard_seconds
        self._prefix = f"{namespace}:standing:"
        self._marks: dict[str, float] = {}
        self._everybody = 0.0
        self._clock: tuple[float, float] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._listening = False
        self._ready = asyncio.Event()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────

    async def start(self, *, wait_seconds: float = 1.0) -> None:
        """Begin to listen; a database that is away is tried again in the background."""
        self._listener = asyncio.create_task(self._listen_always(), name="platform_standings")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await self._ready.wait()

    async def stop(self) -> None:
        """Stop listening."""
        task, self._listener = self._listener, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._ready.clear()  # a second start waits for its own listener

    @property
    def is_trusted(self) -> bool:
        """Whether cached entries count at all."""
        return (
            self._listening and self._clock is not None and time.monotonic() - self._clock[1] < _STALE_SECONDS
        )

    def database_time(self) -> float | None:
        """
        Return the database's clock, seconds since 1970, at most a round trip behind and never ahead.

        Returns: None before the first connection.
        """
        if self._clock is None:
            return None
        at, seen = self._clock
        return at + (time.monotonic() - seen)

    # ── entries ──────────────────────────────────────────────────────────────────────────────────

    def watch(self, claim: Claim) -> Watched:
        """Return what has to be known of a claim's standing; whoever keeps it asks cheaper next time."""
        prefix, session, user = self._prefix, _session(claim.session_id), _user(claim.user_id)
        keys = (
            f"{prefix}{session}",
            f"{prefix}mark:{session}",
            f"{prefix}mark:{user}",
            f"{prefix}mark:everybody",
        )
        return Watched(claim, session, user, keys)

    def believed(self, entry: bytes | None, watched: Watched) -> Principal | None:
        """Return the principal of a stored entry, unless it may be out of date."""
        now = self.database_time()
        if entry is None or now is None or not self.is_trusted:
            return None
        if entry != watched.entry:
            watched.read_at, watched.principal = _parse(entry, watched.claim)
            watched.entry = entry
        return watched.principal if self._holds(watched, now) else None

    def may_have_changed(self, watched: Watched, since: float) -> bool:
        """
        Tell whether a standing that was read at `since` may be another one now.

        Args:
            since: `database_time()` from before it was read.
        """
        marks = self._marks
        latest = max(self._everybody, marks.get(watched.session, 0.0), marks.get(watched.user, 0.0))
        return not self.is_trusted or latest >= since

    def remember(self, watched: Watched, principal: Principal, read_at: float | None) -> None:
        """
        Keep a standing for others.

        Args:
            read_at: `database_time()` from before PostgreSQL was asked.
        """
        claim = watched.claim
        if read_at is None or principal.user_id != claim.user_id or principal.session_id != claim.session_id:
            return
        body = orjson.dumps(
            {
                "user": principal.user_id,
                "session": principal.session_id,
                "permissions": sorted(principal.permissions),
                "label": principal.label,
            }
        )
        self._redis.send("SET", watched.keys[0], b"%.6f|%b" % (read_at, body), "EX", TTL_SECONDS)

    async def forget(self, revocations: Iterable[Revocation]) -> None:
        """
        Make cached entries void right after the commit, before the caller gets an answer.

        With Redis away there is nothing to void, and the NOTIFY of the commit keeps what it remembers from counting.
        """
        for revocation in revocations:
            now = self.database_time()
            mark = (time.time() + _RECONNECT_GUARD_SECONDS) if now is None else now + _NOTIFY_GUARD_SECONDS
            self._void(revocation, mark)
            names = [*map(_session, revocation.sessions), *map(_user, revocation.users)]
            if revocation.everybody:
                names = ["everybody"]
            value, expiry = b"%.6f" % mark, TTL_SECONDS * 3
            with contextlib.suppress(RedisAway, RedisError):
                await asyncio.gather(
                    *(self._redis.call("SET", f"{self._prefix}mark:{n}", value, "EX", expiry) for n in names)
                )

    # ── what has been revoked ────────────────────────────────────────────────────────────────────

    def _holds(self, watched: Watched, now: float) -> bool:
        read_at, marks = watched.read_at, self._marks
        if read_at > now + _NOTIFY_GUARD_SECONDS or now - read_at > TTL_SECONDS:
            return False  # from a clock that has been set back since, or kept for longer than it should
        return read_at > max(self._everybody, marks.get(watched.session, 0.0), marks.get(watched.user, 0.0))

    def _void(self, revocation: Revocation, mark: float) -> None:
        if revocation.everybody or len(self._marks) > _MARKS_COUNT:
            self._everybody = max(self._everybody, mark)
            self._marks.clear()
            return
        for name in (*map(_session, revocation.sessions), *map(_user, revocation.users)):
            self._marks[name] = max(mark, self._marks.get(name, 0.0))

    def _prune(self, now: float) -> None:
        # no entry that is older than its time to live is believed anyway
        horizon = now - TTL_SECONDS * 2
        self._marks = {name: mark for name, mark in self._marks.items() if mark > horizon}

    # ── listening ────────────────────────────────────────────────────────────────────────────────

    async def _listen_always(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError) as error:
                if self._listening:
                    logger.warning(
                        "revocations cannot be heard; asking the database", cause=type(error).__name__
                    )
            finally:
                self._listening = False
            await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            libpq_url(self._settings.database_url.get_secret_value()),
            autocommit=True,
            application_name="platform/standings",
            connect_timeout=self._settings.database_connect_timeout_seconds,
        )
        async with connection:
            await self._hear(connection)

    async def _hear(self, connection: psycopg.AsyncConnection[Any]) -> None:
        for channel in (CHANNEL, *self._guests):
            await connection.execute(f"LISTEN {channel}".encode())
        for guest in self._guests.values():
            await guest.look(connection)
        now = await self._set_clock(connection)
        # revocations from before this moment were not heard: nothing that was read before it counts
        self._everybody = max(self._everybody, now + self._reconnect_guard_seconds)
        self._listening = True
        self._ready.set()
        while True:
            async for note in connection.notifies(timeout=_HEARTBEAT_SECONDS):
                if note.channel == CHANNEL:
                    self._hear_note(note.payload)
                else:
                    self._guests[note.channel].hear(note.payload)
            self._prune(await self._set_clock(connection))

    def _hear_note(self, payload: str) -> None:
        now = self.database_time()
        assert now is not None  # noqa: S101  # the clock is set before anything is heard
        # the commit lies before this moment, so whatever was read after it has seen it
        self._void(Revocation.parse(payload), now + _NOTIFY_GUARD_SECONDS)

    async def _set_clock(self, connection: psycopg.AsyncConnection[Any]) -> float:
        async with asyncio.timeout(_HEARTBEAT_TIMEOUT_SECONDS):
            cursor = await connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
            row = await cursor.fetchone()
        assert row is not None  # noqa: S101  # a SELECT without FROM has one row
        # taken after the answer: the true time can only be later, never earlier, than what is made of it
        self._clock = (float(row[0]), time.monotonic())
        return self._clock[0]


def _parse(entry: bytes, claim: Claim) -> tuple[float, Principal | None]:
    stamp, _, body = entry.partition(b"|")
    try:
        read_at, values = float(stamp), orjson.loads(body)
        user_id, session_id = UUID(values["user"]), UUID(values["session"])
        if (user_id, session_id) != (claim.user_id, claim.session_id):
            return 0.0, None
        return read_at, Principal(user_id, session_id, frozenset(values["permissions"]), values["label"])
    except (ValueError, KeyError, TypeError):
        return 0.0, None


def _session(identity: UUID) -> str:
    return f"session:{identity}"


def _user(identity: UUID) -> str:
    return f"user:{identity}"
