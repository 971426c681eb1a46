"""Rows 24, 58, 82, 83 and 88: what a dump, a log, an error or a closed door gives away, with real processes."""

import json
import re
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from attacks import API, MODULES, UNKNOWN, document, production, spellings, stored

from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform, RunPlatform
from user_management.testing import essentials, log_in, sign_up

CLUMSY = PluginSource(
    name="clumsy",
    manifest='title = "Clumsy"\nboot = "optional"\npaths = ["/clumsy"]\n',
    files={
        "plugin.py": """
from platform_core import hookimpl
from platform_core.http import Router

router = Router()


@router.get("/clumsy/{what}", public=True)
async def fall(what: str) -> None:
    import logging
    if what == "logs":
        logging.getLogger("clumsy").error("token=%s", "see the next line", extra={"password": "CANARY-IN-EXTRA"})
        return
    password = "CANARY-IN-A-LOCAL"
    url = "postgresql://user:CANARY-IN-A-URL@db/x"  # pragma: allowlist secret
    raise RuntimeError(f"cannot reach {url} at /srv/secret/{what}.py")


@hookimpl
def register_routes():
    return [router]
""",
    },
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def generic(answer: Any) -> str:
    """Check the body of a 500 and return its request id."""
    problem = answer.json()
    assert answer.status_code == 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.keys() == {"type", "title", "status", "detail", "instance", "request_id"}
    assert (problem["type"], problem["status"]) == ("/problems/internal-error", 500)
    for word in ("CANARY", "Error", "Traceback", ".py", "relation", "psycopg", "user_management.", "SELECT"):
        assert word not in answer.text.replace(problem["instance"], ""), word
    request_id: str = problem["request_id"]
    assert answer.headers["x-request-id"] == request_id
    return request_id


async def test_row_82_an_error_says_nothing_and_the_log_has_it(
    platform: PlatformFactory, run_platform: RunPlatform
) -> None:
    """Row 82: in each module, by taking its tables away, and in a module that is clumsy by itself."""
    async with platform(MODULES, seed=essentials, extra=[CLUMSY]) as p:
        root = await sign_up(p, "root", permissions=["*"])
        await p.sql("ALTER TABLE user_management.mailed_links RENAME TO gone1")
        await p.sql("ALTER TABLE notification.templates RENAME TO gone2")
        port = free_port()
        environment = {**p.environment, "PLATFORM_LOG_FORMAT": "json"}
        command = ["serve", "--port", str(port)]
        with run_platform(*command, env=environment) as process:
            process.wait_for_url(f"http://127.0.0.1:{port}/health/live", timeout_seconds=60)
            headers = {"Authorization": f"Bearer {root.access_token}"}
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                body = {"email": "ada@example.com", "username": "ada", "password": "CANARY-IN-A-PASSWORD"}
                found = [
                    generic(await client.post(f"{API}/users/register", json=body)),
                    generic(await client.get(f"{API}/notifications/templates", headers=headers)),
                    generic(await client.get(f"{API}/clumsy/x", headers=headers)),
                ]
                assert (await client.get(f"{API}/clumsy/logs")).status_code == 200
                await p.sql("ALTER TABLE audit.audit_logs RENAME COLUMN changes TO gone3")
                found.append(generic(await client.get(f"{API}/platform/audit-logs", headers=headers)))
            assert process.terminate() == 0
            output = process.output
        lines = [line for line in output.splitlines() if '"unhandled error"' in line]
        logged = {json.loads(line)["request_id"]: json.loads(line) for line in lines}
        for request_id in found:
            assert "Traceback" in logged[request_id]["exception"]
            assert logged[request_id]["level"] == "error"
        for canary in ("CANARY-IN-A-URL", "CANARY-IN-A-PASSWORD", "CANARY-IN-EXTRA"):
            assert canary not in output, canary
        for line in output.splitlines():
            if line.startswith("{"):
                assert json.loads(line)["timestamp"].endswith("Z")


class Canaries:
    """Every secret of a run, by where it came from."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}

    def add(self, name: str, value: str) -> str:
        self.secrets[name] = value
        return value

    def tokens(self, name: str, pair: dict[str, Any]) -> dict[str, Any]:
        self.add(f"{name}: access", pair["access_token"])
        self.add(f"{name}: access, signature", pair["access_token"].rpartition(".")[2])
        self.add(f"{name}: refresh", pair["refresh_token"])
        return pair

    def found_in(self, text: str) -> Iterator[str]:
        for name, secret in self.secrets.items():
            if any(spelling in text for spelling in spellings(secret)):
                yield name


async def _a_day(p: RunningPlatform, base_url: str, canaries: Canaries) -> list[str]:
    """Use every secret there is in every right and wrong place; return what was answered, but for tokens' routes."""
    password, other, third = (
        canaries.add(f"password {n}", f"canary {secrets.token_hex(12)} sentence") for n in range(3)
    )
    wrong = canaries.add("wrong password", f"wrong {secrets.token_hex(12)}")
    bearer = canaries.add("made-up token", secrets.token_urlsafe(40))
    key = canaries.add("idempotency key", secrets.token_urlsafe(24))
    told: list[str] = []

    async with httpx2.AsyncClient(base_url=base_url, timeout=60) as client:

        async def call(method: str, path: str, body: Any = None, **headers: str) -> Any:
            arguments: dict[str, Any] = {} if body is None else {"json": body}
            answer = await client.request(method, API + path, headers=headers, **arguments)
            assert answer.status_code < 500, answer.text
            if not (path in ("/auth/login", "/auth/refresh") and answer.is_success):
                # a problem names the address that was asked for; only the asker sees that
                text = re.sub(r'"instance":"[^"]*"', "", answer.text)
                told.append(f"{answer.headers} {text}")
            return answer

        ada = {"email": "ada@example.com", "username": "ada", "password": password}
        await call("POST", "/users/register", ada, **{"Idempotency-Key": key})
        await call("POST", "/users/register", ada, **{"Idempotency-Key": key})
        await call("POST", "/users/register", ada)
        await call("POST", "/users/register", ada | {"email": password, "full_name": 7})
        credentials = {"email": "ada@example.com", "password": password}
        for _ in range(2):
            answer = await call("POST", "/auth/login", credentials, **{"Idempotency-Key": key})
            pair = canaries.tokens("first", answer.json())
        await call("POST", "/auth/login", credentials | {"password": wrong})
        await call("POST", "/auth/login", {"email": wrong, "password": wrong})
        await call("POST", "/auth/login", {"email": "ada@example.com", "pasword": wrong})
        await call("POST", f"/auth/login?password={wrong}", credentials | {"password": wrong})
        me = {"Authorization": f"Bearer {pair['access_token']}"}
        await call("GET", "/users/me", **me)
        await call("GET", "/users/me", Authorization=f"Bearer {bearer}")
        await call("GET", f"/users/me?access_token={pair['access_token']}")
        await call("GET", f"/users/{bearer}", **me)
        await call("GET", f"/{bearer}", **me)
        change = {"current_password": wrong, "new_password": other}
        await call("POST", "/users/me/password", change, **me)
        assert (
            await call("POST", "/users/me/password", change | {"current_password": password}, **me)
        ).is_success
        spent = {"refresh_token": pair["refresh_token"]}
        second = canaries.tokens("second", (await call("POST", "/auth/refresh", spent)).json())
        await call("POST", "/auth/refresh", spent)
        await call("POST", "/auth/refresh", {"refresh_token": bearer})
        await call("POST", "/auth/password-reset", {"email": "ada@example.com"})
        await p.deliver()
        links = {
            word: repr(mail).partition("token=")[2][:66]
            for mail in p.mails
            for word in ("verify-email", "reset-password")
            if word in repr(mail)
        }
        assert links.keys() == {"verify-email", "reset-password"}
        for name, token in links.items():
            canaries.add(f"mailed: {name}", token)
        assert (await call("POST", "/auth/verify-email", {"token": links["verify-email"]})).is_success
        reset = {"token": links["reset-password"], "new_password": third}
        assert (await call("POST", "/auth/password-reset/confirm", reset)).is_success
        await call("POST", "/auth/password-reset/confirm", reset)
        await client.get(f"{base_url}/reset-password?token={links['reset-password']}")
        last = (await call("POST", "/auth/login", {"email": "ada@example.com", "password": third})).json()
        canaries.tokens("third", last)
        await call("POST", "/auth/logout", Authorization=f"Bearer {last['access_token']}")
        assert second["access_token"] != last["access_token"]
    await p.deliver()
    return told


async def test_rows_24_and_83_no_secret_of_a_day_is_anywhere_afterwards(
    platform: PlatformFactory, run_platform: RunPlatform
) -> None:
    """Rows 24, 83: database, Redis, logs at the most talkative level, metrics, problem bodies, operators' pages."""
    canaries = Canaries()
    settings = {"PLATFORM_SECRET_KEY": canaries.add("secret key", secrets.token_urlsafe(48))}
    pepper = canaries.add("pepper", secrets.token_urlsafe(48))
    settings["PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER"] = pepper
    async with platform(MODULES, seed=essentials, settings=settings) as p:
        pem = p.environment["PLATFORM_USER_MANAGEMENT_SIGNING_KEY"].splitlines()
        canaries.add("signing key", pem[1])
        port, inner = free_port(), free_port()
        environment = {
            **p.environment,
            "PLATFORM_LOG_LEVEL": "DEBUG",
            "PLATFORM_LOG_FORMAT": "json",
            "PLATFORM_INTERNAL_PORT": str(inner),
        }
        base_url = f"http://127.0.0.1:{port}"
        with run_platform("serve", "--port", str(port), env=environment) as process:
            process.wait_for_url(f"{base_url}/health/live", timeout_seconds=60)
            told = await _a_day(p, base_url, canaries)
            root = await sign_up(p, "root", permissions=["*"])
            headers = {"Authorization": f"Bearer {root.access_token}"}
            async with httpx2.AsyncClient(base_url=base_url, headers=headers) as client:
                for name in ("events", "deliveries", "audit-logs", "modules"):
                    told.append((await client.get(f"{API}/platform/{name}", params={"limit": 200})).text)
                told.append((await client.get(f"{API}/notifications/email-logs")).text)
                told.append((await client.get(f"{API}/users")).text)
                for path in ("/metrics", "/health/ready"):
                    told.append((await client.get(f"http://127.0.0.1:{inner}{path}")).text)
                told.append((await client.get("/openapi.json")).text)
            assert process.terminate() == 0
            output = process.output
        assert len(canaries.secrets) >= 18
        for text in told:
            assert list(canaries.found_in(text)) == [], text[:500]
        for number, line in enumerate(output.splitlines()):
            assert list(canaries.found_in(line)) == [], (number, line[:500])
        assert '"route"' in output, "it did log"
        rows = 0
        async for table, text in stored(p):
            # `root` is an account of the test kit
            assert list(canaries.found_in(text)) == [], (table, text[:500])
            rows += 1
        assert rows > 50


async def test_row_24_what_a_dump_holds_opens_nothing(platform: PlatformFactory) -> None:
    """Row 24: everything that looks like a token in the database is tried as one."""
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await p.client.post(f"{API}/auth/password-reset", json={"email": eve.email})
        await p.deliver()
        tried = set()
        for table, column in (
            ("user_management.refresh_tokens", "encode(hash, 'hex')"),
            ("user_management.refresh_tokens", "translate(encode(hash, 'base64'), '+/=', '-_')"),
            ("user_management.user_sessions", "id::text"),
            ("user_management.mailed_links", "id::text"),
            ("user_management.users", "password_hash"),
            ("platform.idempotency_keys", "encode(key, 'hex')"),
        ):
            tried |= {row["value"] for row in await p.sql(f"SELECT {column} AS value FROM {table}")}
        assert len(tried) >= 5
        for value in tried:
            answer = await p.client.post(f"{API}/auth/refresh", json={"refresh_token": value})
            assert answer.status_code == 401
            body = {"token": value, "new_password": "quite another sentence"}
            assert (await p.client.post(f"{API}/auth/password-reset/confirm", json=body)).status_code == 422
            async with p.new_client({"Authorization": f"Bearer {value}"}) as client:
                assert (await client.get(f"{API}/users/me")).status_code == 401
            login = {"email": eve.email, "password": value}
            assert (await p.client.post(f"{API}/auth/login", json=login)).status_code == 401


@pytest.mark.processes
async def test_row_58_in_production_the_doors_are_closed(
    platform: PlatformFactory, run_platform: RunPlatform
) -> None:
    """Rows 58, 73, 74: no metrics, no details, no server name; other hosts are strangers; details are inside."""
    async with platform(MODULES, seed=essentials) as p:
        port, inner = free_port(), free_port()
        settings = production(p) | {"PLATFORM_INTERNAL_PORT": str(inner)}
        with run_platform("serve", "--port", str(port), env=settings) as process:
            process.wait_for_url(f"http://127.0.0.1:{port}/health/live", timeout_seconds=60)
            host = {"Host": "api.example.com"}
            async with httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers=host, timeout=30
            ) as client:
                ready = await client.get("/health/ready")
                assert (ready.status_code, ready.json()) == (200, {"status": ready.json()["status"]})
                for path in (
                    "/metrics",
                    "/metrics/",
                    "/metrics/x",
                    "/health",
                    "/health/details",
                    "/debug",
                    "/admin",
                ):
                    assert (await client.get(path)).status_code in (404, 405), path
                answer = await client.get(f"{API}/users/me")
                assert answer.status_code == 401
                assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["cache-control"] == "no-store"
                assert "server" not in answer.headers
                assert "x-powered-by" not in answer.headers
                evil = {"Host": "evil.example", "Origin": "https://evil.example"}
                strange = await client.get(f"{API}/users/me", headers=evil)
                assert (strange.status_code, strange.json()["type"]) == (400, "/problems/unknown-host")
                for origin in ("https://evil.example", "null", "https://api.example.com.evil.example"):
                    answer = await client.options(
                        f"{API}/users", headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
                    )
                    assert "access-control-allow-origin" not in answer.headers
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{inner}") as inside:
                assert "platform_http_requests_total" in (await inside.get("/metrics")).text
                assert "database" in (await inside.get("/health/ready")).json()["checks"]
                assert (await inside.get(f"{API}/users")).status_code == 404, "the API is not served there"
            process.terminate()


