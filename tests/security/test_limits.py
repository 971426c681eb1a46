"""Rows 37-43: who counts as one caller, whatever they say of themselves."""

import asyncio
import statistics
import time
from collections.abc import Sequence

import pytest
from attacks import API, STRICT_LOGINS

from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import PASSWORD, essentials, log_in, sign_up

Headers = Sequence[tuple[str, str]]

SPOOFS: list[Headers] = [
    [("X-Forwarded-For", "198.51.100.{n}")],
    [("X-Forwarded-For", "198.51.100.{n}, 198.51.100.1")],
    [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.{n}")],
    [("X-Forwarded-For", "")],
    [("X-Forwarded-For", "a{n}")],
    [("X-Forwarded-For", ",,,{n}")],
    [("X-Forwarded-For", "2001:db8:{n}::1")],
    [("X-Forwarded-For", "[2001:db8:{n}::1]:99")],
    [("X-Forwarded-For", "127.0.0.1")],
    [("X-Forwarded-For", "::1")],
    [("X-Forwarded-For", "unknown")],
    [("X-Forwarded-For", "198.51.100.{n}\t")],
    [("X-Forwarded-For", "198.51.100.{n}" + ", 1.1.1.1" * 500)],
    [("X-Real-IP", "198.51.100.{n}")],
    [("X-Client-IP", "198.51.100.{n}"), ("True-Client-IP", "198.51.100.{n}")],
    [("CF-Connecting-IP", "198.51.100.{n}"), ("X-Cluster-Client-IP", "198.51.100.{n}")],
    [("Forwarded", "for=198.51.100.{n};proto=https")],
    [("X-Originating-IP", "198.51.100.{n}"), ("X-Remote-Addr", "198.51.100.{n}")],
]


async def fail(p: RunningPlatform, n: int, headers: Headers = (), ip: str = "10.7.7.7") -> int:
    async with p.new_client(ip=ip) as client:
        answer = await client.post(
            f"{API}/auth/login",
            json={"email": f"user-{n}@example.com", "password": "wrong"},
            headers=[(name, value.replace("{n}", str(n))) for name, value in headers],
        )
    return answer.status_code


async def test_row_40_nothing_that_a_client_says_changes_its_bucket(platform: PlatformFactory) -> None:
    """Row 40: without configured proxies no header counts, and the trail has the peer."""
    async with platform(["user_management"], seed=essentials, settings=STRICT_LOGINS) as p:
        await asyncio.gather(*(fail(p, 1000 + n) for n in range(10)))
        for n, headers in enumerate(SPOOFS):
            assert await fail(p, n, headers) == 429, headers
        addresses = await p.sql("SELECT DISTINCT host(ip) AS ip FROM audit.audit_logs WHERE ip IS NOT NULL")
        assert [row["ip"] for row in addresses] == ["10.7.7.7"]


async def test_row_40_behind_a_proxy_only_what_the_proxy_added_counts(platform: PlatformFactory) -> None:
    """Row 40: entries left of the last untrusted hop are the client's own words; one that is no address voids all."""
    proxied = {**STRICT_LOGINS, "PLATFORM_TRUSTED_PROXIES": "10.0.0.1,10.1.0.0/16"}
    async with platform(["user_management"], seed=essentials, settings=proxied) as p:
        attacker = "203.0.113.66"
        for n in range(10):
            assert await fail(p, n, [("X-Forwarded-For", f"198.51.100.{n}, {attacker}")], "10.0.0.1") == 401
        for headers in (
            [("X-Forwarded-For", f"1.2.3.4, {attacker}")],
            [("X-Forwarded-For", f"10.1.2.3, {attacker}")],
            [("X-Forwarded-For", f"{attacker}, 10.1.2.3")],
            [("X-Forwarded-For", f"8.8.8.8, {attacker}, 10.1.2.3, 10.1.9.9")],
            [("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-For", attacker)],
            [("X-Forwarded-For", f"::ffff:{attacker}")],
            [("X-Forwarded-For", f"{attacker}:4711")],
        ):
            assert await fail(p, 50, headers, "10.0.0.1") == 429, headers
        assert await fail(p, 60, [("X-Forwarded-For", f"{attacker}")], "10.9.9.9") == 401, (
            "that is no proxy of ours"
        )
        assert await fail(p, 61, [("X-Forwarded-For", "198.51.100.200")], "10.0.0.1") == 401, "somebody else"
        before = len(await p.sql("SELECT 1 FROM user_management.login_failures WHERE key = 'ip:10.0.0.1'"))
        assert before == 0
        assert await fail(p, 62, [("X-Forwarded-For", f"junk, {attacker}")], "10.0.0.1") in (401, 429)
        rows = await p.sql("SELECT key FROM user_management.login_failures WHERE key = 'ip:10.0.0.1'")
        assert len(rows) == 1, "garbage counts for the proxy itself: closed, not open"


PATHS = [
    "/api/v1/auth/login",
    "//api/v1/auth/login",
    "/api/v1//auth/login",
    "/api/v1/auth/login/",
    "/api/v1/auth/%6cogin",
    "/api/v1/auth/LOGIN",
    "/API/V1/auth/login",
    "/api/v1/auth/login%2f",
    "/api/v1/auth/./login",
    "/api/v1/users/../auth/login",
    "/api/v1/auth/login;x=1",
    "/api/v1/auth/login?x=1",
    "/api/v1/auth/login%00",
    "/api/v2/auth/login",
]


async def test_row_41_every_spelling_of_a_path_shares_one_bucket(platform: PlatformFactory) -> None:
    """Row 41: after ten failures no variant of the address gets a password checked."""
    async with platform(["user_management"], seed=essentials, settings=STRICT_LOGINS) as p:
        await sign_up(p, "eve")
        await asyncio.gather(*(fail(p, n) for n in range(10)))
        async with p.new_client(ip="10.7.7.7") as client:
            for path in PATHS:
                body = {"email": "eve@example.com", "password": PASSWORD}
                answer = await client.post(f"https://testserver{path}", json=body)
                assert answer.status_code in (404, 405, 422, 429), (path, answer.status_code)
                assert "access_token" not in answer.text


async def test_row_41_strays_and_refusals_count_like_everything_else(platform: PlatformFactory) -> None:
    """Row 41: 404, 405 and 401 use up the same allowance per address, in any spelling and with any method."""
    settings = {"PLATFORM_RATE_LIMIT_ANONYMOUS": "12/minute"}
    async with platform(["user_management"], seed=essentials, settings=settings) as p:
        async with p.new_client(ip="10.8.8.8") as client:
            statuses = []
            for path in (*PATHS, *PATHS):
                method = ("GET", "HEAD", "POST", "DELETE")[len(statuses) % 4]
                statuses.append((await client.request(method, f"https://testserver{path}")).status_code)
        api = [s for s, path in zip(statuses, (*PATHS, *PATHS), strict=True) if path.startswith("/api/v1/")]
        assert api[-8:] == [429] * 8, statuses
        bad = {"Authorization": "Bearer x"}
        async with p.new_client(bad, ip="10.8.8.8") as client:
            answer = await client.get(f"{API}/users/me")
            assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)


