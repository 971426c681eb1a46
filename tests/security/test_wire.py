"""Rows 71 to 75, 78 and B42: the process that production runs, and bytes that no client library would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from attacks import API, MODULES, operations, production

from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform, RunningProcess, RunPlatform
from user_management.testing import PASSWORD, essentials, sign_up

pytestmark = pytest.mark.processes

HOST = "api.example.com"
FRIEND = "https://app.example.com"


@dataclass
class Served:
    """A platform, and a real `platform serve` on its database with the settings of production."""

    p: RunningPlatform
    process: RunningProcess
    port: int
    client: httpx2.AsyncClient

    async def say(self, data: bytes, *, seconds: float = 3) -> bytes:
        """Send bytes on a connection of their own, and return what comes until the other side ends it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            answered = b""
            writer.write(data)
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(seconds):
                    await writer.drain()
                    while more := await reader.read(65536):
                        answered += more
            return answered
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def served(
    platform: PlatformFactory,
    run_platform: RunPlatform,
    *,
    extra: tuple[PluginSource, ...] = (),
    **settings: str,
) -> AsyncIterator[Served]:
    # both ends know the same secrets and addresses, so that people who sign up with the one log in at the other
    shared = {
        "PLATFORM_PUBLIC_URL": f"https://{HOST}",
        "PLATFORM_SECRET_KEY": secrets.token_urlsafe(48),
        "PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER": secrets.token_urlsafe(48),
    }
    async with platform(MODULES, extra=extra, seed=essentials, settings=shared) as p:
        own = {"PLATFORM_CORS_ORIGINS": FRIEND, "PLATFORM_LOG_FORMAT": "json"}
        environment = production(p) | shared | own | settings
        with run_platform("serve", "--port", "0", env=environment) as process:
            url = (
                await asyncio.to_thread(process.wait_for_line, r'"url": ?"(http[^"]+)"', timeout_seconds=60)
            )[1]
            async with httpx2.AsyncClient(base_url=url, headers={"Host": HOST}, timeout=30) as client:
                yield Served(p, process, int(url.rpartition(":")[2]), client)
            assert process.terminate() == 0


