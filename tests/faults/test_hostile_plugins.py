"""
The seven worst plugins (B6, B32, B34): each is loaded into a real platform, and costs only itself.

They raise, hang, keep connections, block the event loop, kill their process, flood the queue and tell secrets. Plugins
that do so while they are imported or started are in `tests/acceptance/test_broken_modules.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fault_rig.house import LEASE_SECONDS, SETTINGS, House

from platform_core._watchdog import EXIT_STUCK
from platform_core.serve import STUCK_LEASES
from platform_core.testing import PlatformFactory, PluginSource, RunPlatform, eventually
from user_management.testing import essentials

if TYPE_CHECKING:
    Hostile = Callable[..., contextlib.AbstractAsyncContextManager[House]]

pytestmark = pytest.mark.long

HOSTILE = Path(__file__).parent / "plugins" / "hostile"
WELL_SECONDS = 5.0
"""Far less than whatever waits for something that is kept from it, and more than a busy machine takes."""
"""What nothing of a neighbour's doing may make a request of somebody else take."""

Figure = Callable[[str, object], None]


@pytest.fixture
def hostile(platform: PlatformFactory, run_platform: RunPlatform) -> Hostile:
    """Open a house that a hostile plugin lives in: `async with hostile("raiser") as house`."""

    @contextlib.asynccontextmanager
    async def open_house(name: str, **settings: str) -> AsyncIterator[House]:
        source = PluginSource(
            name=name,
            directory=HOSTILE / name,
            requires=["platform-core", "platform-plugin-user-management"],
        )
        modules = ["user_management", "notification"]
        merged = {**SETTINGS, "PLATFORM_LOG_FORMAT": "json", **settings}
        async with platform(modules, extra=[source], settings=merged, seed=essentials) as p:
            async with contextlib.AsyncExitStack() as stack:
                yield House(p, run_platform, stack)

    return open_house


async def is_well(house: House, client: httpx2.AsyncClient, name: str) -> float:
    """Use the other modules as people do; returns the longest that anything took, in seconds."""
    took = []

    async def timed(request: Any) -> httpx2.Response:
        started = time.monotonic()
        answer: httpx2.Response = await request
        took.append(time.monotonic() - started)
        return answer

    assert (await timed(house.register(client, name))).status_code == 201
    login = await timed(house.log_in(client, name))
    assert login.status_code == 200
    headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
    assert (await timed(client.get("/api/v1/users/me", headers=headers))).status_code == 200
    return max(took)


async def welcomed(house: House, count: int, *, within_seconds: float) -> float:
    """Wait for the welcome mails of so many people, which another module sends."""

    async def all_there() -> bool:
        return len(house.p.mails) == count

    return await eventually(all_there, within_seconds=within_seconds)


def dead(house: House, handler: str, count: int) -> Callable[[], Any]:
    async def are_dead() -> bool:
        sql = "SELECT count(*) FROM platform.deliveries WHERE handler = %(handler)s AND status = 'dead'"
        return bool(await house.value(sql, handler=handler) == count)

    return are_dead


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def test_a_plugin_that_raises_costs_itself(hostile: Hostile) -> None:
    """Red when a failing delivery is not caught, and when a failing health check of an optional module is fatal."""
    async with hostile("raiser") as house:
        api, worker = await asyncio.gather(house.api(), house.worker())
        for number in range(3):
            answer = await api.client.get("/api/v1/raiser")
            assert answer.status_code == 500
            assert "of the route" not in answer.text
            assert await is_well(house, api.client, f"ada{number}") < WELL_SECONDS
        await welcomed(house, 3, within_seconds=10)
        await eventually(dead(house, "raiser.hear", 3), within_seconds=10)
        reason = await house.value(
            "SELECT DISTINCT last_error FROM platform.deliveries WHERE status = 'dead'"
        )
        assert reason == "ZeroDivisionError: of the handler"
        ready = await api.client.get("/health/ready")
        assert (ready.status_code, ready.json()["checks"]["raiser"]) == (200, "away")
        await house.check()
        assert (api.process.exit_code, worker.exit_code) == (None, None)


