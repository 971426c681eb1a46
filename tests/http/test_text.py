import pytest


@pytest.mark.parametrize(
    "body",
    [
        rb'{"name": "a\u0000b"}',
        b'{"name": "a\x00b"}',
        rb'{"name": "\ud800"}',
        rb'{"name": "\udc00\ud800"}',
        rb'{"na\u0000me": "a"}',
        rb'{"name": {"deep": ["\u0000"]}}',
        b'{"name": "\xed\xa0\x80"}',
    ],
)
async def test_nul_and_half_surrogates_in_a_body_are_422(member, body):
    answer = await member.post("/widgets", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("/body")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (rb'{"name": {"deep": ["", "\u0000"]}}', "/body/name/deep/1"),
        (rb'{"a/b": {"m~n": {"c": "\u0000"}}}', "/body/a~1b/m~0n/c"),
        (rb'{"name": {"na\u0000me": 1}}', "/body/name"),
    ],
)
async def test_nul_is_pointed_at_however_the_keys_are_called(member, body, pointer):
    answer = await member.post("/widgets", content=body, headers={"Content-Type": "application/json"})
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_an_escaped_backslash_is_no_nul(member):
    body = rb'{"name": "\\u0000 \ud83d\ude00"}'
    answer = await member.post("/widgets", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
    assert answer.json()["name"] == "\\u0000 😀"


@pytest.mark.parametrize(
    ("address", "pointer"),
    [
        ("/echo/a%00b", "/path/text"),
        ("/echo/%ED%A0%80", "/path"),
        ("/echo/%FF", "/path"),
        ("/echo/a?q=%00", "/query/q"),
        ("/echo/a?q=%ED%A0%80", "/query/q"),
        ("/echo/a?q=%C3%28", "/query/q"),
        ("/echo/a?unknown=%00", "/query/unknown"),
    ],
)
async def test_nul_and_half_surrogates_in_an_address_are_422(visitor, address, pointer):
    answer = await visitor.get(f"http://shop.test/api/v1{address}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_every_other_text_arrives_as_it_was(visitor):
    answer = await visitor.get("/echo/%F0%9F%98%80%20x", params={"q": "ä+b %00".replace("%00", "%")})
    assert answer.json() == {"text": "😀 x", "q": "ä+b %"}


@pytest.mark.parametrize("name", [b"a\x00b.txt", b"a\\x00.txt\x00"])
async def test_nul_in_a_form_is_422(visitor, name):
    body = b'--y\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\nx\r\n--y--\r\n' % name
    headers = {"Content-Type": "multipart/form-data; boundary=y"}
    answer = await visitor.post("/upload", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/body/file"


async def test_unknown_query_parameters_do_not_matter(visitor):
    assert (await visitor.get("/echo/a?utm_source=mail&q=b&q=c")).json() == {"text": "a", "q": "c"}


@pytest.mark.parametrize("framing", ["declared", "chunked"])
async def test_a_body_that_is_too_large_is_413_however_it_is_framed(visitor, framing):
    sent = 0

    async def chunks():
        nonlocal sent
        for _ in range(1000):
            sent += 100_000
            yield b" " * 100_000

    content = b" " * 5_000_000 if framing == "declared" else chunks()
    answer = await visitor.post("/deep", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["limit_bytes"] == 1024 * 1024
    assert answer.headers["connection"] == "close"
    assert sent < 2_000_000


@pytest.mark.parametrize("framing", ["declared", "chunked"])
async def test_a_route_may_have_a_limit_of_its_own(visitor, framing):
    small = await visitor.post("/upload", files={"file": ("a.txt", b"x" * 1000)})
    assert small.json() == {"name": "a.txt", "size": 1000}
    request = visitor.build_request("POST", "/upload", files={"file": ("a.txt", b"x" * 6000)})
    if framing == "chunked":
        body = request.read()

        async def chunks():
            yield body[:3000]
            yield body[3000:]

        request = visitor.build_request(
            "POST", "/upload", content=chunks(), headers={"Content-Type": request.headers["content-type"]}
        )
    answer = await visitor.send(request)
    assert answer.status_code == 413
    assert answer.json()["limit_bytes"] == 5000


async def test_a_broken_form_is_told_as_a_problem(visitor):
    answer = await visitor.post(
        "/upload", content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=y"}
    )
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
