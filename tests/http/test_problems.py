import re
import uuid

import pytest

MEMBERS = {"type", "title", "status", "detail", "instance", "request_id"}


async def requests_that_fail(visitor, member, plain):
    yield 401, await visitor.get("/widgets")
    yield 403, await plain.patch("/widgets/01a20642-efa1-7266-8d38-9a0b4f4ef27a", json={"name": "a"})
    yield 404, await visitor.get("/nowhere")
    yield 404, await member.get("/widgets/01a20642-efa1-7266-8d38-9a0b4f4ef27a")
    yield 405, await visitor.put("/who")
    yield 413, await visitor.post("/deep", json={"a": "b" * 2_000_000})
    yield 415, await visitor.post("/deep", content=b"a=b", headers={"Content-Type": "text/plain"})
    yield 422, await member.post("/widgets", json={})
    yield 500, await visitor.get("/boom")
    yield 503, await visitor.get("/broken/thing")
    for _ in range(30):
        answer = await visitor.post("/sign-up", json={"name": "a"})
    yield 429, answer


async def test_every_refusal_is_one_shape_with_every_header(rig, visitor, member):
    async with rig.client(token=await rig.log_in()) as plain:
        async for status, answer in requests_that_fail(visitor, member, plain):
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
            body = answer.json()
            assert body.keys() >= MEMBERS
            assert body["status"] == status
            assert body["request_id"] == answer.headers["x-request-id"]
            assert re.fullmatch(r"/problems/[a-z-]+", body["type"])
            assert body["instance"] == answer.request.url.raw_path.decode().partition("?")[0]
            for header in ("ratelimit", "ratelimit-policy", "x-content-type-options", "x-request-id"):
                assert header in answer.headers
            assert answer.headers["cache-control"] == "no-store"
            assert "server" not in answer.headers
            assert not re.search(r"Traceback|/etc/passwd|site-packages|RuntimeError|SELECT|\.py", answer.text)


async def test_every_problem_type_is_explained_to_people_and_programs(rig, visitor, member):
    async with rig.client(token=await rig.log_in()) as plain:
        async for _, answer in requests_that_fail(visitor, member, plain):
            url = f"http://shop.test{answer.json()['type']}"
            page = await visitor.get(url, headers={"Accept": "text/html"})
            assert page.status_code == 200
            assert answer.json()["title"].partition("`")[0] in page.text
            assert "default-src 'none'" in page.headers["content-security-policy"]
            document = (await visitor.get(url)).json()
            assert document["status"] == answer.status_code
            assert document["detail"]


async def test_an_unknown_problem_type_is_not_found(visitor):
    assert (await visitor.get("http://shop.test/problems/never-heard-of")).status_code == 404


async def test_a_modules_own_problem_is_explained_with_its_module(visitor):
    document = (await visitor.get("http://shop.test/problems/widget-taken")).json()
    assert document["module"] == "shop"
    assert document["status"] == 409