def head(*lines: str, path: str = "/health/live", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {HOST}", *lines, "", ""]).encode()


# ── 71: nothing goes out ─────────────────────────────────────────────────────────────────────────

INSIDE = [
    "http://127.0.0.1:{port}/x.png",
    "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://0:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://localhost:{port}/",
    "http://localhost.:{port}/",
    "http://me.localhost:{port}/",
    "http://a.example@127.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/",
    "http://192.168.0.1/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[::ffff:169.254.169.254]/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/x.png",
    "data:text/html,x",
    "javascript:fetch('http://127.0.0.1:{port}/')",
]


async def test_row_71_no_address_of_the_inside_is_taken_and_nobody_is_called(
    platform: PlatformFactory,
    run_platform: RunPlatform,
) -> None:
    """Row 71: every field that takes an address refuses those of the inside; and none is ever fetched from here."""
    hits: list[Any] = []

    async def note(_reader: Any, writer: asyncio.StreamWriter) -> None:
        hits.append(writer.get_extra_info("peername"))
        writer.close()

    async with (
        served(platform, run_platform) as s,
        await asyncio.start_server(note, "127.0.0.1", 0) as listener,
    ):
        port = listener.sockets[0].getsockname()[1]
        fields = {
            (operation.method, operation.template, name)
            for operation in await operations(s.p)
            for name in (operation.body or {}).get("properties", {})
            if any(word in name for word in ("url", "uri", "link", "host", "webhook", "callback", "endpoint"))
        }
        assert fields == {
            ("PATCH", f"{API}/users/me", "avatar_url"),
            (
                "POST",
                f"{API}/notifications/devices",
                "endpoint",
            ),  # what is sent there goes through `Outbound`
        }, "a new one belongs into this test"
        eve = await sign_up(s.p, "eve")
        headers = {"Authorization": f"Bearer {eve.access_token}"}
        for address in INSIDE:
            body = {"avatar_url": address.format(port=port)}
            answer = await s.client.patch(f"{API}/users/me", json=body, headers=headers)
            assert answer.status_code == 422, address
            assert answer.json()["errors"][0]["pointer"] == "/body/avatar_url"
            device = {"endpoint": address.format(port=port), "keys": {"p256dh": "AAAA", "auth": "AAAA"}}
            answer = await s.client.post(f"{API}/notifications/devices", json=device, headers=headers)
            assert answer.status_code == 422, address
            assert answer.json()["errors"][0]["pointer"] == "/body/endpoint"
        # a public name may lead inside tomorrow (a redirect, another answer of DNS); nobody here follows it
        outside = {
            "avatar_url": f"http://rebind.example:{port}/x.png",
            "full_name": f"http://127.0.0.1:{port}/",
        }
        assert (await s.client.patch(f"{API}/users/me", json=outside, headers=headers)).status_code == 200
        registration = {
            "email": "mallory@example.com",
            "username": "mallory",
            "password": "a quite long sentence",
        }
        registration["full_name"] = f'<img src="http://127.0.0.1:{port}/">'
        assert (await s.client.post(f"{API}/users/register", json=registration)).status_code == 201
        await s.p.deliver()
        assert len(s.p.mails) == 1
        assert hits == []


# ── 72 to 74: who may call, and what every answer says ───────────────────────────────────────────

STRANGERS = [
    "https://evil.example",
    "null",
    "https://app.evil",
    f"{FRIEND}.evil.example",
    "https://evilapp.example.com",
    "https://x.app.example.com",
    "https://app.example.com.",
    "https://app.example.com:444",
    "http://app.example.com",
    "https://app.example.com/",
    "https://APP.example.com%00.evil.example",
    "https://app_example.com",
    f"{FRIEND}, https://evil.example",
    f"https://evil.example {FRIEND}",
    "*",
    "",
    "file://",
]


async def test_row_72_only_the_configured_origin_is_let_in_and_never_with_credentials(
    platform: PlatformFactory,
    run_platform: RunPlatform,
) -> None:
    """Row 72: preflights, plain requests and failures, with every trick that fooled a comparison of texts."""
    async with served(platform, run_platform) as s:
        for origin in [FRIEND, *STRANGERS]:
            preflight = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
            preflight["Access-Control-Request-Headers"] = "authorization,content-type"
            answers = [
                await s.client.options(f"{API}/users/me", headers=preflight),
                await s.client.get(f"{API}/users/me", headers={"Origin": origin}),
                await s.client.get("/health/live", headers={"Origin": origin}),
                await s.client.get("/nowhere", headers={"Origin": origin}),
                await s.client.post(f"{API}/auth/login", content=b"{", headers={"Origin": origin}),
            ]
            for answer in answers:
                assert "access-control-allow-credentials" not in answer.headers
                allowed = answer.headers.get("access-control-allow-origin")
                assert allowed == (FRIEND if origin == FRIEND else None), (origin, answer.request.url)
                assert answer.status_code < 500


async def test_rows_73_and_74_every_answer_is_armoured_and_strangers_hosts_get_none(
    platform: PlatformFactory,
    run_platform: RunPlatform,
) -> None:
    """Rows 73, 74: pages, successes, problems, and what the server refuses before the application sees it."""
    async with served(platform, run_platform) as s:
        eve = await sign_up(s.p, "eve")
        token = {"Authorization": f"Bearer {eve.access_token}"}
        login = {"email": eve.email, "password": PASSWORD}
        found = {
            path: await s.client.get(path, headers={**token, "Accept": "text/html"})
            for path in (
                "/docs",
                "/openapi.json",
                "/problems/not-found",
                "/nowhere",
                "/health/live",
                f"{API}/users/me",
            )
        }
        found["401"] = await s.client.get(f"{API}/users/me")
        found["405"] = await s.client.delete(f"{API}/auth/login")
        found["422"] = await s.client.post(f"{API}/auth/login", json={})
        found["login"] = await s.client.post(f"{API}/auth/login", json=login)
        refresh = {"refresh_token": found["login"].json()["refresh_token"]}
        found["refresh"] = await s.client.post(f"{API}/auth/refresh", json=refresh)
        assert found["refresh"].status_code == 200
        for what, answer in found.items():
            headers = answer.headers
            assert headers["strict-transport-security"].startswith("max-age=31536000"), what
            assert headers["x-content-type-options"] == "nosniff", what
            assert headers["x-frame-options"] == "DENY", what
            assert headers["referrer-policy"] == "no-referrer", what
            if "html" in headers["content-type"]:
                assert "frame-ancestors 'none'" in headers["content-security-policy"], what
            if answer.request.url.path.startswith(API):
                expected = "private, no-cache" if "etag" in headers else "no-store"
                assert headers["cache-control"] == expected, what
            assert not {"server", "x-powered-by", "via"} & set(headers.keys()), what
        for host in ("evil.example", f"{HOST}.evil.example", "evil.example:443", f"evil.example/{HOST}", ""):
            strange = await s.client.get(f"{API}/users/me", headers={**token, "Host": host})
            assert (strange.status_code, strange.json()["type"]) == (400, "/problems/unknown-host"), host
        for raw in (
            b"rubbish\r\n\r\n",
            head("X: " + "a" * 70_000),
            head("Host: evil.example", "Connection: close", path="/docs"),
        ):
            answered = await s.say(raw)
            assert answered.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")), answered[:200]
            assert b"\r\nserver:" not in answered.lower()
            assert b"application/problem+json" in answered


# ── 75: one request is one request ───────────────────────────────────────────────────────────────

INNER = head(path="/smuggled")
CHUNKED = b"0\r\n\r\n" + INNER
SMUGGLED = {
    "length and chunks": head(f"Content-Length: {len(CHUNKED)}", "Transfer-Encoding: chunked", method="POST")
    + CHUNKED,
    "chunks and length": head("Transfer-Encoding: chunked", f"Content-Length: {len(CHUNKED)}", method="POST")
    + CHUNKED,
    "two lengths": head(f"Content-Length: {len(INNER)}", "Content-Length: 0", method="POST") + INNER,
    "two lengths the other way": head("Content-Length: 0", f"Content-Length: {len(INNER)}", method="POST")
    + INNER,
    "a list of lengths": head(f"Content-Length: 0, {len(INNER)}", method="POST") + INNER,
    "a signed length": head("Content-Length: +0", method="POST") + INNER,
    "a negative length": head("Content-Length: -1", method="POST") + INNER,
    "a length in hexadecimal": head("Content-Length: 0x0", method="POST") + INNER,
    "an endless length": head("Content-Length: " + "9" * 30, method="POST") + INNER,
    "a space before the colon": head("Content-Length : 0", method="POST") + INNER,
    "chunks twice": head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked, identity", method="POST")
    + CHUNKED,
    "chunked is not last": head("Transfer-Encoding: chunked, identity", method="POST") + CHUNKED,
    "something like chunked": head("Transfer-Encoding: xchunked", method="POST") + CHUNKED,
    "chunked after a tab": head("Transfer-Encoding: identity\x0bchunked", method="POST") + CHUNKED,
    "a folded header": head("Transfer-Encoding:\r\n chunked", "Content-Length: 0", method="POST") + CHUNKED,
    "bare line feeds": head("Content-Length: 0", method="POST").replace(b"\r\n", b"\n") + INNER,
    "a line feed inside of a header": head(f"X: a\nContent-Length: {len(INNER)}", method="POST") + INNER,
    "a carriage return inside": head(f"X: a\rContent-Length: {len(INNER)}", method="POST") + INNER,
    "NUL in a header": head("X: a\0b", method="POST") + INNER,
    "a chunk's size with more": head("Transfer-Encoding: chunked", method="POST") + b"0x0\r\n\r\n" + INNER,
    "a negative chunk": head("Transfer-Encoding: chunked", method="POST") + b"-1\r\n\r\n" + INNER,
    "an endless chunk": head("Transfer-Encoding: chunked", method="POST") + b"f" * 20 + b"\r\n" + INNER,
    "chunks with bare line feeds": head("Transfer-Encoding: chunked", method="POST") + b"0\n\n" + INNER,
}


async def test_row_75_what_two_programs_could_read_differently_is_refused(
    platform: PlatformFactory, run_platform: RunPlatform
) -> None:
    """Row 75: strict by itself, so that it does not matter which proxy stands before it, and how that one reads."""
    async with served(platform, run_platform) as s:
        fine = await s.say(head("Content-Length: 2", method="POST") + b"{}" + head("Connection: close"))
        assert fine.count(b"HTTP/1.1 ") == 2, "two requests on one connection are two"
        for what, data in SMUGGLED.items():
            answered = await s.say(data)
            assert answered.startswith(b"HTTP/1.1 400"), (what, answered[:300])
            assert answered.count(b"HTTP/1.1 ") == 1, (what, answered)
        assert "smuggled" not in s.process.output


# ── 78: one line is one line ─────────────────────────────────────────────────────────────────────


async def test_row_78_whatever_a_client_says_each_log_line_is_one_json_object(
    platform: PlatformFactory,
    run_platform: RunPlatform,
) -> None:
    """Row 78: line breaks, escape sequences for terminals, direction marks; in headers, addresses, names, tokens."""
    evil = '"}\r\n{"event": "forged", "level": "critical"}\n\x1b[2J\x1b]0;pwned\x07\u202e\u2028\x85'
    async with served(platform, run_platform, PLATFORM_LOG_LEVEL="DEBUG") as s:
        quoted = "".join(f"%{byte:02x}" for byte in evil.encode())
        for path in (f"/{quoted}", f"{API}/users/{quoted}", f"{API}/users/me?q={quoted}", f"/docs/{quoted}"):
            for method in ("GET", "POST", quoted[:9].replace("%", "X")):
                await s.client.request(method, path)
        for name in (
            "User-Agent",
            "X-Request-ID",
            "traceparent",
            "Idempotency-Key",
            "Authorization",
            "X-Forwarded-For",
        ):
            raw = evil.encode().replace(b"\r", b"").replace(b"\n", b"")
            await s.client.get(f"{API}/users/me", headers=[(name.encode(), raw)])
            await s.say(head(f"{name}: {evil}"))
        for field in ("email", "username", "full_name", "password"):
            body = {
                "email": "a@example.com",
                "username": "name",
                "password": "a quite long sentence",
                field: evil,
            }
            await s.client.post(f"{API}/users/register", json=body)
            await s.client.post(
                f"{API}/auth/login", json={"email": body["email"], "password": body["password"]}
            )
        output = s.process.output
    lines = [json.loads(line) for line in output.split("\n") if line]
    assert len(lines) > 25
    assert {type(line) for line in lines} == {dict}
    assert "forged" not in {line["event"] for line in lines}
    assert not {"\x1b", "\x07", "\x85", "\u2028", "\u202e"} & set(output), (
        "a terminal that shows it is not steered"
    )


# ── B42: too much ────────────────────────────────────────────────────────────────────────────────

FORMS = PluginSource(
    name="forms",
    manifest='title = "Forms"\npaths = ["/forms"]\n',
    files={
        "plugin.py": """
from typing import Annotated
from fastapi import File, UploadFile
from platform_core import hookimpl
from platform_core.http import Router

router = Router()

@router.post("/forms/files", public=True, max_body_bytes=4 * 1024 * 1024)
async def take(file: Annotated[list[UploadFile], File()]) -> int:
    return len(file)

@hookimpl
def register_routes():
    return [router]
"""
    },
)


async def memory_mb(pid: int) -> float:
    """Return the resident memory of a process, as `ps` knows it."""
    shown = await asyncio.to_thread(subprocess.check_output, ["ps", "-o", "rss=", "-p", str(pid)])
    return int(shown) / 1000


def left_behind(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def parts(count: int, *, files: bool) -> bytes:
    name = 'name="file"; filename="a"' if files else 'name="a"'
    part = f"--b\r\nContent-Disposition: form-data; {name}\r\n\r\nx\r\n"
    return (part * count + "--b--\r\n").encode()


async def test_b42_too_much_of_anything_is_refused_and_costs_no_memory(
    platform: PlatformFactory,
    run_platform: RunPlatform,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """B42: bodies of 10 MB declared and in chunks, 1,001 parts, a header of 1 MB, JSON 10,000 levels deep."""
    async with served(platform, run_platform, extra=(FORMS,), TMPDIR=str(tmp_path)) as s:
        form = {"Content-Type": "multipart/form-data; boundary=b"}
        ten = b'{"email": "' + b"a" * 10_000_000 + b'"}'

        async def chunks(data: bytes) -> AsyncIterator[bytes]:
            for start in range(0, len(data), 64 * 1024):
                yield data[start : start + 64 * 1024]

        async def post(path: str, content: Any, **headers: str) -> tuple[int, str]:
            try:
                given = {"Content-Type": "application/json", **headers}
                answer = await s.client.post(f"{API}{path}", content=content, headers=given)
            except httpx2.TransportError as error:
                return 0, type(error).__name__
            return answer.status_code, answer.headers["content-type"]

        problem = "application/problem+json"
        login = "/auth/login"

        async def everything() -> None:
            assert await post(login, ten) == (413, problem)
            assert await post(login, chunks(ten)) == (413, problem)
            assert await post("/forms/files", b"x" * 5_000_000, **form) == (413, problem)
            assert await post(login, b'{"a":' * 10_000 + b"1" + b"}" * 10_000) == (422, problem)
            assert await post(login, b"[" * 10_000 + b"]" * 10_000) == (422, problem)
            for files in (True, False):
                status, kind = await post("/forms/files", parts(1001, files=files), **form)
                assert (status in (400, 413, 422), kind) == (True, problem), files
            answered = await s.say(head("X-Large: " + "a" * 1_000_000))
            assert answered.startswith(b"HTTP/1.1 431"), answered[:200]
            assert await post("/forms/files", parts(3, files=True), **form) == (200, "application/json")

        await everything()  # what Python's allocator and lazy imports take once
        before = await memory_mb(s.process.pid)
        for _ in range(3):
            await everything()
        grown = await memory_mb(s.process.pid) - before
        record_property("MB of resident memory more", round(grown, 1))
        assert grown < 20
        assert left_behind(tmp_path) == []