async def test_row_43_the_users_limit_follows_over_addresses_tokens_and_replicas(
    platform: PlatformFactory,
) -> None:
    """Row 43: new sessions, other addresses and another process do not make it larger."""
    settings = {"PLATFORM_RATE_LIMIT_USER": "30/minute"}
    async with (
        platform(["user_management"], seed=essentials, settings=settings) as p,
        platform(["user_management"], settings=settings, beside=p) as q,
    ):
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        sessions = [eve, *[await log_in(p, eve.email) for _ in range(3)]]
        statuses = []
        for n in range(44):
            token, replica = sessions[n % 4].access_token, (p, q)[n % 2]
            async with replica.new_client({"Authorization": f"Bearer {token}"}, ip=f"10.3.{n}.1") as client:
                statuses.append((await client.get(f"{API}/users/me")).status_code)
        assert statuses.count(200) <= 30 + 2
        assert statuses[-8:] == [429] * 8
        assert (await ben.client.get(f"{API}/users/me")).status_code == 200, "nobody else's"


async def test_a_dead_token_does_not_use_up_its_owners_allowance(platform: PlatformFactory) -> None:
    """Row 43: who stole a token that is revoked cannot lock its owner out with it."""
    settings = {"PLATFORM_RATE_LIMIT_USER": "20/minute"}
    async with platform(["user_management"], seed=essentials, settings=settings) as p:
        eve = await sign_up(p, "eve")
        stolen = await log_in(p, eve.email)
        await stolen.client.post(f"{API}/auth/logout")
        async with p.new_client({"Authorization": f"Bearer {stolen.access_token}"}, ip="10.6.6.6") as thief:
            statuses = [(await thief.get(f"{API}/users/me")).status_code for _ in range(40)]
        assert set(statuses) == {401}
        assert (await eve.client.get(f"{API}/users/me")).status_code == 200


