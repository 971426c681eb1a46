"""
Redis on the path of a request: one connection, short time-outs, a breaker, and the rate limits that need it.

Redis only makes requests cheaper. Whatever is asked of it here has an answer without it: limits are then counted in
this process, and sessions are read from PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from pydantic import SecretStr
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from platform_core.errors import OperationError
from platform_core.settings import RateLimit

__all__ = ["Allowance", "Bucket", "Gate", "LocalLimiter", "Redis", "RedisAway", "Script", "Verdict"]

logger = structlog.get_logger("platform_core.cache")

_BATCH_COUNT: Final = 256
"""Most commands that are sent before their answers are read."""


_COMPLAINT_SECONDS: Final = 10.0


class RedisAway(OperationError):
    """Redis did not answer in time, or did not a moment ago."""


class Script:
    """A Lua script, known to Redis by its digest."""

    def __init__(self, source: str) -> None:
        self.source = source.strip()
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class Redis:
    """
    One connection on which the commands of every concurrent request travel together.

    Commands that are issued while others are under way go out in one packet afterwards: less work per request than a
    pool has, one time-out per packet, and a cancelled request leaves nothing behind that another could read.

    After a failure the breaker stays open for a moment, so that a Redis which swallows packets costs one time-out per
    moment and process, not one per request; then one packet is let through to see whether it is back.

    Args:
        url: `redis://`, `rediss://` or `unix://`; read anew for each connection, so that it may rotate.
        timeout_seconds: for connecting and for each packet, all in all.
        cooldown_seconds: how long the breaker stays open.
    """

    def __init__(
        self, url: SecretStr, *, timeout_seconds: float = 0.2, cooldown_seconds: float = 1.0
    ) -> None:
        self._url = url
        self._timeout_seconds, self._cooldown_seconds = timeout_seconds, cooldown_seconds
        self._connection: AbstractConnection | None = None
        self._queue: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None
        self._open_until = 0.0
        self._probing = False
        self.failures_count = 0

    @property
    def is_available(self) -> bool:
        """Whether the last attempt went well."""
        return self._open_until == 0.0

    async def call(self, *command: Any) -> Any:
        """
        Send one command and return its answer, bytes undecoded.

        Raises:
            RedisAway: no answer in time, or none a moment ago.
            RedisError: Redis understood and refused.
        """
        if self._open_until:
            if self._probing or time.monotonic() < self._open_until:
                raise RedisAway
            self._probing = True
        return await self._enqueue(command)

    async def evaluate(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script by its digest, or by its source where Redis does not know it (yet, or any more)."""
        try:
            return await self.call("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.call("EVAL", script.source, len(keys), *keys, *arguments)

    def send(self, *command: Any) -> None:
        """Send one command whose answer does not matter, before any later one; nothing is raised."""
        if self.is_available:
            self._enqueue(command).add_done_callback(_ignore)

    async def ping(self) -> None:
        """
        Ask for a sign of life.

        Raises:
            RedisAway: there is none.
        """
        try:
            await self.call("PING")
        except RedisError as error:
            raise RedisAway(type(error).__name__) from error

    async def is_cluster(self) -> bool:
        """Tell whether it is a node of a cluster; one that does not say so is taken for none."""
        try:
            return b"cluster_enabled:1" in await self.call("INFO", "cluster")
        except (RedisAway, RedisError):
            return False

    async def close(self) -> None:
        """Close the connection; what was not answered yet fails."""
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender
        await self._disconnect()

    def _enqueue(self, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append((command, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return answer

    async def _send_all(self) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue[:_BATCH_COUNT], self._queue[_BATCH_COUNT:]
                await self._deliver(batch)
        finally:
            self._sender = None
            if self._queue:
                self._fail(self._queue, RedisAway())
                self._queue = []

    async def _deliver(self, batch: list[tuple[tuple[Any, ...], asyncio.Future[Any]]]) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answers = await self._exchange([command for command, _ in batch])
        except Exception as error:  # noqa: BLE001  # an address that makes no sense keeps Redis away, too
            await self._trip(batch, error)
            return
        except BaseException:
            await self._disconnect()
            self._fail(batch, RedisAway())
            raise
        if self._open_until:
            logger.info("redis is back")
        self._open_until, self._probing = 0.0, False
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if waiting.done():
                continue
            if isinstance(answer, Exception):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)

    async def _exchange(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        if self._connection is not None:
            try:
                return await self._round_trip(self._connection, commands)
            except RedisConnectionError:
                # an idle connection may have been closed at the other end; a new one tells whether Redis is there
                await self._disconnect()
        self._connection = await self._connect()
        return await self._round_trip(self._connection, commands)

    async def _round_trip(self, connection: AbstractConnection, commands: list[tuple[Any, ...]]) -> list[Any]:
        await connection.send_packed_command([b"".join(map(_packed, commands))], check_health=False)
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await connection.read_response(disable_decoding=True))
            except RedisConnectionError:
                raise
            except RedisError as refusal:
                answers.append(refusal)
        return answers

    async def _connect(self) -> AbstractConnection:
        pool = ConnectionPool.from_url(
            self._url.get_secret_value(),
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,  # one time-out around the whole packet is enough, and cheaper
            socket_connect_timeout=self._timeout_seconds,
        )
        connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
        return connection

    async def _trip(self, batch: list[tuple[tuple[Any, ...], asyncio.Future[Any]]], error: Exception) -> None:
        self.failures_count += 1
        if not self._open_until:
            logger.warning("redis is away", cause=type(error).__name__)
        self._open_until, self._probing = time.monotonic() + self._cooldown_seconds, False
        waiting, self._queue = [*batch, *self._queue], []
        self._fail(waiting, RedisAway(type(error).__name__))
        await self._disconnect()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    @staticmethod
    def _fail(batch: list[tuple[tuple[Any, ...], asyncio.Future[Any]]], error: RedisAway) -> None:
        for _, waiting in batch:
            if not waiting.done():
                waiting.set_exception(error)


def _packed(command: tuple[Any, ...]) -> bytes:
    """Write one command as Redis reads it; redis-py's own way to do this takes ten times as long."""
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        raw = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def _ignore(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()


# ── rate limits ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Bucket:
    """
    One thing that is counted.

    Attributes:
        policy: the limit's name in the `RateLimit` header.
        owner: whose requests are counted: a user's id or a network address.
        limit: how many in which time.
    """

    policy: str
    owner: str
    limit: RateLimit


@dataclass(frozen=True, slots=True)
class Mark:
    """
    By what a request is known when it comes again.

    Attributes:
        key: in Redis.
        seconds: how long it is remembered.
    """

    key: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of one bucket: how many requests, and seconds until its window ends."""

    bucket: Bucket
    remaining: int
    reset_seconds: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What the gate says of one request.

    Attributes:
        allowed: whether every bucket had room; if not, none was charged.
        retry_after_seconds: when the fullest bucket has room again; 0 when allowed.
        allowances: in the order asked for.
        standing: the cached standing that was asked for, as it was stored.
        wrote_seconds_ago: since the caller's last write; infinite: not lately; None: nobody knows, or nobody asked.
        begun_seconds: how long ago a request with the same mark came; negative for the first one, None when nobody
            knows.
    """

    allowed: bool
    retry_after_seconds: int
    allowances: tuple[Allowance, ...]
    standing: bytes | None = None
    wrote_seconds_ago: float | None = None
    begun_seconds: int | None = None


# Two fixed windows, the older one weighted by how much of it the sliding window still covers. Redis keeps the time, so
# that every process counts alike. Stored per bucket: "window:previous:current". Keys: the buckets, then as asked for:
# the standing and what voids it, the note of the caller's last write, the mark of the request (what is refused leaves
# none). Answered as one text, because one is read faster than a list: "allowed wait begun (remaining reset)…
# [milliseconds since the write]", a line feed, the standing.
_GATE: Final = Script(r"""
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local buckets, marked = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer = {1, 0, -1}
local counts = {}
for i = 1, buckets do
  local limit, period = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local window = math.floor(now / period)
  local elapsed = now - window * period
  local w, p, c = string.match(redis.call('GET', KEYS[i]) or '', '^(%d+):(%d+):(%d+)$')
  local previous, current = 0, 0
  if tonumber(w) == window then
    previous, current = tonumber(p), tonumber(c)
  elseif tonumber(w) == window - 1 then
    previous = tonumber(c)
  end
  local left = limit - current - previous * (1 - elapsed / period)
  if left < 1 then
    local wait
    if current < limit then
      wait = period * (1 - (limit - 1 - current) / previous) - elapsed
    else
      wait = period - elapsed + period * (1 - (limit - 1) / current)
    end
    answer[1] = 0
    answer[2] = math.max(answer[2], math.ceil(wait), 1)
  end
  counts[i] = {window, previous, current, period, left, math.ceil(period - elapsed)}
end
for i = 1, buckets do
  local count = counts[i]
  if answer[1] == 1 then
    redis.call('SET', KEYS[i], string.format('%d:%d:%d', count[1], count[2], count[3] + 1), 'EX', count[4] * 2)
    count[5] = count[5] - 1
  end
  answer[#answer + 1] = math.max(0, math.floor(count[5]))
  answer[#answer + 1] = count[6]
end
local last = #KEYS
if marked > 0 then
  if answer[1] == 1 then
    local begun = redis.call('SET', KEYS[last], string.format('%.3f', now), 'NX', 'GET', 'EX', marked)
    if begun then answer[3] = math.max(0, math.floor(now - begun)) end
  end
  last = last - 1
end
local window = tonumber(ARGV[2 * buckets + 3])
if window then
  local left = redis.call('PTTL', KEYS[last])
  answer[#answer + 1] = left >= 0 and math.max(0, window - left) or -1
  last = last - 1
end
local entry = ''
if last > buckets then
  entry = redis.call('GET', KEYS[buckets + 1]) or ''
  local read_at = tonumber(string.match(entry, '^([%d%.]+)|')) or 0
  for i = buckets + 2, last do
    local mark = entry ~= '' and redis.call('GET', KEYS[i])
    if mark and tonumber(mark) >= read_at then entry = '' end
  end
end
return table.concat(answer, ' ') .. '\n' .. entry
""")


class Gate:
    """
    One round trip per request: charge its rate limits and read its session's cached standing.

    Args:
        redis: counts for all processes together.
        namespace: first part of every key, so that several platforms can share one Redis.
    """

    def __init__(self, redis: Redis, *, namespace: str = "platform") -> None:
        self.redis = redis
        self._prefix = f"{namespace}:rate:"
        self._local = LocalLimiter()
        self._complained_at = -_COMPLAINT_SECONDS

    async def admit(
        self,
        buckets: Sequence[Bucket],
        standing_keys: Sequence[str] = (),
        wrote: tuple[str, int] | None = None,
        mark: Mark | None = None,
    ) -> Verdict:
        """
        Charge every bucket with one request, or none when one of them is full.

        Args:
            standing_keys: where the standing is stored, then the marks that make older entries void.
            wrote: where it is noted that the caller wrote, and for how many milliseconds.
            mark: left by the first request that is let in; later ones are told how long ago that was.

        Returns: a verdict in any case; without Redis each process counts by itself.
        """
        arguments: list[Any] = [len(buckets), mark.seconds if mark is not None else 0]
        for bucket in buckets:
            arguments += (bucket.limit.count, bucket.limit.seconds)
        keys = [f"{self._prefix}{bucket.policy}:{bucket.owner}" for bucket in buckets]
        keys += standing_keys
        if wrote is not None:
            keys.append(wrote[0])
            arguments.append(wrote[1])
        if mark is not None:
            keys.append(mark.key)
        try:
            answer = await self.redis.evaluate(_GATE, keys, arguments)
        except RedisAway:
            return self._local.admit(buckets)
        except RedisError as error:  # out of memory, read-only, still loading, …
            self._complain(error)
            return self._local.admit(buckets)
        head, _, entry = answer.partition(b"\n")
        allowed, retry_after, begun, *left = map(int, head.split())
        allowances = tuple(
            Allowance(bucket, left[2 * index], left[2 * index + 1]) for index, bucket in enumerate(buckets)
        )
        ago = None
        if wrote is not None:
            ago = left[-1] / 1000 if left[-1] >= 0 else math.inf
        return Verdict(
            allowed == 1, retry_after, allowances, entry or None, ago, None if mark is None else begun
        )

    def _complain(self, error: RedisError) -> None:
        self.redis.failures_count += 1
        if time.monotonic() - self._complained_at >= _COMPLAINT_SECONDS:
            self._complained_at = time.monotonic()
            logger.warning("redis refuses to count", error=str(error)[:200])


class LocalLimiter:
    """
    The same limits counted in this process, for the time that Redis is away.

    Args:
        capacity_count: buckets that are remembered; the longest unused one is forgotten first.
        clock: seconds; replaced by tests.
    """

    def __init__(self, capacity_count: int = 20_000, clock: Callable[[], float] = time.time) -> None:
        self._capacity_count, self._clock = capacity_count, clock
        self._counts: OrderedDict[tuple[str, str], tuple[int, int, int]] = OrderedDict()

    def admit(self, buckets: Sequence[Bucket]) -> Verdict:
        """Charge every bucket with one request, or none when one of them is full."""
        now = self._clock()
        states = [self._state(bucket, now) for bucket in buckets]
        retry_after = max((state.wait_seconds for state in states), default=0)
        allowed = retry_after == 0
        allowances = []
        for bucket, state in zip(buckets, states, strict=True):
            if allowed:
                self._remember(bucket, (state.window, state.previous, state.current + 1))
            remaining = max(0, math.floor(state.left - allowed))
            allowances.append(Allowance(bucket, remaining, math.ceil(bucket.limit.seconds - state.elapsed)))
        return Verdict(allowed, retry_after, tuple(allowances))

    def _state(self, bucket: Bucket, now: float) -> _State:
        limit, period = bucket.limit.count, bucket.limit.seconds
        window, elapsed = int(now // period), now % period
        stored_window, previous, current = self._counts.get((bucket.policy, bucket.owner), (window, 0, 0))
        if stored_window != window:
            previous, current = (current if stored_window == window - 1 else 0), 0
        left = limit - current - previous * (1 - elapsed / period)
        wait = 0.0
        if left < 1 and current < limit:
            wait = period * (1 - (limit - 1 - current) / previous) - elapsed
        elif left < 1:
            wait = period - elapsed + period * (1 - (limit - 1) / current)
        return _State(window, elapsed, previous, current, left, max(math.ceil(wait), 1) if left < 1 else 0)

    def _remember(self, bucket: Bucket, counts: tuple[int, int, int]) -> None:
        key = (bucket.policy, bucket.owner)
        self._counts[key] = counts
        self._counts.move_to_end(key)
        while len(self._counts) > self._capacity_count:
            self._counts.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _State:
    window: int
    elapsed: float
    previous: int
    current: int
    left: float
    wait_seconds: int
