import asyncio
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

UUID7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.mark.parametrize("sent", ["abc", "A-Z_0.9~:/+=", "x" * 128])
async def test_a_safe_request_id_is_kept(visitor, sent):
    assert (await visitor.get("/who", headers={"X-Request-ID": sent})).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "<script>", "a\x7f", 'a"', "ä".encode()])
async def test_any_other_is_replaced(visitor, sent):
    answer = await visitor.get("/who", headers={"X-Request-ID": sent})
    assert re.fullmatch(UUID7, answer.headers["x-request-id"])


async def test_two_request_ids_are_none(visitor):
    answer = await visitor.get("/who", headers=[("X-Request-ID", "a"), ("X-Request-ID", "b")])
    assert re.fullmatch(UUID7, answer.headers["x-request-id"])


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("sent", [TRACE, TRACE.replace("00-", "01-", 1) + "-more"])
async def test_a_trace_context_is_carried_on(visitor, sent):
    assert (await visitor.get("/who", headers={"traceparent": sent})).json()["trace"] == sent


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "rubbish",
        TRACE.upper(),
        TRACE + "-more",
        TRACE.replace("00-4", "ff-4"),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
    ],
)
async def test_a_broken_trace_context_is_replaced(visitor, sent):
    made = (await visitor.get("/who", headers={"traceparent": sent})).json()["trace"]
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", made)
    assert made[3:35] not in sent


