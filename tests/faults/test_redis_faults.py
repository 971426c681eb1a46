"""
Redis stopped, emptied, full, back with old data, or swallowing everything (B8, B9, B10).

PostgreSQL remembers, Redis rings: nothing that counts may depend on it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import redis
from fault_rig.house import Api, House, eventually

from platform_core.testing import PlatformFactory
from platform_core.testing.chaos import RedisServer, black_hole

if TYPE_CHECKING:
    from conftest import NewHouse

Figure = Callable[[str, object], None]

LIMITS = {
    "PLATFORM_RATE_LIMIT_LOGIN_FAILURES_ACCOUNT": "5/5minutes",
    "PLATFORM_RATE_LIMIT_LOGIN_FAILURES_IP": "1000/minute",
}
ME = "/api/v1/users/me"


async def test_b8_without_redis_reads_writes_events_and_strict_limits_go_on(
    new_house: NewHouse, redis_server: RedisServer, record_property: Figure
) -> None:
    """Red when the gate asks Redis without a breaker, and when workers only listen for the bell."""
    async with new_house({"REDIS_URL": redis_server.url, **LIMITS}) as house:
        api, _ = await asyncio.gather(house.api(), house.worker())
        token = await _logged_in(house, api, "ada")
        me = await house.visitor(api.url, token)
        before = await _p95(house, api, me)

        redis_server.stop()

        rises = []
        for _ in range(3):  # other programs of this machine may slow down one round, not all of them
            rises.append(await _p95(house, api, me) - before)
            if rises[-1] <= 0.15:
                break
        record_property("p95 rise without Redis, seconds", round(min(rises), 3))
        assert min(rises) <= 0.15
        assert await _readiness(api) == (200, "degraded", True)
        assert (await api.client.get("/health/live")).status_code == 200
        await house.mark(api.client, "by polling")
        record_property("seconds to settle by polling", round(await house.settled(), 2))
        assert await _lock_out(house, api, "ada") == [401] * 5 + [429, 429]

        redis_server.start()

        back = await eventually(lambda: _is_ready(api), within_seconds=10)
        record_property("seconds from Redis' return to ready", round(back, 2))
        assert (await house.log_in(api.client, "ada")).status_code == 429
        assert (await me.get(ME)).status_code == 200
        await house.check()


async def test_a_process_that_nobody_asks_anything_tells_that_redis_is_back(
    platform: PlatformFactory, redis_server: RedisServer
) -> None:
    """Red when metrics tell how the last request to Redis went, however long ago that was."""
    async with platform(["user_management"], settings={"REDIS_URL": redis_server.url}) as p:
        redis_server.stop()
        await p.client.get("/health/ready")
        assert "platform_redis_up 0.0" in (await p.client.get("/metrics")).text
        redis_server.start()

        async def told() -> bool:
            return "platform_redis_up 1.0" in (await p.client.get("/metrics")).text

        await eventually(told)


async def test_b9_flushing_redis_loses_no_event_no_session_and_no_lock_out(
    new_house: NewHouse, redis_server: RedisServer
) -> None:
    """Red when events wait in the stream instead of in PostgreSQL, and when failures are counted in Redis."""
    settings = {"REDIS_URL": redis_server.url, "PLATFORM_POLL_SECONDS": "3", **LIMITS}
    async with new_house(settings) as house:
        api, _ = await asyncio.gather(house.api(), house.worker())
        token = await _logged_in(house, api, "ada")
        me = await house.visitor(api.url, token)
        assert await _lock_out(house, api, "ada") == [401] * 5 + [429, 429]

        with redis_server.client() as client:
            for number in range(60):
                if number % 20 == 10:
                    client.flushall()
                assert (await house.mark(api.client, f"mark {number}")).status_code == 201
            client.flushall()

        assert (await me.get(ME)).status_code == 200
        assert (await house.log_in(api.client, "ada")).status_code == 429
        await house.check()
        # the bell is hung up again: nobody waits for the next poll, three seconds away
        await eventually(lambda: _rings(house, api))
        await house.check()


async def test_b9_old_data_in_redis_revive_no_revoked_token(
    new_house: NewHouse, redis_server: RedisServer
) -> None:
    """
    A Redis restored from before the logouts believes in sessions that are over.

    Red when processes do not listen for the revocations of others.
    """
    async with new_house({"REDIS_URL": redis_server.url}) as house:
        first, second = await asyncio.gather(house.api(), house.api())
        started_at = time.monotonic()
        await house.register(first.client, "ada")
        tokens = [await _token(house, first, "ada") for _ in range(3)]
        before, away, kept = tokens
        # cached standings count for a process that has listened for ten seconds
        await asyncio.sleep(started_at + 10.5 - time.monotonic())
        for token in tokens:
            assert await _statuses(house, [first, second], token) == [200, 200]
        async with await house.connect(autocommit=False) as connection:
            await connection.execute("LOCK TABLE user_management.user_sessions IN ACCESS EXCLUSIVE MODE")
            for token in tokens:  # nobody can ask PostgreSQL now: these answers come from Redis
                assert await _statuses(house, [first, second], token) == [200, 200]
        with redis_server.client() as client:
            client.save()

        assert await _log_out(house, first, before) == 204
        assert await _statuses(house, [first, second], before) == [401, 401]
        redis_server.stop()
        assert await _log_out(house, second, away) == 204
        assert await _statuses(house, [first, second], away) == [401, 401]
        redis_server.start()
        with redis_server.client() as client:
            assert len(client.keys("*standing:session:*")) == 3
        newcomer = await house.api()
        await asyncio.gather(*(eventually(lambda api=api: _is_ready(api)) for api in (first, second)))

        everywhere = [first, second, newcomer]
        assert await _statuses(house, everywhere, before) == [401, 401, 401]
        assert await _statuses(house, everywhere, away) == [401, 401, 401]
        assert await _statuses(house, everywhere, kept) == [200, 200, 200]


async def test_b9_a_full_redis_stops_nobody(new_house: NewHouse, redis_server: RedisServer) -> None:
    """Red when a refused write to Redis is taken for a failed request."""
    async with new_house({"REDIS_URL": redis_server.url, **LIMITS}) as house:
        api, _ = await asyncio.gather(house.api(), house.worker())
        token = await _logged_in(house, api, "ada")
        with redis_server.client() as client:
            client.config_set("maxmemory", 1)
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("x", "y")
        me = await house.visitor(api.url, token)
        assert (await me.get(ME)).status_code == 200
        for number in range(10):
            assert (await house.mark(api.client, f"mark {number}")).status_code == 201
        assert (await house.register(api.client, "eve")).status_code == 201
        assert (await me.post("/api/v1/auth/logout")).status_code == 204
        assert (await me.get(ME)).status_code == 401
        assert await _lock_out(house, api, "ada") == [401] * 5 + [429, 429]
        await house.check()


@pytest.mark.parametrize("kind", ["accepts and never answers", "never completes a handshake"])
async def test_b10_a_redis_that_swallows_everything_delays_no_request_by_a_second(
    new_house: NewHouse, redis_server: RedisServer, hole: str, kind: str, record_property: Figure
) -> None:
    """Red with the client's own time-outs, and when a breaker lets every request try."""
    url = redis_server.url if kind.startswith("accepts") else hole
    async with new_house({"REDIS_URL": url}) as house:
        api, _ = await asyncio.gather(house.api(), house.worker())
        token = await _logged_in(house, api, "ada")
        me = await house.visitor(api.url, token)
        redis_server.freeze()
        for _ in range(3):  # other programs of this machine may slow down one round, not all of them
            seconds = await _load(house, api, me)
            slowest, median = max(seconds), statistics.median(seconds)
            if slowest < 1 and median < 0.15:
                break
        record_property("slowest and median request, seconds", (round(slowest, 3), round(median, 3)))
        assert slowest < 1
        # a time-out is 0.2 s: most requests met none
        assert median < 0.15
        assert await _readiness(api) == (200, "degraded", True)
        record_property("seconds to settle by polling", round(await house.settled(), 2))
        redis_server.thaw()
        if url == redis_server.url:
            await eventually(lambda: _is_ready(api), within_seconds=10)
        await house.check()


