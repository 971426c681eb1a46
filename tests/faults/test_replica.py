"""
A real streaming standby behind READ_DATABASE_URL: who is shown what by whom, and what happens when it is late or gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fault_rig.house import eventually

from platform_core.context import Context, LastWrite, bind
from platform_core.domain import new_id
from platform_core.testing import RunningPlatform
from platform_core.testing._databases import with_database
from platform_core.testing._platform import Factory
from platform_core.testing.chaos import PostgresServer, RedisServer, Standby, postgres_server, standby_of
from user_management.testing import Account, essentials, sign_up

pytestmark = pytest.mark.long

ME = "/api/v1/users/me"
ROLES = "/api/v1/roles"
LAG_SECONDS = 3


@dataclass(frozen=True)
class Servers:
    """A primary and its standby; each test has a database there of its own."""

    primary: PostgresServer
    standby: Standby


@dataclass(frozen=True)
class Database:
    """What the test kit asks of a maker of databases."""

    url: str

    def template(self, _key: str, migrate: Callable[[str], None]) -> str:
        name = psycopg.conninfo.conninfo_to_dict(self.url)["dbname"]
        with psycopg.connect(with_database(self.url, "postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        migrate(self.url)
        return str(name)

    def take(self, _template: str) -> str:
        return self.url

    def give_back(self, _url: str) -> None:
        """It goes with the server."""


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with postgres_server() as primary, standby_of(primary.url) as standby:
        yield Servers(primary, standby)


@pytest.fixture
async def p(
    servers: Servers, redis_server: RedisServer, request: pytest.FixtureRequest
) -> AsyncIterator[RunningPlatform]:
    url = with_database(servers.primary.url, f"test_{abs(hash(request.node.name))}")
    settings = {
        "READ_DATABASE_URL": servers.standby.url(url),
        "PLATFORM_READ_LAG_SECONDS": str(LAG_SECONDS),
        "REDIS_URL": redis_server.url,
    }
    database = Database(url)
    factory = Factory(databases=lambda: database, redis_url=lambda: redis_server.url)  # type: ignore[arg-type,return-value]  # it has what is asked of it
    async with factory(["user_management"], settings=settings, seed=essentials) as running:
        await eventually(lambda: _is_asked(running))
        yield running


@pytest.fixture
async def beside(p: RunningPlatform) -> AsyncIterator[RunningPlatform]:
    """Run a second process, as far as anybody can tell."""
    wanted = ("READ_DATABASE_URL", "PLATFORM_READ_LAG_SECONDS", "REDIS_URL")
    factory = Factory(databases=lambda: None, redis_url=lambda: "")  # type: ignore[arg-type,return-value]  # neither is asked
    settings = {name: p.environment[name] for name in wanted}
    async with factory(["user_management"], settings=settings, beside=p) as running:
        await eventually(lambda: _is_asked(running))
        yield running


async def _is_asked(p: RunningPlatform) -> bool:
    return p.kernel.replica.lag_seconds < LAG_SECONDS


async def settled(p: RunningPlatform, account: Account) -> None:
    """Wait until a request is one statement, and the standby's."""
    p.kernel.standings._everybody = 0.0
    await eventually(lambda: _reads_once(p, account))


async def _reads_once(p: RunningPlatform, account: Account) -> bool:
    return await purposes(p, account) == ["replica"]


async def purposes(p: RunningPlatform, account: Account, method: str = "GET", **options: object) -> list[str]:
    """Return where the statements of one request went."""
    client = p.new_client({"Authorization": f"Bearer {account.access_token}"})
    with p.count_statements() as traffic:
        answer = await client.request(method, ME, **options)
    assert answer.status_code == 200, answer.text
    return [statement.purpose for statement in traffic.statements if statement.module != "platform"]


async def name(p: RunningPlatform, account: Account) -> str | None:
    client = p.new_client({"Authorization": f"Bearer {account.access_token}"})
    answer = await client.get(ME)
    assert answer.status_code == 200, answer.text
    found: str | None = answer.json()["full_name"]
    return found


@contextlib.contextmanager
def behind(standby: Standby) -> Iterator[None]:
    standby.fall_behind()
    try:
        yield
    finally:
        standby.catch_up()


async def test_queries_go_to_the_standby_and_commands_never(p: RunningPlatform) -> None:
    """Red when `Replica.serves` is always False, or ignores `primary_reads`."""
    eve = await sign_up(p, "eve")
    await settled(p, eve)
    with p.count_statements() as traffic:
        assert (await eve.client.get(ME)).status_code == 200
    assert ([s.purpose for s in traffic.statements], traffic.redis_packets) == (["replica"], 1), traffic
    with p.count_statements() as traffic:
        assert (await eve.client.patch(ME, json={"full_name": "Eve"})).status_code == 200
    # three as without a replica, and one word to Redis more: that she wrote
    assert (traffic.count, traffic.redis_packets) == (3, 2), traffic
    assert {s.purpose for s in traffic.statements} <= {"commands", "reads"}


