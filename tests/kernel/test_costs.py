"""What a request costs, counted and not timed: round trips, function calls, memory that stays."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import Account, essentials, sign_up


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(["user_management", "notification"], seed=essentials) as running:
        yield running


@pytest.fixture
async def admin(p: RunningPlatform) -> Account:
    account = await sign_up(p, "admin", permissions=["*"])
    # as ten seconds after the start and one after the account was given its role: cached standings count
    p.kernel.standings._everybody = 0.0
    await asyncio.sleep(1.2)
    async with asyncio.timeout(30):
        while True:
            with p.count_statements() as traffic:
                await _call(p, account, "GET", ME)
            if traffic.count == 1:
                return account


ME = "/api/v1/users/me"
COSTS = [
    # method, path, body, statements, Python function calls at most (some 10 % above what they were when written down)
    ("GET", ME, None, 1, 790),
    ("GET", "/api/v1/users", None, 1, 980),
    ("PATCH", ME, {"full_name": "%"}, 3, 1630),
    ("POST", "/api/v1/users", {"email": "new-%@example.com", "username": "new-%"}, 1, 1440),
]


@pytest.mark.parametrize(("method", "path", "body", "statements", "calls"), COSTS)
async def test_a_request_keeps_to_its_round_trips_and_its_share_of_python(
    p: RunningPlatform, admin: Account, method: str, path: str, body: Any, statements: int, calls: int
) -> None:
    for number in range(3):  # plans are made and caches are warm afterwards
        await _call(p, admin, method, path, body, number)
    with p.count_statements() as traffic:
        await _call(p, admin, method, path, body, 4)
    assert (traffic.redis_packets, traffic.count) == (1, statements), traffic

    # the least of three: what the platform does beside requests is counted with the one it meets
    assert min([await _counted(p, admin, method, path, body, number) for number in (5, 6, 7)]) <= calls


async def _counted(p: RunningPlatform, admin: Account, method: str, path: str, body: Any, number: int) -> int:
    counted = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        await _call(p, admin, method, path, body, number)
    finally:
        sys.setprofile(None)
    return counted


async def test_requests_leave_nothing_in_memory(p: RunningPlatform, admin: Account) -> None:
    async def some(first: int) -> int:
        for number in range(first, first + 200):
            await _call(p, admin, "GET", "/api/v1/users")
            if number % 10 == 0:
                await _call(p, admin, "PATCH", ME, {"full_name": "%"}, number)
        gc.collect()
        return sys.getallocatedblocks()

    await some(0)
    before = await some(200)
    after = await some(400)
    assert after - before < 2000, "blocks that 200 requests left behind"


async def _call(
    p: RunningPlatform, account: Account, method: str, path: str, body: Any = None, number: int = 0
) -> None:
    """Call the application as a server would, without a client's own work in between."""
    content = b"" if body is None else json.dumps(body).replace("%", str(number)).encode()
    headers = {
        "host": "testserver",
        "authorization": f"Bearer {account.access_token}",
        "content-type": "application/json",
        "content-length": str(len(content)),
    }
    if method == "POST":
        headers["idempotency-key"] = f"key-{number}"
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 4711),
        "server": ("testserver", 443),
    }
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    await p.app(scope, receive, send)
    assert statuses in ([200], [201])