async def test_row_42_logins_stay_locked_when_redis_is_emptied_and_in_parallel_on_two_replicas(
    platform: PlatformFactory,
) -> None:
    """Row 42: forty guesses at once on two processes, from forty addresses: five are answered."""
    async with (
        platform(["user_management"], seed=essentials, settings=STRICT_LOGINS) as p,
        platform(["user_management"], settings=STRICT_LOGINS, beside=p) as q,
    ):
        await sign_up(p, "eve")

        async def guess(n: int) -> int:
            async with (p, q)[n % 2].new_client(ip=f"10.4.{n}.1") as client:
                body = {"email": "eve@example.com", "password": f"guess {n}"}
                return (await client.post(f"{API}/auth/login", json=body)).status_code

        statuses = await asyncio.gather(*map(guess, range(40)))
        assert statuses.count(401) == 5
        assert set(statuses) == {401, 429}
        await p.kernel.redis.call("FLUSHDB")
        assert await guess(99) == 429


async def test_row_37_every_way_to_try_a_password_counts_for_one_account(platform: PlatformFactory) -> None:
    """Row 37: spellings of the address, and the form that changes the password, share the account's five tries."""
    async with platform(["user_management"], seed=essentials, settings=STRICT_LOGINS) as p:
        eve = await sign_up(p, "eve")

        async def login(email: str, password: str, ip: str) -> int:
            async with p.new_client(ip=ip) as client:
                body = {"email": email, "password": password}
                return (await client.post(f"{API}/auth/login", json=body)).status_code

        for n, email in enumerate(("eve@example.com", "EVE@EXAMPLE.COM", " Eve@example.com\t")):
            assert await login(email, "wrong", f"10.5.{n}.1") == 401
        for _ in range(2):
            body = {"current_password": "wrong", "new_password": "quite another sentence"}
            assert (await eve.client.post(f"{API}/users/me/password", json=body)).status_code == 422
        assert await login("eve@example.com", PASSWORD, "10.5.9.1") == 429


@pytest.mark.slow
async def test_row_46_two_hundred_logins_at_once_leave_the_probe_quick(platform: PlatformFactory) -> None:
    """Row 46: at a real cost; beyond the queue callers are told to come again, and the event loop stays free."""
    settings = {
        "PLATFORM_USER_MANAGEMENT_BCRYPT_COST": "10",
        "PLATFORM_USER_MANAGEMENT_HASH_QUEUE": "16",
        "PLATFORM_USER_MANAGEMENT_HASH_CONCURRENCY": "2",
    }
    async with platform(["user_management"], seed=essentials, settings=settings) as p:

        async def login(n: int) -> int:
            body = {"email": f"user-{n}@example.com", "password": "wrong"}
            return (await p.client.post(f"{API}/auth/login", json=body)).status_code

        flood = [asyncio.create_task(login(n)) for n in range(200)]
        took = []
        while not all(task.done() for task in flood):
            started = time.perf_counter()
            assert (await p.client.get("/health/live")).status_code == 200
            took.append(time.perf_counter() - started)
            await asyncio.sleep(0.01)
        statuses = [task.result() for task in flood]
        assert set(statuses) == {401, 429}
        assert statistics.median(took) < 0.2, sorted(took)