async def test_errors_point_to_the_field_and_never_repeat_its_value(member):
    secret = "hunter2-hunter2"
    answer = await member.post("/widgets", json={"name": secret * 10, "password": secret, "colour": 7})
    assert answer.status_code == 422
    assert secret not in answer.text
    errors = {error["pointer"]: error for error in answer.json()["errors"]}
    assert errors.keys() == {"/body/name", "/body/password", "/body/colour"}
    assert errors["/body/password"]["code"] == "extra_forbidden"
    assert all(error["message"] for error in errors.values())


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/widgets?limit=0", "/query/limit"),
        ("/widgets?limit=201", "/query/limit"),
        ("/widgets?limit=many", "/query/limit"),
        ("/widgets?cursor=forged", "/query/cursor"),
        ("/widgets?cursor=" + "a" * 3000, "/query/cursor"),
        ("/widgets/no-uuid", "/path/widget_id"),
    ],
)
async def test_errors_point_into_the_address_too(member, path, pointer):
    answer = await member.get(path)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"name": NaN}',
        b'{"name": "a", "name": }',
        b"\xff\xfe",
        b'{"name": "a"} trailing',
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
)
async def test_malformed_bodies_are_422_however_they_are_malformed(member, body):
    answer = await member.post("/widgets", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("/body")


async def test_who_may_not_learns_nothing_about_the_body(rig, visitor, member):
    widget = (await member.post("/widgets", json={"name": str(uuid.uuid4())})).json()["id"]
    missing = "01a20642-efa1-7266-8d38-9a0b4f4ef27a"
    broken = {"content": b"{", "headers": {"Content-Type": "application/json"}}
    assert (await visitor.post("/widgets", **broken)).status_code == 401
    assert (await visitor.patch("/widgets/nonsense", **broken)).status_code == 401
    async with rig.client(token=await rig.log_in()) as plain:
        assert (await plain.patch(f"/widgets/{widget}", **broken)).status_code == 403
        assert (await plain.patch("/widgets/nonsense?x=%00", **broken)).status_code == 403
    assert (await member.patch(f"/widgets/{missing}", **broken)).status_code == 404
    assert (await member.patch(f"/widgets/{missing}", json={"unknown": 1})).status_code == 404
    assert (await member.patch(f"/widgets/{widget}", **broken)).status_code == 422


async def test_a_missing_token_and_a_bad_one_are_challenged_differently(rig, visitor):
    missing = await visitor.get("/widgets")
    assert missing.headers["www-authenticate"] == "Bearer"
    bodies = set()
    for value in ("Bearer x", "Bearer ", "Basic YTpi", "bearer", "Bearer a b", "Bearer " + "x" * 9000):
        answer = await visitor.get("/widgets", headers={"Authorization": value})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        document = answer.json()
        del document["request_id"]
        bodies.add(str(document))
    assert len(bodies) == 1
    assert len(rig.denied) == 6
    assert rig.denied[0] == ("GET /api/v1/widgets", "unauthenticated")


async def test_two_authorization_headers_are_refused(rig, visitor):
    token = await rig.log_in()
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    assert (await visitor.get("/widgets", headers=headers)).status_code == 401


async def test_the_scheme_may_be_spelt_in_any_case(rig, visitor):
    headers = {"Authorization": f"BEARER {await rig.log_in()}"}
    assert (await visitor.get("/widgets", headers=headers)).status_code == 200


async def test_a_missing_permission_is_audited(rig):
    async with rig.client(token=await rig.log_in("widgets:read")) as plain:
        await plain.delete("/widgets/01a20642-efa1-7266-8d38-9a0b4f4ef27a")
    assert rig.denied == [("DELETE /api/v1/widgets/{widget_id}", "forbidden")]


async def test_a_bad_token_on_a_public_route_makes_a_visitor(visitor):
    answer = await visitor.get("/who", headers={"Authorization": "Bearer rubbish"})
    assert answer.status_code == 200
    assert answer.json()["who"] == "None"


async def test_405_names_the_methods_and_head_is_answered_without_a_body(visitor):
    for method in ("PUT", "OPTIONS", "TRACE", "BREW"):
        answer = await visitor.request(method, "/who")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD"
    head, get = await visitor.head("/who"), await visitor.get("/who")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("path", ["/who/", "//who", "/Who", "/who%2F"])
async def test_there_is_one_spelling_of_a_path_and_no_redirect(visitor, path):
    assert (await visitor.get(f"http://shop.test/api/v1{path}")).status_code == 404


async def test_fixed_words_win_over_parameters_but_only_where_the_method_exists(member):
    answer = await member.post("/widgets/located", json={"name": str(uuid.uuid4())})
    assert answer.status_code == 201
    answer = await member.patch("/widgets/located", json={"name": "b"})  # PATCH /widgets/{widget_id}
    assert answer.status_code == 422