@pytest.fixture
def hole() -> Iterator[str]:
    with black_hole() as url:
        yield url


# ── what they have in common ─────────────────────────────────────────────────────────────────────


async def _logged_in(house: House, api: Api, name: str) -> str:
    assert (await house.register(api.client, name)).status_code == 201
    return await _token(house, api, name)


async def _token(house: House, api: Api, name: str) -> str:
    answer = await house.log_in(api.client, name)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def _statuses(house: House, apis: list[Api], token: str) -> list[int]:
    headers = {"Authorization": f"Bearer {token}"}
    answers = await asyncio.gather(*(api.client.get(ME, headers=headers) for api in apis))
    return [answer.status_code for answer in answers]


async def _log_out(house: House, api: Api, token: str) -> int:
    answer = await api.client.post("/api/v1/auth/logout", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


async def _lock_out(house: House, api: Api, name: str) -> list[int]:
    """Try five wrong passwords, a sixth, and then the right one."""
    tries = [await house.log_in(api.client, name, f"wrong password {number}") for number in range(6)]
    return [answer.status_code for answer in [*tries, await house.log_in(api.client, name)]]


async def _p95(house: House, api: Api, me: httpx2.AsyncClient) -> float:
    return statistics.quantiles(await _load(house, api, me), n=20)[-1]


async def _load(house: House, api: Api, me: httpx2.AsyncClient) -> list[float]:
    """Read and write, three at a time; returns the seconds that each request took."""
    seconds: list[float] = []

    async def timed(request: Awaitable[httpx2.Response]) -> None:
        started = time.perf_counter()
        answer = await request
        seconds.append(time.perf_counter() - started)
        assert answer.is_success, answer.text

    async def client(_number: int) -> None:
        for _ in range(15):
            await timed(me.get(ME))
            await timed(house.mark(api.client, f"mark {time.perf_counter_ns()}"))

    await asyncio.gather(*map(client, range(3)))
    return seconds


async def _readiness(api: Api) -> tuple[int, str, bool]:
    """Return status code, status, and whether Redis is what is missing."""
    answer = await api.client.get("/health/ready")
    body: dict[str, Any] = answer.json()
    return (
        answer.status_code,
        body["status"],
        [n for n, is_ in body["checks"].items() if is_ != "ok"] == ["redis"],
    )


async def _is_ready(api: Api) -> bool:
    return await _readiness(api) == (200, "ok", False)


async def _rings(house: House, api: Api) -> bool:
    """Whether an event is handled in less time than a poll takes, by far."""
    await house.mark(api.client, f"ring {time.perf_counter_ns()}")
    await asyncio.sleep(0.5)
    return await house.value("SELECT count(*) FROM platform.deliveries WHERE status = 'pending'") == 0
