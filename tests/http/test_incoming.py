"""Bodies that a route reads itself, and bytes that go out as they are."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from platform_core._http_server import HttpServer, bind
from platform_core.errors import NotFound
from platform_core.http import Content, Incoming, Router, download, form_body
from platform_core.http.assembly import HttpParts, ModuleRoutes, build_app
from platform_core.http.incoming import IncomingBody

LIMIT = 300_000
DATA = os.urandom(250_000)


def routes(rig) -> Router:
    router = Router()

    @router.post("/things", status_code=201, public=True, openapi_extra=form_body(file="A thing."))
    async def upload(incoming: Incoming) -> dict[str, object]:
        async with incoming.form(limit_bytes=LIMIT, fields=["note"]) as form:
            await form.content.keep("depot/thing")
            rig.bus.calls = getattr(rig.bus, "calls", 0) + 1
            return {
                "name": form.filename,
                "sha256": form.content.sha256,
                "note": form.fields.get("note"),
                "call": rig.bus.calls,
            }

    @router.patch("/things", status_code=200, public=True, headers={"X-Depot": "yes"})
    async def append(incoming: Incoming) -> dict[str, int | bool]:
        async with incoming.body(limit_bytes=LIMIT) as body:
            return {"size": body.content.size_bytes, "is_complete": body.is_complete}

    @router.get("/things", public=True, raises=(NotFound,))
    async def read(name: str = "thing.bin", kind: str = "text/html") -> Response:
        return await download(
            Content(
                name=name,
                media_type=kind,
                size_bytes=len(DATA),
                tag=hashlib.sha256(DATA).hexdigest(),
                read=lambda start, stop: rig.storage.read("depot/thing", start=start, stop=stop),
            )
        )

    return router


@pytest.fixture
async def client(rig) -> AsyncIterator[httpx2.AsyncClient]:
    parts = HttpParts(
        settings=rig.settings,
        bus=rig.bus,
        pools=rig.pools,
        keys=rig.keys,
        gate=rig.gate,
        standings=rig.standings,
        authenticators=lambda: {"bearer": rig.tokens},
        audit_denied=rig.audit,
        storage=rig.storage,
        modules=[ModuleRoutes("depot", "Depot", [routes(rig)])],
    )
    rig.app = build_app(parts)
    async with rig.client() as client:
        yield client


def left_behind(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "files/.drafts").glob("*"))


async def test_a_file_in_a_form_arrives_with_its_fields(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/things", files={"file": ("a b.bin", DATA)}, data={"note": "grün"})
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["name"], body["note"]) == ("a b.bin", "grün")
    assert body["sha256"] == hashlib.sha256(DATA).hexdigest()


def form(*parts: bytes, end: bytes = b"--x--\r\n") -> bytes:
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + end


def part(disposition: bytes, content: bytes = b"hello", *headers: bytes) -> bytes:
    lines = [b"Content-Disposition: " + disposition, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + content


FILE = part(b'form-data; name="file"; filename="a.txt"')


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        pytest.param(form(), "/body/file", "missing", id="no part"),
        pytest.param(
            form(part(b'form-data; name="note"')), "/body/file", "missing", id="a field and no file"
        ),
        pytest.param(form(FILE, FILE), "/body/file", "repeated", id="two files"),
        pytest.param(form(part(b'form-data; name="file"')), "/body/file", "file_expected", id="text as file"),
        pytest.param(
            form(FILE, part(b'form-data; name="owner_id"')), "/body/owner_id", "extra_forbidden", id="unknown"
        ),
        pytest.param(
            form(FILE, part(b'form-data; name="note"; filename="x"')),
            "/body/note",
            "extra_forbidden",
            id="a file as a field",
        ),
        pytest.param(
            form(FILE, part(b'form-data; name="note"', b"x" * 5000)),
            "/body/note",
            "string_too_long",
            id="long field",
        ),
        pytest.param(form(FILE, end=b""), "/body", "multipart_invalid", id="cut off"),
        pytest.param(form(part(b"attachment")), "/body", "multipart_invalid", id="no name"),
        pytest.param(
            form(part(b'form-data; name="file"; filename="a\0b"')), "/body", "multipart_invalid", id="NUL"
        ),
        pytest.param(
            form(part(b'form-data; name="file"; filename="\xff"')), "/body", "multipart_invalid", id="latin-1"
        ),
        pytest.param(form(*[FILE] * 1001), "/body/file", "repeated", id="1,001 parts"),
        pytest.param(
            form(part(b'form-data; name="file"; filename="a"', b"", *[b"X: y"] * 10_000)),
            "/body",
            "multipart_invalid",
            id="10,000 headers",
        ),
        pytest.param(b"p" * 200_000 + form(FILE), "/body", "multipart_invalid", id="huge preamble"),
        pytest.param(b"", "/body", "multipart_invalid", id="empty"),
    ],
)
async def test_row_64_a_form_with_tricks_is_refused_and_leaves_nothing(
    client: httpx2.AsyncClient, tmp_path: Path, rig, body: bytes, pointer: str, code: str
) -> None:
    answer = await client.post(
        "/things", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 422, answer.text
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [(pointer, code)]
    rig.storage.close()
    await asyncio.sleep(0.05)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("multipart/form-data", 422),
        (f"multipart/form-data; boundary={'x' * 71}", 422),
        ("application/json", 415),
        (None, 422),
    ],
)
async def test_row_64_what_is_no_form_is_told_as_that(
    client: httpx2.AsyncClient, content_type: str | None, status: int
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert (await client.post("/things", content=form(FILE), headers=headers)).status_code == status


async def test_a_file_that_is_too_large_is_refused_declared_or_not(
    client: httpx2.AsyncClient, tmp_path: Path, rig
) -> None:
    large = os.urandom(LIMIT + 1)
    declared = await client.post("/things", files={"file": ("a", large + DATA)})
    assert (declared.status_code, declared.json()["limit_bytes"]) == (413, LIMIT + 65536)
    assert declared.headers["connection"] == "close"

    async def chunks() -> AsyncIterator[bytes]:
        body = form(part(b'form-data; name="file"; filename="a"', large))
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    chunked = await client.post("/things", content=chunks(), headers=headers)
    assert (chunked.status_code, chunked.json()["limit_bytes"]) == (413, LIMIT)
    assert (await client.patch("/things", content=large)).status_code == 413
    rig.storage.close()
    await asyncio.sleep(0.05)
    assert left_behind(tmp_path) == []


async def test_the_same_form_with_the_same_key_has_its_answer_again(client: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = await client.post("/things", files={"file": ("a", DATA)}, headers=key)
    # a client makes up a new boundary for each try
    again = await client.post("/things", files={"file": ("a", DATA)}, headers=key)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    other = await client.post("/things", files={"file": ("a", DATA + b"x")}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    renamed = await client.post("/things", files={"file": ("b", DATA)}, headers=key)
    assert renamed.status_code == 422


async def test_plain_bytes_arrive_and_every_answer_carries_the_headers_of_its_route(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.patch("/things", content=DATA)
    assert answer.json() == {"size": len(DATA), "is_complete": True}
    assert answer.headers["x-depot"] == "yes"
    assert (await client.patch("/things", content=DATA + DATA)).headers["x-depot"] == "yes"


async def test_of_plain_bytes_what_came_counts_when_the_client_leaves(rig) -> None:
    class Leaving:
        headers: dict[str, str] = {}  # noqa: RUF012  # read only

        def allow(self, limit_bytes: int) -> None: ...
        def check_declared(self, declared: str | None) -> None: ...
        async def stream(self) -> AsyncIterator[bytes]:
            yield DATA
            raise ClientDisconnect

    async def new(_summary: bytes) -> None: ...

    incoming = IncomingBody(Leaving(), rig.storage, new)
    async with incoming.body(limit_bytes=LIMIT) as body:
        assert (body.is_complete, body.content.size_bytes) == (False, len(DATA))


@pytest.fixture
async def stored(client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    await client.post("/things", files={"file": ("a", DATA)})
    return client


async def test_what_is_downloaded_runs_in_no_browser(stored: httpx2.AsyncClient) -> None:
    answer = await stored.get("/things", params={"name": "Grüße \"'\r\nX: y/../e.html"})
    assert answer.content == DATA
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    disposition = answer.headers["content-disposition"]
    assert disposition == (
        'attachment; filename="Gr__e _\'__X_ y_.._e.html"; '
        "filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%22%27%0D%0AX%3A%20y%2F..%2Fe.html"
    )
    assert "x" not in answer.headers
    odd = await stored.get("/things", params={"kind": "text/html\r\nX-Evil: 1"})
    assert odd.headers["content-type"] == "application/octet-stream"


async def test_head_tells_everything_but_the_bytes(stored: httpx2.AsyncClient) -> None:
    answer = await stored.head("/things")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(("path", "status"), [("/things", b"200"), ("/nowhere", b"404")])
async def test_a_connection_goes_on_behind_an_answer_without_its_bytes(
    rig, stored: httpx2.AsyncClient, path: str, status: bytes
) -> None:
    """Over the server that ships: it counts the bytes of an answer, and has to know that these will not come."""
    listener = bind("127.0.0.1", 0)
    server = HttpServer(rig.app, listener)
    running = asyncio.create_task(server.run_until_told())
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    try:
        for method, ending in (("HEAD", ""), ("GET", "Connection: close\r\n")):
            writer.write(f"{method} /api/v1{path} HTTP/1.1\r\nHost: shop.test\r\n{ending}\r\n".encode())
        async with asyncio.timeout(10):
            head, whole, body = (await reader.read()).split(b"\r\n\r\n", 2)
        assert head.startswith(b"HTTP/1.1 " + status)
        assert whole.startswith(b"HTTP/1.1 " + status)
        assert body
    finally:
        writer.close()
        server.stop()
        await running


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, 250_000),
        ("bytes=-7", 249_993, 250_000),
        ("bytes=-9999999", 0, 250_000),
        ("bytes=249999-999999999999", 249_999, 250_000),
        ("Bytes=5-5", 5, 6),
    ],
)
async def test_a_range_is_answered_with_just_that(
    stored: httpx2.AsyncClient, asked: str, start: int, stop: int
) -> None:
    answer = await stored.get("/things", headers={"Range": asked})
    assert (answer.status_code, answer.content == DATA[start:stop]) == (206, True)
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"


@pytest.mark.parametrize(
    "asked",
    ["bytes=250000-", "bytes=9-3", "bytes=-", "bytes=-0", "bytes=x", "bytes=1-2-3", "bytes=", "bytes"],
)
async def test_row_65_a_range_that_is_none_or_lies_outside_is_416(
    stored: httpx2.AsyncClient, asked: str
) -> None:
    answer = await stored.get("/things", headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(DATA)}"
    assert answer.json()["type"] == "/problems/range-not-satisfiable"


async def test_row_65_a_thousand_ranges_are_answered_with_the_whole(stored: httpx2.AsyncClient) -> None:
    many = ",".join(f"{n}-{n + 1}" for n in range(1000))
    for asked in (f"bytes={many}", "lines=1-2"):
        answer = await stored.get("/things", headers={"Range": asked})
        assert (answer.status_code, len(answer.content)) == (200, len(DATA))
    assert (await stored.get("/things", headers={"Range": f"bytes={'9' * 400}-"})).status_code == 416


async def test_conditions_decide_between_nothing_a_part_and_the_whole(stored: httpx2.AsyncClient) -> None:
    tag = (await stored.head("/things")).headers["etag"]
    assert tag == f'"{hashlib.sha256(DATA).hexdigest()}"'
    assert (await stored.get("/things", headers={"If-None-Match": tag})).status_code == 304
    fresh = await stored.get("/things", headers={"Range": "bytes=0-1", "If-Range": tag})
    assert fresh.status_code == 206
    stale = await stored.get("/things", headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (stale.status_code, len(stale.content)) == (200, len(DATA))


async def test_content_that_is_gone_is_404_and_a_storage_that_is_away_503(
    stored: httpx2.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "files/depot/thing").unlink()
    assert (await stored.get("/things")).status_code == 404
    (tmp_path / "files/depot/thing").symlink_to("/etc/passwd")
    away = await stored.get("/things")
    assert (away.status_code, away.json()["type"]) == (503, "/problems/unavailable")
