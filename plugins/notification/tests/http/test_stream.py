"""Notifications as they come: server-sent events, on whichever process somebody listens."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from httpx2 import AsyncClient

from notification.testing import announce
from platform_core._http_server import HttpServer, bind, http_url
from platform_core.domain import new_id
from platform_core.http import events
from platform_core.http.traffic import Traffic
from platform_core.testing import PlatformFactory, RunningPlatform, listening
from user_management.testing import Account, essentials, sign_up

MODULES = ["user_management", "notification"]
URL = "/api/v1/notifications/stream"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # what is waited for sets no event
            await asyncio.sleep(0.01)


def resuming(account: Account, last: str) -> Mapping[str, str]:
    return {**account.client.headers, "Last-Event-ID": last}


async def titles(stream: Any, count: int) -> list[str]:
    return [json.loads((await stream.next()).data)["title"] for _ in range(count)]


async def test_what_comes_is_told_at_once_and_what_was_missed_with_the_next_connection(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        await announce(p, eve.id, title="Before anybody listened")
        async with listening(p, URL, eve.client.headers) as stream:
            assert stream.status == 200
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert stream.headers["cache-control"] == "no-store"
            await announce(p, ben.id, title="Not hers")
            await announce(p, eve.id, title="One\u2028line")
            event = await stream.next()
            entry = (await eve.client.get("/api/v1/notifications")).json()["items"][0]
            assert (event.name, event.id, json.loads(event.data)) == ("notification", entry["id"], entry)
        for title in ("Two", "Three"):
            await announce(p, eve.id, title=title)
        async with listening(p, URL, resuming(eve, event.id)) as stream:
            assert await titles(stream, 2) == ["Two", "Three"]
            with pytest.raises(TimeoutError):
                await stream.next(0.3)
        async with listening(p, URL, resuming(eve, str(new_id()))) as stream:
            await announce(p, eve.id, title="From now on")
            assert await titles(stream, 1) == ["From now on"]


async def test_any_process_reaches_any_client(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p, platform(MODULES, beside=p) as other:
        eve = await sign_up(p, "eve")
        async with (
            listening(p, URL, eve.client.headers) as here,
            listening(other, URL, eve.client.headers) as there,
        ):
            await until(lambda: p.kernel.signals.is_heard and other.kernel.signals.is_heard)
            for process in (p, other):
                await announce(process, eve.id, title="Hear, hear")
                for stream in (here, there):
                    event = await stream.next(1.5)  # sooner than anybody looks by themselves
                    assert json.loads(event.data)["title"] == "Hear, hear"


async def test_without_redis_everybody_looks_by_themselves(platform: PlatformFactory) -> None:
    settings = {"REDIS_URL": "redis://127.0.0.1:1"}
    async with platform(MODULES, seed=essentials, settings=settings) as p:
        async with platform(MODULES, beside=p, settings=settings) as other:
            eve = await sign_up(p, "eve")
            async with listening(p, URL, eve.client.headers) as stream:
                await announce(other, eve.id, title="Found")
                assert await titles(stream, 1) == ["Found"]


async def test_an_idle_stream_holds_no_connection_to_the_database(platform: PlatformFactory) -> None:
    # one connection for one purpose: a stream that held it would leave none for anybody else
    settings = {"PLATFORM_DATABASE_POOL_SIZE": "1", "PLATFORM_DATABASE_POOL_TIMEOUT_SECONDS": "1"}
    async with platform(MODULES, seed=essentials, settings=settings) as p:
        eve = await sign_up(p, "eve")
        async with listening(p, URL, eve.client.headers), listening(p, URL, eve.client.headers):
            await asyncio.sleep(0.2)
            assert (await eve.client.get("/api/v1/notifications")).status_code == 200


async def test_what_becomes_visible_out_of_order_is_told_too(platform: PlatformFactory) -> None:
    """Of two statements at the same time the one with the higher number may be the first that can be seen."""
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        async with listening(p, URL, eve.client.headers) as stream:
            await stored_unseen(p, eve, "First")  # its number is drawn, and nobody can see it yet
            await announce(p, eve.id, title="Second")
            assert await titles(stream, 1) == ["Second"]
            await p.sql("UPDATE notification.notifications SET deleted_at = NULL")
            await announce(p, eve.id, title="Third")
            assert sorted(await titles(stream, 2)) == ["First", "Third"]


async def stored_unseen(p: RunningPlatform, account: Account, title: str) -> None:
    await p.sql(
        "INSERT INTO notification.notifications (id, version, created_at, updated_at, deleted_at, event_id, kind,"
        " user_id, title, body, data, is_read) VALUES (gen_random_uuid(), 1, now(), now(), now(), gen_random_uuid(),"
        " 'a.b', %(user)s, %(title)s, '', '{}', false)",
        user=account.id,
        title=title,
    )


async def test_a_stream_ends_when_the_session_is_revoked_and_nobody_elses_does(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p, platform(MODULES, beside=p) as other:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        async with (
            listening(other, URL, eve.client.headers) as stream,
            listening(other, URL, ben.client.headers) as untouched,
        ):
            assert (await eve.client.post("/api/v1/auth/logout")).status_code == 204
            await stream.end(5)
            assert stream.has_ended
            assert not untouched.has_ended
        async with listening(other, URL, eve.client.headers) as stream:
            assert stream.status == 401


async def test_a_stream_ends_with_its_token(platform: PlatformFactory) -> None:
    settings = {"PLATFORM_USER_MANAGEMENT_ACCESS_TOKEN_MINUTES": "0.05"}
    async with platform(MODULES, seed=essentials, settings=settings) as p:
        eve = await sign_up(p, "eve")
        async with listening(p, URL, eve.client.headers) as stream:
            await stream.end(8)
            assert stream.has_ended


async def test_a_stream_ends_in_order_when_its_process_drains(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        traffic = Traffic()
        p._app = p.kernel.app(traffic)
        eve = await sign_up(p, "eve")
        async with listening(p, URL, eve.client.headers) as stream:
            assert traffic.in_flight_count == 1
            assert await traffic.drain(5) == 0, "nobody was cut off"
            assert stream.has_ended


async def test_a_client_that_does_not_read_is_dropped(
    platform: PlatformFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_SLOW_SECONDS", 0.2)
    async with platform(MODULES, seed=essentials) as p:
        eve, takes = await sign_up(p, "eve"), asyncio.Event()
        takes.set()
        async with listening(p, URL, eve.client.headers, takes=takes) as stream:
            await until(
                lambda: stream.status == 200 and p.kernel.signals.count("notification.inbox", eve.id) == 1
            )
            takes.clear()
            await announce(p, eve.id)
            await until(lambda: p.kernel.signals.count("notification.inbox", eve.id) == 0)
            assert not stream.has_ended, "cut off: a client must not take it for the end"


async def test_a_stream_says_that_it_is_still_there(
    platform: PlatformFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_HEARTBEAT_SECONDS", 0.5)
    monkeypatch.setattr(events, "_LOOK_SECONDS", 0.1)
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        async with listening(p, URL, eve.client.headers) as stream:
            await asyncio.sleep(1.5)
            with pytest.raises(TimeoutError):  # no event, but words
                await stream.next(0.1)
            assert stream.spoken.count(": still here") >= 2


async def test_one_user_has_ten_streams_at_most_and_leaving_makes_room(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        tasks = [asyncio.create_task(_open_for(p, eve, 3)) for _ in range(10)]
        await until(lambda: p.kernel.signals.count("notification.inbox", eve.id) == 10)
        async with listening(p, URL, eve.client.headers) as stream:
            assert stream.status == 429
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: p.kernel.signals.count("notification.inbox", eve.id) == 0)
        async with listening(p, URL, eve.client.headers) as stream:
            assert stream.status == 200


async def _open_for(p: RunningPlatform, account: Account, seconds: float) -> None:
    async with listening(p, URL, account.client.headers):
        await asyncio.sleep(seconds)


async def test_only_who_is_logged_in_listens(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        assert (await p.client.get(URL)).status_code == 401
        answer = await eve.client.get(URL, headers={"Last-Event-ID": "no id"})
        assert answer.status_code == 422
        head = await eve.client.head(URL)
        assert (head.status_code, head.content) == (200, b"")


@contextlib.asynccontextmanager
async def served(p: RunningPlatform, traffic: Traffic) -> AsyncIterator[str]:
    """Serve a platform on a port, as production does; returns its address."""
    listener = bind("127.0.0.1", 0)
    server = HttpServer(p.kernel.app(traffic), listener)
    serving = asyncio.create_task(server.run_until_told())
    try:
        yield http_url(listener)
    finally:
        server.stop()
        await serving


async def test_a_real_server_streams_notices_who_leaves_and_drains_in_order(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, traffic = await sign_up(p, "eve"), Traffic()
        token = {"Authorization": eve.client.headers["Authorization"]}
        async with (
            served(p, traffic) as base,
            AsyncClient(base_url=base, headers=token, trust_env=False, timeout=10) as client,
            asyncio.timeout(30),
        ):
            async with client.stream("GET", URL) as answer:
                lines = answer.aiter_lines()
                assert await anext(lines) == "retry: 2000"
                await announce(p, eve.id, title="Over the wire")
                found = [line async for line in _until_data(lines)]
                assert json.loads(found[-1].removeprefix("data: "))["title"] == "Over the wire"
            await until(lambda: p.kernel.signals.count("notification.inbox", eve.id) == 0)
            async with client.stream("GET", URL) as answer:
                await until(lambda: traffic.in_flight_count == 1)
                assert await traffic.drain(5) == 0
                assert (await answer.aread()).startswith(b"retry: 2000"), "ended in order, not cut off"


async def _until_data(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith("data: "):
            return
