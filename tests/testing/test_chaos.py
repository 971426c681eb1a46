"""The chaos rig itself: a seed gives the same faults, the proxy does what it says, and the oracle sees through lies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from platform_core._audit import extend_chain
from platform_core.testing import PlatformFactory, RunningPlatform, eventually
from platform_core.testing.chaos import (
    Address,
    Operation,
    Proxy,
    crash_postgres,
    every,
    kill,
    network,
    percentile,
    proxy,
    strikes,
    through,
)
from platform_core.testing.chaos._oracle import Oracle
from platform_core.testing.chaos._workload import Acknowledged, History

TALLY = Path(__file__).parents[1] / "faults" / "plugins" / "tally"
PLAN = [every(0.5, 1.5, kill("api", "worker")), every(12, 15, crash_postgres)]

# ── the schedule ─────────────────────────────────────────────────────────────────────────────────


def test_the_same_seed_gives_the_same_faults_at_the_same_moments() -> None:
    first, again = (list(itertools.islice(strikes(7, PLAN), 100)) for _ in range(2))
    assert first == again
    assert first != list(itertools.islice(strikes(8, PLAN), 100))


def test_faults_come_in_order_and_in_their_distances() -> None:
    some = list(itertools.islice(strikes(7, PLAN), 100))
    assert [at for at, _ in some] == sorted(at for at, _ in some)
    kills = [at for at, fault in some if fault.verb == "kill"]
    assert all(0.5 <= late - early <= 1.5 for early, late in itertools.pairwise(kills))
    assert {fault.target for _, fault in some} == {"api 1", "api 2", "worker 1", "worker 2", "postgres"}


def test_a_line_less_leaves_the_others_as_they_were() -> None:
    kills = [strike for strike in itertools.islice(strikes(7, PLAN), 100) if strike[1].verb == "kill"]
    assert list(itertools.islice(strikes(7, PLAN[:1]), len(kills))) == kills


def test_a_line_that_ends_strikes_so_often() -> None:
    assert len(list(strikes(1, [every(1, 2, network("redis", seconds=1), times=5)]))) == 5


def test_percentiles_are_values_that_were_there() -> None:
    assert [percentile([3, 1, 2], percent) for percent in (0, 50, 95, 100)] == [1, 2, 3, 3]
    assert percentile([], 50) == 0


# ── the proxy ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def echo() -> AsyncIterator[Proxy]:
    """A proxy before a server that says everything back."""

    async def say_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(say_back, "127.0.0.1", 0)
    with proxy(Address(port=server.sockets[0].getsockname()[1])) as before:
        yield before
    server.close()
    await server.wait_closed()


Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def wire(echo: Proxy) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    assert await _said_back((reader, writer), b"hello") == b"hello"
    yield reader, writer
    writer.close()


async def _said_back(wire: Wire, data: bytes) -> bytes:
    wire[1].write(data)
    return await asyncio.wait_for(wire[0].readexactly(len(data)), 5)


async def _greeted(echo: Proxy) -> None:
    wire = await asyncio.open_connection("127.0.0.1", echo.port)
    with contextlib.closing(wire[1]):
        assert await _said_back(wire, b"hello") == b"hello"


async def test_a_delay_goes_for_both_directions(echo: Proxy, wire: Wire) -> None:
    echo.delay(0.1)
    started = time.monotonic()
    assert await _said_back(wire, b"slowly") == b"slowly"
    assert time.monotonic() - started >= 0.2


async def test_a_black_hole_answers_nothing_until_it_is_healed(echo: Proxy, wire: Wire) -> None:
    echo.black_hole()
    wire[1].write(b"anybody?")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire[0].read(1), 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    writer.write(b"me too")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)
    echo.heal()
    assert await asyncio.wait_for(wire[0].readexactly(8), 5) == b"anybody?"
    assert await asyncio.wait_for(reader.readexactly(6), 5) == b"me too"
    writer.close()


async def test_a_reset_is_a_reset_and_no_polite_end(echo: Proxy, wire: Wire) -> None:
    echo.reset()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(wire[0].read(1), 5)
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    assert await _said_back((reader, writer), b"again") == b"again"
    writer.close()


async def test_while_it_refuses_nobody_gets_in(echo: Proxy, wire: Wire) -> None:
    echo.refuse()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(wire[0].read(1), 5)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await _greeted(echo)


async def test_whoever_it_holds_back_is_let_go_at_its_end() -> None:
    """Seen as warnings of a later test: the connection outlived the proxy's event loop."""
    with proxy(Address(port=1)) as before:
        before.black_hole()
        reader, writer = await asyncio.open_connection("127.0.0.1", before.port)
        await eventually(lambda: _has_taken_in(before))
    with contextlib.closing(writer), pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)


async def _has_taken_in(before: Proxy) -> bool:
    return bool(asyncio.all_tasks(before._loop))


async def test_a_cut_lets_so_many_bytes_of_an_answer_through(echo: Proxy, wire: Wire) -> None:
    echo.cut_after(3)
    wire[1].write(b"answer")
    assert await asyncio.wait_for(wire[0].readexactly(3), 5) == b"ans"
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(wire[0].read(1), 5)


