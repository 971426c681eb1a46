import asyncio
import re
import socket
import time

import pytest

from platform_core.cache import Bucket, LocalLimiter
from platform_core.settings import RateLimit


def left(answer):
    found = dict(re.findall(r'"(\w+)";r=(\d+)', answer.headers["ratelimit"]))
    return {name: int(count) for name, count in found.items()}


async def statuses(client, path, count):
    return [(await client.get(path)).status_code for _ in range(count)]


async def test_every_answer_says_what_is_left(rig, visitor, member):
    first, second = await visitor.get("/who"), await visitor.get("/nowhere")
    assert left(first) == {"anonymous": 299}
    assert left(second) == {"anonymous": 298}
    assert first.headers["ratelimit-policy"] == '"anonymous";q=300;w=60'
    assert re.fullmatch(r'"anonymous";r=299;t=([1-9]|[1-5]\d|60)', first.headers["ratelimit"])
    of_user = await member.get("/widgets")
    assert of_user.headers["ratelimit-policy"] == '"user";q=1200;w=60'
    assert left(of_user) == {"user": 1199}


async def test_visitors_are_counted_by_address(build):
    rig = await build(PLATFORM_RATE_LIMIT_ANONYMOUS="3/minute")
    async with rig.client(ip="192.0.2.1") as one, rig.client(ip="192.0.2.2") as two:
        assert await statuses(one, "/who", 4) == [200, 200, 200, 429]
        assert await statuses(two, "/who", 1) == [200]
        refused = await one.get("/who")
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        assert refused.json()["type"] == "/problems/rate-limited"
        assert left(refused) == {"anonymous": 0}


async def test_an_ipv6_host_cannot_choose_another_address_of_its_network(build):
    rig = await build(PLATFORM_RATE_LIMIT_ANONYMOUS="2/minute")
    found = []
    for ip in ("2001:db8::1", "2001:db8::2", "2001:db8::ffff:3", "2001:db8:0:1::1"):
        async with rig.client(ip=ip) as client:
            found += await statuses(client, "/who", 1)
    assert found == [200, 200, 429, 200]


async def test_users_are_counted_over_all_addresses_and_sessions(build):
    rig = await build(PLATFORM_RATE_LIMIT_USER="3/minute", PLATFORM_RATE_LIMIT_ANONYMOUS="1/minute")
    token = await rig.log_in()
    user_id = token.partition(".")[0]
    found = []
    for ip, session in (("192.0.2.1", token), ("192.0.2.2", token)):
        async with rig.client(ip=ip, token=session) as client:
            found += await statuses(client, "/widgets", 1)
    async with rig.client(ip="192.0.2.3", token=await rig.log_in(user_id=user_id)) as client:
        found += await statuses(client, "/widgets", 2)
    assert found == [200, 200, 200, 429]


async def test_bad_tokens_and_stray_paths_count_on_the_address(build):
    rig = await build(PLATFORM_RATE_LIMIT_ANONYMOUS="4/minute")
    async with rig.client() as client:
        bad = {"Authorization": "Bearer rubbish"}
        found = [(await client.get("/widgets", headers=bad)).status_code for _ in range(2)]
        found += await statuses(client, "/nowhere", 1)
        found += [(await client.put("/who")).status_code]
        found += await statuses(client, "/nowhere", 1)
        found += [(await client.get("/widgets", headers=bad)).status_code]
    assert found == [401, 401, 404, 405, 429, 429]
    assert len(rig.denied) == 2


async def test_a_revoked_token_uses_up_the_address_not_the_user(build):
    rig = await build(PLATFORM_RATE_LIMIT_ANONYMOUS="5/minute", PLATFORM_RATE_LIMIT_USER="5/minute")
    token = await rig.log_in()
    user_id, _, session_id = token.partition(".")
    await rig.sql("UPDATE shop.sessions SET is_active = false WHERE id = %(id)s", id=session_id)
    async with rig.client(token=token) as thief:
        assert await statuses(thief, "/widgets", 7) == [401] * 5 + [429] * 2
    async with rig.client(token=await rig.log_in(user_id=user_id)) as owner:
        assert await statuses(owner, "/widgets", 4) == [200] * 4