@pytest.mark.processes
async def test_row_88_production_starts_with_no_secret_of_the_tests(
    platform: PlatformFactory, run_platform: RunPlatform
) -> None:
    """Row 88: each value that a desk or a test uses stops it, and none is repeated."""
    async with platform(MODULES, seed=essentials) as p:
        bad = {
            "PLATFORM_SECRET_KEY": "changeme" * 6,
            "PLATFORM_CORS_ORIGINS": "*",
            "PLATFORM_PUBLIC_URL": "http://api.example.com",
            "PLATFORM_ADMIN_PASSWORD": "admin",
        }
        # what the plugin's own services refuse comes to light when they start, after the settings were found good
        cheap = {"PLATFORM_USER_MANAGEMENT_BCRYPT_COST": "4"}
        for wrong in (bad, cheap):
            command = ["serve", "--port", str(free_port())]
            with run_platform(*command, env=production(p) | wrong) as process:
                assert process.wait(timeout_seconds=60) != 0
                output = process.output
            for name in wrong:
                assert name in output
            assert "changemechangeme" not in output


async def test_row_58_the_document_names_no_inside(platform: PlatformFactory) -> None:
    """Rows 53, 58: paths of files, table names and servers are no part of the description."""
    async with platform(MODULES, seed=essentials) as p:
        text = json.dumps(await document(p))
        for word in (
            "/work",
            "site-packages",
            "postgresql",
            "localhost",
            "127.0.0.1",
            "psycopg",
            "audit.audit_logs",
        ):
            assert word not in text, word
        assert UNKNOWN not in text
        assert (await log_in(p, (await sign_up(p, "eve")).email)).id
