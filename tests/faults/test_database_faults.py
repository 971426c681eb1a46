"""PostgreSQL crashes under load (B11), and requests hold every connection (B39)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2
from fault_rig.house import Api, House, eventually

from platform_core.testing._platform import Factory

if TYPE_CHECKING:
    from conftest import NewHouse

    from platform_core.testing.chaos import PostgresServer

Figure = Callable[[str, object], None]


async def test_b11_a_database_that_crashes_under_load_loses_nothing_that_was_acknowledged(
    new_house: NewHouse, postgres_server: PostgresServer, fresh_redis_url: str, record_property: Figure
) -> None:
    """
    Every mark has a key, and whoever is told to try again does so with the same one.

    Red when the keys of failed requests stay reserved, when a lost connection is a 500, and when PostgreSQL
    acknowledges before it has written (synchronous_commit).
    """
    factory = Factory(databases=lambda: postgres_server, redis_url=lambda: fresh_redis_url)  # type: ignore[arg-type,return-value]  # it has what is asked of it
    async with new_house(factory=factory) as house:
        api, worker = await asyncio.gather(house.api(), house.worker())
        load = _Load(house, api)
        clients = [asyncio.create_task(load.run(number)) for number in range(4)]
        await eventually(lambda: load.has_acknowledged(30))

        # every client is caught in the middle: the key is reserved, the statement runs
        holder = await house.connect(autocommit=False)
        await holder.execute("LOCK TABLE tally.marks IN EXCLUSIVE MODE")
        await eventually(lambda: _blocked(house, 4))
        await asyncio.to_thread(postgres_server.crash)
        await holder.close()
        assert await eventually(load.has_failed, within_seconds=10) < 10
        assert (await api.client.get("/health/live")).status_code == 200
        assert (await api.client.get("/health/ready")).status_code == 503
        await asyncio.to_thread(postgres_server.start)

        ready_at, acknowledged = time.monotonic(), load.acknowledged_count
        await eventually(lambda: load.has_acknowledged(acknowledged + 1), within_seconds=5)
        record_property(
            "seconds from PostgreSQL's return to the first 2xx", round(time.monotonic() - ready_at, 2)
        )
        await eventually(lambda: load.has_acknowledged(acknowledged + 30))
        load.is_over = True
        await asyncio.gather(*clients)
        record_property("acknowledged, refused", (load.acknowledged_count, len(load.refusals)))
        assert load.refusals
        for refusal in load.refusals:
            is_held = refusal.json()["type"] == "/problems/request-in-progress"
            assert refusal.status_code == (409 if is_held else 503), refusal.text
            assert refusal.headers["content-type"] == "application/problem+json"
            assert int(refusal.headers["retry-after"]) >= 1
        await house.check()
        assert await house.value("SELECT count(*) FROM tally.marks") == load.acknowledged_count
        assert (api.process.exit_code, worker.exit_code) == (None, None)


@dataclass
class _Load:
    """Clients that make marks, each again and again with its key until it is acknowledged or found running."""

    house: House
    api: Api
    acknowledged_count: int = 0
    waiting: set[str] = field(default_factory=set)
    is_over: bool = False
    refusals: list[httpx2.Response] = field(default_factory=list)

    async def run(self, client: int) -> None:
        number = 0
        while not self.is_over:
            number += 1
            await self._acknowledged(f"{client}-{number}")
            await asyncio.sleep(0.02)

    async def _acknowledged(self, text: str) -> None:
        while True:
            answer = await self.house.mark(self.api.client, text, work_ms=10, key=text)
            if answer.status_code == 201:
                self.acknowledged_count += 1
                self.waiting.discard(text)
                return
            self.refusals.append(answer)
            self.waiting.add(text)
            await asyncio.sleep(0.1)

    async def has_acknowledged(self, count: int) -> bool:
        return self.acknowledged_count >= count

    async def all_clients_go_on(self) -> bool:
        return not self.waiting

    async def has_failed(self) -> bool:
        return bool(self.refusals)


async def test_b39_when_every_connection_is_held_others_are_told_soon_and_everything_else_goes_on(
    new_house: NewHouse, record_property: Figure
) -> None:
    """Red with the pool's own patience of thirty seconds."""
    async with new_house({"PLATFORM_DATABASE_POOL_SIZE": "3"}) as house:
        api, worker = await asyncio.gather(house.api(), house.worker())
        async with house.locked("tally.marks"):
            holders = [asyncio.create_task(house.mark(api.client, f"held {number}")) for number in range(3)]
            await eventually(lambda: _blocked(house, 3))

            for _ in range(3):  # other programs of this machine may slow down one round, not all of them
                waits = await asyncio.gather(*(_refused(house, api, f"refused {n}") for n in range(5)))
                if max(waits) < 2:
                    break
            record_property("slowest 503, seconds", round(max(waits), 2))
            assert max(waits) < 2
            assert (await api.client.get("/health/live")).status_code == 200
            assert (await api.client.get("/health/ready")).status_code == 200
            # another module has connections of its own, and so have the workers
            assert (await house.register(api.client, "ada")).status_code == 201
            await eventually(lambda: _has_mail(house))
        answers = await asyncio.gather(*holders)
        assert [answer.status_code for answer in answers] == [201] * 3
        assert (await house.mark(api.client, "at once")).status_code == 201
        await house.check()
        assert worker.exit_code is None


async def _refused(house: House, api: Api, text: str) -> float:
    started = time.perf_counter()
    answer = await house.mark(api.client, text)
    seconds = time.perf_counter() - started
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    return seconds


async def _blocked(house: House, count: int) -> bool:
    return await house.blocked_count() == count


async def _has_mail(house: House) -> bool:
    return len(house.p.mails) == 1