@pytest.mark.parametrize(
    ("url", "address", "proxied"),
    [
        ("postgresql://me@/db?host=/run/x", Address(path="/run/x/.s.PGSQL.5432"), "postgresql://me@127.0.0.1:9/db"),
        # pragma: allowlist nextline secret
        ("postgresql://me:pw@db:5433/x", Address("db", 5433), "postgresql://me:pw@127.0.0.1:9/x"),
        ("unix:///run/redis.sock?db=3", Address(path="/run/redis.sock"), "redis://127.0.0.1:9/3"),
        ("redis://:pw@cache:6380/2", Address("cache", 6380), "redis://:pw@127.0.0.1:9/2"),
        ("redis://cache", Address("cache", 6379), "redis://127.0.0.1:9/"),
    ],
)  # fmt: skip
def test_addresses_of_servers(url: str, address: Address, proxied: str) -> None:
    assert Address.of(url) == address
    assert through(url, 9).removesuffix("?sslmode=disable") == proxied


# ── the oracle ───────────────────────────────────────────────────────────────────────────────────

MARK = Operation(
    path="/api/v1/tally/marks",
    body={"text": "one"},
    command="tally.make_mark",
    events=["tally.marked"],
    table="tally.marks",
)
EFFECTS = {"tally.note": "SELECT event_id FROM tally.effects"}


@pytest.fixture
async def told(platform: PlatformFactory, tmp_path: Path) -> AsyncIterator[tuple[RunningPlatform, History]]:
    """Three marks that were made, acknowledged and handled."""
    history = History(tmp_path / "history.jsonl")
    async with platform(extra=[TALLY]) as p:
        for number in range(3):
            request_id = f"r-{number}"
            history.send(request_id, MARK)
            answer = await p.client.post(MARK.path, json=MARK.body, headers={"X-Request-ID": request_id})
            history.acknowledge(Acknowledged(request_id, MARK, 0.0, 1, answer.json()))
        await p.deliver()
        yield p, history
    history.close()


async def _findings(told: tuple[RunningPlatform, History]) -> list[str]:
    return await Oracle(told[0].sql, told[1], EFFECTS).findings()


async def test_the_oracle_is_content_with_the_truth(told: tuple[RunningPlatform, History]) -> None:
    assert await _findings(told) == []
    assert len(told[1].path.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("lie", "finding"),
    [
        ("DELETE FROM tally.marks WHERE id = (SELECT min(id::text)::uuid FROM tally.marks)", "lost: tally.marks"),
        ("UPDATE audit.audit_logs SET outcome = 'refused' WHERE request_id = 'r-1'", "missing: r-1"),
        ("UPDATE audit.audit_logs SET request_id = 'r-1' WHERE request_id = 'r-2'", "duplicate: r-1 left 2"),
        ("UPDATE audit.domain_events SET correlation_id = 'r-0'", "duplicate: r-0 left 3"),
        ("DELETE FROM platform.deliveries", "0 deliveries to tally.note"),
        ("UPDATE platform.deliveries SET status = 'dead', last_error = 'boom'", "dead, boom"),
        ("DELETE FROM tally.effects", "lost effect: tally.note"),
        ("INSERT INTO tally.effects (id, event_id, handler, attempt, pid) SELECT platform.uuid7(), event_id, handler,"
         " 2, 1 FROM tally.effects LIMIT 1", "duplicate effect: tally.note has 2"),
    ],
)  # fmt: skip
async def test_the_oracle_sees_through_a_lie(
    told: tuple[RunningPlatform, History], lie: str, finding: str
) -> None:
    await told[0].sql(lie)
    findings = await _findings(told)
    assert any(finding in found for found in findings), findings


async def test_the_oracle_does_not_believe_one_row_for_two_promises(
    told: tuple[RunningPlatform, History],
) -> None:
    twice = told[1].acknowledged[0]
    told[1].acknowledge(Acknowledged("r-1", MARK, 0.0, 1, twice.body))
    assert any("duplicate answer" in found for found in await _findings(told))


async def test_whoever_was_struck_often_is_not_called_broken_for_waiting_as_the_policy_says(
    told: tuple[RunningPlatform, History],
) -> None:
    p, history = told
    await p.sql("DELETE FROM tally.effects")  # nothing of it has happened yet
    await p.sql(
        "UPDATE platform.deliveries SET status = 'pending', attempts_count = 6, finished_at = NULL,"
        " available_at = now() + interval '1 hour'"
    )
    worker = asyncio.create_task(_works(p))
    try:
        assert await Oracle(p.sql, history, EFFECTS).settled(within_seconds=20) is not None
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    assert await _findings(told) == []


async def _works(p: RunningPlatform) -> None:
    async with await psycopg.AsyncConnection.connect(p.database_url, autocommit=True) as connection:
        while True:
            await p.kernel.worker().run_until_idle()
            await extend_chain(connection)
            await asyncio.sleep(0.05)


# ── the servers ──────────────────────────────────────────────────────────────────────────────────


def test_no_redis_survives_tests_that_are_killed_themselves(tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
from platform_core.testing.chaos import RedisServer
with RedisServer(Path({str(tmp_path)!r})) as server:
    print(server.port, flush=True)
    time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        port = int(tests.stdout.readline())
        tests.kill()
    end = time.monotonic() + 10
    while _listens(port):
        assert time.monotonic() < end, "it is still there"
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