async def test_a_plugin_that_hangs_costs_itself(hostile: Hostile) -> None:
    """Red when a handler may take for ever: it keeps its place, and its lease, until the worker ends."""
    async with hostile("hanger", PLATFORM_SHUTDOWN_GRACE_SECONDS="2") as house:
        api, worker = await asyncio.gather(house.api(), house.worker())
        hanging = [asyncio.create_task(api.client.get("/api/v1/hanger", timeout=60)) for _ in range(20)]
        await asyncio.sleep(0.2)
        for number in range(3):
            assert await is_well(house, api.client, f"ada{number}") < WELL_SECONDS
        assert (await api.client.get("/health/ready")).status_code == 200
        await welcomed(house, 3, within_seconds=10)
        await eventually(dead(house, "hanger.hear", 3), within_seconds=15)
        await house.check()
        # in order, and soon: what hangs is cut off after the grace
        began = time.monotonic()
        assert await asyncio.to_thread(api.process.terminate) == 0
        assert await asyncio.to_thread(worker.terminate) == 0
        assert time.monotonic() - began < 10
        for outcome in await asyncio.gather(*hanging, return_exceptions=True):
            assert isinstance(outcome, httpx2.TransportError) or outcome.status_code == 503


async def test_a_plugin_that_keeps_connections_exhausts_its_own_pools(
    hostile: Hostile, record_property: Figure
) -> None:
    """Red when modules share a pool."""
    async with hostile("leaker", PLATFORM_DATABASE_POOL_SIZE="4") as house:
        api, _ = await asyncio.gather(house.api(), house.worker())
        hungry = await house.visitor(api.url)
        requests = [
            asyncio.create_task(hungry.request(method, "/api/v1/leaker", timeout=60))
            for method in ("GET", "POST") * 30
        ]
        await asyncio.sleep(1)
        slowest = max([await is_well(house, api.client, f"ada{number}") for number in range(3)])
        record_property("slowest request of the others, seconds", round(slowest, 2))
        assert slowest < WELL_SECONDS
        held = await house.sql(
            "SELECT application_name AS name, count(*) AS n FROM pg_stat_activity"
            " WHERE application_name LIKE 'platform/leaker/%%' GROUP BY 1"
        )
        assert held
        # one process answers, and one works
        assert all(row["n"] <= 2 * 4 for row in held), held
        await welcomed(house, 3, within_seconds=10)
        answers = await asyncio.gather(*requests)
        refused = [answer for answer in answers if answer.status_code == 503]
        assert {answer.status_code for answer in answers} <= {200, 204, 503}
        assert len(refused) >= 40
        assert all(answer.headers["retry-after"] for answer in refused)
        await house.check()


async def test_a_plugin_that_blocks_the_loop_is_named(hostile: Hostile) -> None:
    """
    A blocked loop is nobody's own: it cannot be contained in one process, but it is found, and named.

    Red when requests' tasks have no names, and when the watchdog does not look between two beats.
    """
    inner, outer = free_port(), free_port()
    async with hostile("blocker") as house:
        api, worker = await asyncio.gather(
            house.api(environment={"PLATFORM_INTERNAL_PORT": str(inner)}),
            house.worker(environment={"PLATFORM_INTERNAL_PORT": str(outer)}),
        )
        for _ in range(3):
            assert (await api.client.get("/api/v1/blocker/x")).status_code == 200
        assert await is_well(house, api.client, "ada") < WELL_SECONDS
        await welcomed(house, 1, within_seconds=10)
        await house.check()
        for port, task in ((inner, "GET /api/v1/blocker/{identity}"), (outer, "delivery blocker.hear")):
            lags = await loop_lags(api.client, port)
            assert lags.get(task, 0) >= 1, lags
            assert set(lags) <= {task, "unknown"}, "nobody else is blamed"
        for process in (api.process, worker):
            assert "the event loop was held up" in process.output
            assert "blocker.plugin:" in process.output, process.output