async def test_every_answer_has_the_security_headers(build):
    production = await build(PLATFORM_ENV="production")
    async with production.client() as client:
        for path in ("/who", "/nowhere", "http://shop.test/docs", "http://shop.test/elsewhere"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["strict-transport-security"].startswith("max-age=31536000")


async def test_hsts_is_for_production(visitor):
    assert "strict-transport-security" not in (await visitor.get("/who")).headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("shop.test", 200),
        ("SHOP.test:8000", 200),
        ("a.b.shop.example", 200),
        ("[::1]:80", 200),
        ("shop.example", 400),
        ("evil.test", 400),
        ("shop.test.evil.test", 400),
        ("", 400),
    ],
)
async def test_other_host_names_are_not_served(build, host, status):
    rig = await build(PLATFORM_ALLOWED_HOSTS="shop.test,*.shop.example,[::1]")
    async with rig.client() as client:
        answer = await client.get("/who", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["type"] == "/problems/unknown-host"


async def test_browsers_of_other_origins_are_let_in_only_by_configuration(build, visitor):
    preflight = {"Origin": "https://app.test", "Access-Control-Request-Method": "PATCH"}
    answer = await visitor.options("/widgets", headers=preflight)
    assert "access-control-allow-origin" not in answer.headers
    rig = await build(PLATFORM_CORS_ORIGINS="https://app.test")
    async with rig.client() as client:
        allowed = await client.options("/widgets", headers=preflight)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.test"
        assert "PATCH" in allowed.headers["access-control-allow-methods"]
        assert "x-request-id" in allowed.headers
        refused = await client.get("/widgets", headers={"Origin": "https://app.test"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://app.test"
        assert "RateLimit" in refused.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in refused.headers
        stranger = await client.get("/who", headers={"Origin": "https://evil.test"})
        assert "access-control-allow-origin" not in stranger.headers


REFUSALS = {
    # a body that came too slowly (408) is in test_slow_bodies.py, over a real socket
    "error": (500, "GET", "/boom", {}),
    "draining": (503, "GET", "/who", {}),
    "host": (400, "GET", "/who", {"Host": "evil.test"}),
    "size": (413, "POST", "/deep", {"Content-Length": "9999999"}),
    "type": (415, "POST", "/deep", {"Content-Type": "text/plain"}),
    "json": (422, "POST", "/deep", {"Content-Type": "application/json"}),
    "token": (401, "GET", "/widgets", {"Authorization": "Bearer no"}),
    "path": (404, "GET", "/nowhere", {}),
    "outside": (404, "GET", "http://shop.test/nowhere", {}),
    "method": (405, "PUT", "/who", {}),
    "module": (503, "GET", "/broken/thing", {}),
}


@pytest.mark.parametrize("what", REFUSALS)
@pytest.mark.parametrize("origin", ["https://app.test", "https://evil.test", None])
async def test_row_72_browsers_of_allowed_origins_and_no_others_can_read_every_refusal(build, what, origin):
    rig = await build(PLATFORM_CORS_ORIGINS="https://app.test", PLATFORM_ALLOWED_HOSTS="shop.test")
    rig.traffic.is_draining = what == "draining"
    status, method, path, headers = REFUSALS[what]
    if origin is not None:
        headers = {**headers, "Origin": origin}
    async with rig.client() as client:
        answer = await client.request(
            method, path, headers=headers, content=b"{" if method == "POST" else None
        )
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    if origin == "https://app.test":
        assert answer.headers["access-control-allow-origin"] == origin
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
    else:
        assert "access-control-allow-origin" not in answer.headers


async def test_row_72_too_many_requests_can_be_read_too(build):
    rig = await build(PLATFORM_CORS_ORIGINS="https://app.test", PLATFORM_RATE_LIMIT_ANONYMOUS="1/hour")
    async with rig.client() as client:
        answers = [await client.get("/who", headers={"Origin": "https://app.test"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers["access-control-allow-origin"] == "https://app.test"
    assert "Retry-After" in answers[1].headers["access-control-expose-headers"]


async def test_while_the_process_ends_a_browser_may_still_ask_whether_it_may_ask(build):
    rig = await build(PLATFORM_CORS_ORIGINS="https://app.test")
    rig.traffic.is_draining = True
    preflight = {"Origin": "https://app.test", "Access-Control-Request-Method": "PATCH"}
    async with rig.client() as client:
        answer = await client.options("/widgets", headers=preflight)
    assert answer.status_code == 200  # refused, the browser would never see the 503 of the request itself
    assert answer.headers["connection"] == "close"


async def test_secrets_are_never_cached(visitor):
    answer = await visitor.post("/sign-up", json={"name": "a"})
    assert answer.headers["cache-control"] == "no-store"


async def test_while_the_process_ends_new_requests_go_elsewhere_and_old_ones_end(rig, visitor, member):
    release, arrived = asyncio.Event(), asyncio.Event()

    async def hold():
        arrived.set()
        await release.wait()

    rig.bus.before_commit_pause = hold
    running = asyncio.create_task(member.post("/widgets", json={"name": str(id(release))}))
    await arrived.wait()
    draining = asyncio.create_task(rig.traffic.drain(5))
    await asyncio.sleep(0)
    answer = await visitor.get("/who")
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/shutting-down"
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["connection"] == "close"
    assert not draining.done()
    release.set()
    finished = await running
    assert finished.status_code == 201
    assert finished.headers["connection"] == "close"
    assert await draining == 0


async def test_requests_that_take_longer_than_the_grace_are_told(rig, member):
    release, arrived = asyncio.Event(), asyncio.Event()

    async def hold():
        arrived.set()
        await release.wait()

    rig.bus.before_commit_pause = hold
    running = asyncio.create_task(member.post("/widgets", json={"name": str(id(release))}))
    await arrived.wait()
    assert await rig.traffic.drain(0.05) == 1
    release.set()
    await running


async def test_requests_are_counted_by_route_template_never_by_path(rig, visitor, member):
    await visitor.get("/echo/one")
    await visitor.get("/echo/two")
    await visitor.get("/never/heard/of")
    await visitor.request("BREW", "/who")
    found = {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(rig.metrics.render().decode())
        for sample in family.samples
        if sample.name == "platform_http_requests_total"
    }
    assert found[("GET", "shop", "/api/v1/echo/{text}", "200")] == 2
    assert found[("GET", "platform", "unmatched", "404")] == 1
    assert found[("other", "platform", "unmatched", "405")] == 1
    assert "/echo/one" not in rig.metrics.render().decode()
    assert "platform_http_request_duration_seconds_bucket" in rig.metrics.render().decode()


async def test_each_request_is_one_line_in_the_log(visitor, member, capsys):
    await member.get("/widgets", headers={"X-Request-ID": "mine"})
    printed = capsys.readouterr()
    plain = re.sub("\x1b\\[[0-9;]*m", "", printed.out + printed.err)
    [line] = [line for line in plain.splitlines() if "request_id=mine" in line]
    for part in ("route=/api/v1/widgets", "status=200", "method=GET", "ip=192.0.2.1"):
        assert part in line
    assert "user_id=None" not in line


async def test_a_synchronous_endpoint_runs_in_the_context_of_its_request(visitor):
    answer = await visitor.get("/sync", headers={"X-Request-ID": "mine"})
    assert answer.json() == {"who": "mine"}