async def test_a_route_may_have_a_limit_beside_the_general_one(build):
    rig = await build(PLATFORM_RATE_LIMIT_SIGNUP="2/minute")
    async with rig.client() as client:
        answers = [await client.post("/sign-up", json={"name": "a"}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert answers[0].headers["ratelimit-policy"] == '"anonymous";q=300;w=60, "signup";q=2;w=60'
        assert left(answers[1]) == {"anonymous": 298, "signup": 0}
        # the refused one was charged nowhere
        assert left(await client.get("/who")) == {"anonymous": 297}


async def test_two_processes_count_together(build):
    one = await build(PLATFORM_RATE_LIMIT_ANONYMOUS="10/minute")
    two = await build(PLATFORM_RATE_LIMIT_ANONYMOUS="10/minute")
    async with one.client() as first, two.client() as second:
        answers = await asyncio.gather(*(c.get("/who") for c in (first, second) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 10


async def test_the_limit_slides_so_that_two_windows_do_not_make_one_burst(build):
    rig = await build(PLATFORM_RATE_LIMIT_ANONYMOUS="10/2seconds")
    allowed, end = [], time.monotonic() + 5
    async with rig.client() as client:
        while time.monotonic() < end:
            if (await client.get("/who")).status_code == 200:
                allowed.append(time.monotonic())
            await asyncio.sleep(0.02)
    assert max(sum(at <= other < at + 0.3 for other in allowed) for at in allowed) <= 12
    assert 15 <= len(allowed) <= 35


async def test_retry_after_keeps_its_word(build):
    rig = await build(PLATFORM_RATE_LIMIT_ANONYMOUS="2/2seconds")
    async with rig.client() as client:
        await statuses(client, "/who", 2)
        refused = await client.get("/who")
        assert refused.status_code == 429
        await asyncio.sleep(int(refused.headers["retry-after"]))
        assert (await client.get("/who")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-For", "198.51.100.7")],
        [("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-For", "198.51.100.8")],
        [("X-Forwarded-For", "a")],
        [("X-Forwarded-For", "")],
        [("X-Forwarded-For", "2001:db8::9")],
        [("X-Real-IP", "198.51.100.7"), ("Forwarded", "for=198.51.100.7")],
    ],
)
async def test_nobody_can_choose_the_address_that_is_counted(visitor, headers):
    answer = await visitor.get("/who", headers=headers)
    assert answer.json()["ip"] == "192.0.2.1"
    again = await visitor.get("/who")
    assert left(again)["anonymous"] == left(answer)["anonymous"] - 1


@pytest.mark.parametrize(
    ("peer", "forwarded", "ip"),
    [
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.1", "198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::9]:80"], "2001:db8::9"),
        ("10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", ["evil, 198.51.100.7"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7,"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("192.0.2.9", ["198.51.100.7"], "192.0.2.9"),
        ("127.0.0.1", ["198.51.100.7"], "127.0.0.1"),
    ],
)
async def test_only_configured_proxies_are_believed_and_only_what_makes_sense(build, peer, forwarded, ip):
    rig = await build(PLATFORM_TRUSTED_PROXIES="10.0.0.0/8,192.0.2.77")
    async with rig.client(ip=peer) as client:
        headers = [("X-Forwarded-For", value) for value in forwarded]
        assert (await client.get("/who", headers=headers)).json()["ip"] == ip


async def test_without_redis_each_process_counts_by_itself_and_requests_go_on(build, own_redis):
    rig = await build(
        redis_url=own_redis.url,
        PLATFORM_RATE_LIMIT_ANONYMOUS="5/minute",
        PLATFORM_REDIS_TIMEOUT_SECONDS="5",
    )
    async with rig.client() as client:
        assert await statuses(client, "/who", 2) == [200, 200]
    own_redis.stop()
    async with rig.client() as client:
        assert await statuses(client, "/who", 6) == [200] * 5 + [429]
        refused = await client.get("/who")
        assert left(refused) == {"anonymous": 0}
    async with rig.client(token=await rig.log_in()) as member:
        assert await statuses(member, "/widgets", 3) == [200] * 3
    assert b"platform_redis_up 0.0" in rig.metrics.render()


async def test_a_redis_that_swallows_everything_costs_a_time_out_now_and_then(build):
    with socket.create_server(("127.0.0.1", 0)) as listener:  # the kernel accepts, and nobody ever answers
        rig = await build(redis_url=f"redis://127.0.0.1:{listener.getsockname()[1]}")
        began = time.monotonic()
        async with rig.client(token=await rig.log_in()) as client:
            answers = await asyncio.gather(*(client.get("/widgets") for _ in range(20)))
            while time.monotonic() < began + 2.5:
                answers.append(await client.get("/widgets"))
                await asyncio.sleep(0.02)
        took = time.monotonic() - began
    assert {answer.status_code for answer in answers} == {200}
    # each is one time-out, which all shared who asked meanwhile; the breaker stays open for a second
    assert 1 <= rig.redis.failures_count <= took + 1


async def test_redis_is_used_again_when_it_is_back(build, own_redis):
    rig = await build(redis_url=own_redis.url, PLATFORM_REDIS_TIMEOUT_SECONDS="5")
    own_redis.stop()
    async with rig.client() as client:
        await client.get("/who")
        assert not rig.redis.is_available
        own_redis.start()
        await asyncio.sleep(1.1)
        assert left(await client.get("/who")) == {"anonymous": 299}
        assert rig.redis.is_available


async def test_a_redis_without_memory_is_like_none(build, own_redis):
    rig = await build(redis_url=own_redis.url)
    await rig.redis.call("CONFIG", "SET", "maxmemory", "1")
    async with rig.client(token=await rig.log_in()) as client:
        assert await statuses(client, "/widgets", 3) == [200] * 3


def test_the_local_limiter_forgets_the_longest_unused_bucket_first():
    limiter = LocalLimiter(capacity_count=2, clock=lambda: 1000.0)
    buckets = [Bucket("anonymous", owner, RateLimit(1, 60)) for owner in "abc"]
    assert limiter.admit([buckets[0]]).allowed
    assert not limiter.admit([buckets[0]]).allowed
    assert limiter.admit([buckets[1]]).allowed
    assert limiter.admit([buckets[2]]).allowed
    assert limiter.admit([buckets[0]]).allowed


def test_the_local_limiter_charges_all_buckets_or_none():
    now = 1000.0
    limiter = LocalLimiter(clock=lambda: now)
    wide, narrow = Bucket("anonymous", "a", RateLimit(5, 60)), Bucket("signup", "a", RateLimit(1, 60))
    assert limiter.admit([wide, narrow]).allowed
    refused = limiter.admit([wide, narrow])
    assert not refused.allowed
    assert refused.retry_after_seconds > 0
    assert limiter.admit([wide]).allowances[0].remaining == 3
    now += refused.retry_after_seconds
    assert limiter.admit([narrow]).allowed