async def loop_lags(client: httpx2.AsyncClient, port: int) -> dict[str, float]:
    """Return how often each task held the event loop up."""
    text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    return {
        line.partition('task="')[2].rpartition('"')[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("platform_loop_lag_seconds_count{")
    }


@pytest.mark.parametrize(
    ("plugin", "victim", "handler", "attempts_count", "ends_with"),
    [
        pytest.param("killer", "victim", "killer.hear", 3, -signal.SIGKILL, id="kills its process"),
        pytest.param("blocker", "forever", "blocker.hear", 3, EXIT_STUCK, id="blocks for ever"),
    ],
)
async def test_b6_an_event_that_costs_a_worker_each_time_is_given_up(
    hostile: Hostile, plugin: str, victim: str, handler: str, attempts_count: int, ends_with: int
) -> None:
    """
    The worker dies each time, and is started again, as production does it; nobody else's event is lost or repeated.

    Red when attempts are counted after the handler, and, for the second, without the watchdog, or when the two attempts
    that its handler allows are all that is granted: then other people's events die with it, never having run alone.
    """
    async with hostile(plugin) as house:
        api = await house.api()
        assert await is_well(house, api.client, "before") < WELL_SECONDS
        assert (await house.register(api.client, victim)).status_code == 201
        assert await is_well(house, api.client, "after") < WELL_SECONDS
        for _ in range(attempts_count):
            worker = await house.worker()
            ended = await asyncio.to_thread(
                worker.wait, timeout_seconds=LEASE_SECONDS * (STUCK_LEASES + 2) + 20
            )
            assert ended == ends_with, worker.output[-3000:]
        assert handler in worker.output or ends_with != EXIT_STUCK, "what it was at is told"
        await house.worker()
        await eventually(dead(house, handler, 1), within_seconds=LEASE_SECONDS + 10)
        reason = await house.value("SELECT last_error FROM platform.deliveries WHERE status = 'dead'")
        assert reason == "the worker died while handling this, every time"
        await welcomed(house, 3, within_seconds=15)
        await house.check(mails_per_message=attempts_count)


async def test_a_route_that_kills_its_process_is_answered_for_by_the_next(hostile: Hostile) -> None:
    """Red when a dead process of a crew is not replaced."""
    async with hostile("killer") as house:
        crew = await house.process("serve", "--port", "0", "--workers", "2")
        url = crew.wait_for_line(r'"(http://127\.0\.0\.1:\d+)"')[1]
        await asyncio.to_thread(crew.wait_for_url, f"{url}/health/live")
        for number in range(3):
            with pytest.raises(httpx2.TransportError):
                await (await house.visitor(url)).post("/api/v1/killer")

            async def answers(name: str = f"ada{number}") -> bool:
                with contextlib.suppress(httpx2.TransportError):
                    await is_well(house, await house.visitor(url), name)
                    return True
                return False

            async def is_replaced(count: int = number + 1) -> bool:
                return crew.output.count('"event":"serving"') >= 2 + count

            await eventually(answers, within_seconds=5)  # by the other one
            await eventually(is_replaced)
        assert crew.output.count("a process died and is replaced") == 3
        assert await asyncio.to_thread(crew.terminate) == 0


async def test_a_plugin_that_floods_leaves_the_others_their_turn(
    hostile: Hostile, record_property: Figure
) -> None:
    """10,000 slow deliveries wait before everybody else's; red when one module may take every place of a worker."""
    async with hostile("flooder", PLATFORM_WORKER_CONCURRENCY="16") as house:
        api, _ = await asyncio.gather(house.api(), house.worker())
        assert (await api.client.post("/api/v1/flooder", json={"count": 2000})).status_code == 200
        await asyncio.sleep(1)
        slowest = await is_well(house, api.client, "ada")
        waited = await welcomed(house, 1, within_seconds=5)
        left = await house.value(
            "SELECT count(*) FROM platform.deliveries WHERE status = 'pending' AND handler LIKE 'flooder.%%'"
        )
        record_property("seconds until the mail of another module", round(waited, 2))
        record_property("deliveries of the flood before it", left)
        assert left > 5000, "the flood is still there"
        assert slowest < WELL_SECONDS


async def test_a_plugin_that_tells_secrets_finds_nobody_who_writes_them_down(hostile: Hostile) -> None:
    """
    By print, loggers, warnings, exceptions and objects that show what they hold.

    Red without `logs.conceal`, without `logs.capture_prints`, and when objects are made text after the mask.
    """
    async with hostile("printer") as house:
        api, worker = await asyncio.gather(house.api(), house.worker())
        answer = await api.client.get("/api/v1/printer")
        assert answer.status_code == 500
        assert await is_well(house, api.client, "ada") < WELL_SECONDS
        await eventually(dead(house, "printer.hear", 1), within_seconds=10)
        environment = house.p.environment
        secrets = {
            environment["PLATFORM_SECRET_KEY"],
            environment["PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER"],
            *environment["PLATFORM_USER_MANAGEMENT_SIGNING_KEY"].splitlines()[1:-1],
        }
        for process in (api.process, worker):
            assert process.output.count("the end of the list") >= 1
            assert [line for line in process.output.splitlines() if not line.startswith("{")] == []
            for secret in secrets:
                assert len(secret) > 20
                assert secret not in process.output, [
                    line for line in process.output.splitlines() if secret in line
                ]
        rows = await house.sql("SELECT last_error FROM platform.deliveries WHERE last_error IS NOT NULL")
        assert all(secret not in str(row) for row in rows for secret in secrets), rows