async def test_who_has_written_is_shown_it_by_every_process_while_others_are_shown_what_there_is(
    p: RunningPlatform, beside: RunningPlatform, servers: Servers
) -> None:
    """Red when `Replica.wrote` leaves no mark, and when `serves` does not compare it."""
    eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
    await settled(p, eve)
    await settled(beside, eve)
    await settled(beside, ben)
    with behind(servers.standby):
        assert (await eve.client.patch(ME, json={"full_name": "Eve"})).status_code == 200
        assert await name(p, eve) == await name(beside, eve) == "Eve"
        assert "replica" not in await purposes(beside, eve)
        assert "replica" in await purposes(beside, ben)
    # once it shows what she wrote, it is good enough for her, too
    await eventually(lambda: _reads_once(beside, eve), within_seconds=2)
    assert await name(beside, eve) == "Eve"


async def test_who_is_given_an_answer_again_is_shown_what_it_is_about(
    p: RunningPlatform, beside: RunningPlatform, servers: Servers
) -> None:
    """Whoever wrote may have died between the commit and the mark. Red without `_repeated`."""
    eve = await sign_up(p, "eve", permissions=["*"])
    asked: dict[str, Any] = {
        "json": {"name": "guide", "permissions": []},
        "headers": {"Idempotency-Key": "guide-1"},
    }
    assert (await eve.client.post(ROLES, **asked)).status_code == 201
    await settled(p, eve)
    await settled(beside, eve)
    with behind(servers.standby):
        again = await eve.client.post(ROLES, **asked)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
        assert "replica" not in await purposes(beside, eve)


async def test_who_has_just_registered_and_logged_in_is_known_to_every_process(
    p: RunningPlatform, beside: RunningPlatform, servers: Servers
) -> None:
    """Red when `Gatekeeper` does not count the first request of a token as a write: whoever registered was nobody."""
    with behind(servers.standby):
        eve = await sign_up(p, "eve")
        assert await name(p, eve) is None
        assert await name(beside, eve) is None
        assert "replica" not in await purposes(beside, eve)
    await settled(beside, eve)


async def test_a_standby_that_is_too_far_behind_is_asked_by_nobody(
    p: RunningPlatform, servers: Servers
) -> None:
    """Red when `serves` does not look at the lag: Redis forgets who wrote after as long."""
    eve = await sign_up(p, "eve")
    await settled(p, eve)
    with behind(servers.standby):
        assert (await eve.client.patch(ME, json={"full_name": "Eve"})).status_code == 200
        for _ in range(int(LAG_SECONDS * 1.5 / 0.1)):
            assert await name(p, eve) == "Eve"
            await asyncio.sleep(0.1)
        ready = await p.client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert "behind" in ready.json()["checks"]["replica"]
    await eventually(lambda: _reads_once(p, eve))


async def test_a_standby_that_is_away_costs_nobody_an_answer(
    p: RunningPlatform, servers: Servers, tmp_path: Path
) -> None:
    """Red when `Reads.all` does not turn to the primary."""
    eve = await sign_up(p, "eve")
    await settled(p, eve)
    servers.standby.stop()
    try:
        for _ in range(20):
            assert await name(p, eve) is None
        assert "replica" not in await purposes(p, eve)
        await asyncio.sleep(1.1)  # readiness is asked once a second
        ready = await p.client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert "the replica is away" in ready.json()["checks"]["replica"]
        assert "platform_replica_lag_seconds +Inf" in (await p.client.get("/metrics")).text
    finally:
        await asyncio.to_thread(servers.standby.start)
    await eventually(lambda: _reads_once(p, eve))
    await asyncio.sleep(1.1)
    assert (await p.client.get("/health/ready")).json()["checks"]["replica"].startswith("ok: ")


async def test_while_nobody_can_be_told_who_wrote_the_primary_is_asked(
    p: RunningPlatform, beside: RunningPlatform, servers: Servers, redis_server: RedisServer
) -> None:
    """Red when a missing verdict counts as "not lately", and when a write that left no mark is forgotten."""
    eve = await sign_up(p, "eve")
    await settled(p, eve)
    await settled(beside, eve)
    redis_server.stop()
    try:
        with behind(servers.standby):
            assert (await eve.client.patch(ME, json={"full_name": "Eve"})).status_code == 200
            assert await name(p, eve) == await name(beside, eve) == "Eve"
            await asyncio.to_thread(redis_server.start)  # it has forgotten everything
            await asyncio.sleep(1.1)  # the breaker closes
            assert await name(p, eve) == "Eve"
    finally:
        redis_server.stop()
        redis_server.start()


async def test_who_is_woken_is_shown_what_woke_them(p: RunningPlatform) -> None:
    """Red when a signal does not count as a write of whoever watches."""
    topic, key, last_write = "user_management.anything", new_id(), LastWrite(0.0)
    with bind(Context(last_write=last_write)), p.kernel.signals.watch(topic, key) as watcher:
        p.kernel.signals.publish([(topic, (key,))])
        before = time.monotonic()
        await watcher.wait()
        assert last_write.at >= before
