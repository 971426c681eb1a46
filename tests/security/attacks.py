"""What several attacks need: people, forged tokens, a dump of everything that is stored, and OpenAPI as a map."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from platform_core.testing import RunningPlatform

MODULES = ["user_management", "notification", "file_management", "project_management"]
API = "/api/v1"
UNKNOWN = "01a20642-0c8c-7e6e-b94c-e5b378cc4910"
"""A well-formed identity of nothing."""

STRICT_LOGINS = {
    "PLATFORM_RATE_LIMIT_LOGIN_FAILURES_IP": "10/minute",
    "PLATFORM_RATE_LIMIT_LOGIN_FAILURES_ACCOUNT": "5/5minutes",
}


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────


def encoded(part: bytes | Mapping[str, Any]) -> str:
    """Encode one part of a token; a mapping becomes JSON first."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    """Read one part of a token."""
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return value


def signing_key(p: RunningPlatform) -> Ed25519PrivateKey:
    """Return the key that a thief of the platform's environment would have."""
    key = load_pem_private_key(p.environment["PLATFORM_USER_MANAGEMENT_SIGNING_KEY"].encode(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def signed(
    key: Ed25519PrivateKey, header: bytes | Mapping[str, Any], claims: bytes | Mapping[str, Any]
) -> str:
    """Sign whatever is given, with no library that would refuse it."""
    text = f"{encoded(header)}.{encoded(claims)}"
    return f"{text}.{encoded(key.sign(text.encode()))}"


# ── processes ────────────────────────────────────────────────────────────────────────────────────


def production(p: RunningPlatform) -> dict[str, str]:
    """Return settings that production accepts, on the database of the tests."""
    return {
        **{name: value for name, value in p.environment.items() if "RATE_LIMIT" not in name},
        "PLATFORM_ENV": "production",
        "PLATFORM_PUBLIC_URL": "https://api.example.com",
        "PLATFORM_ALLOWED_HOSTS": "api.example.com",
        "PLATFORM_SECRET_KEY": secrets.token_urlsafe(48),
        "PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER": secrets.token_urlsafe(48),
        "PLATFORM_USER_MANAGEMENT_BCRYPT_COST": "12",
    }


# ── what is stored ───────────────────────────────────────────────────────────────────────────────


async def stored(p: RunningPlatform) -> AsyncIterator[tuple[str, str]]:
    """Yield every row of every table of ours, and every key of Redis, as (where, text); bytes are in hexadecimal."""
    tables = await p.sql(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    assert len(tables) > 10
    for table in (row["name"] for row in tables):
        for row in await p.sql(f"SELECT t::text AS text FROM {table} t"):
            yield table, row["text"]
    for key in await p.kernel.redis.call("KEYS", "*"):
        kind = await p.kernel.redis.call("TYPE", key)
        if kind == b"none":  # it has expired since it was listed, as marks and counters do
            continue
        read = {
            b"string": ("GET", key),
            b"hash": ("HGETALL", key),
            b"stream": ("XRANGE", key, "-", "+"),
            b"zset": ("ZRANGE", key, 0, -1),
            b"set": ("SMEMBERS", key),
            b"list": ("LRANGE", key, 0, -1),
        }[kind]
        yield f"redis {key!r}", repr(await p.kernel.redis.call(*read))


def spellings(secret: str) -> Iterator[str]:
    """Yield a secret as dumps and logs could hold it."""
    raw = secret.encode()
    yield secret
    yield raw.hex()
    yield json.dumps(secret)[1:-1]
    # inside of something longer the alignment of base64 is one of three
    for skip in range(3):
        text = base64.b64encode(raw[skip : skip + (len(raw) - skip) // 3 * 3]).decode()
        yield text
        yield text.replace("+", "-").replace("/", "_")


# ── locks, to decide races ───────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def row_locked(p: RunningPlatform, table: str, identity: Any) -> AsyncIterator[None]:
    """Hold one row, so that whoever writes it queues up in a known order; released at the end of the block."""
    async with await psycopg.AsyncConnection.connect(p.database_url) as connection:
        await connection.execute(f"SELECT 1 FROM {table} WHERE id = %s FOR UPDATE".encode(), [identity])
        yield
        await connection.rollback()


async def queued(p: RunningPlatform, count: int) -> None:
    """Wait until so many statements wait for a lock."""
    async with asyncio.timeout(15):
        while True:
            [row] = await p.sql(
                "SELECT count(*) AS n FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if row["n"] >= count:
                return
            await asyncio.sleep(0.01)


# ── the map ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Operation:
    """One operation of `/openapi.json`."""

    method: str
    template: str
    body: Mapping[str, Any] | None
    """The body's JSON schema, references resolved one level; None where none is read."""
    parameters: tuple[Mapping[str, Any], ...]
    is_endless: bool = False
    """Its answer goes on for as long as somebody listens."""

    @property
    def path(self) -> str:
        """The path with identities of nothing in it."""
        path = self.template.replace("{role_name}", "nope")
        while "{" in path:
            head, _, rest = path.partition("{")
            path = head + UNKNOWN + rest.partition("}")[2]
        return path

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


async def document(p: RunningPlatform) -> dict[str, Any]:
    """Read `/openapi.json`."""
    value: dict[str, Any] = (await p.client.get("/openapi.json")).json()
    return value


async def operations(p: RunningPlatform, *, endless: bool = False) -> list[Operation]:
    """Return every operation that the platform says it has; `endless` ones only for who does not wait for the end."""
    whole = await document(p)
    found = []
    for template, methods in whole["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema")
            found.append(
                Operation(
                    method.upper(),
                    template,
                    None if schema is None else resolved(whole, schema),
                    tuple(resolved(whole, one) for one in operation.get("parameters", ())),
                    "text/event-stream" in operation["responses"].get("200", {}).get("content", {}),
                )
            )
    return [operation for operation in found if endless or not operation.is_endless]


def resolved(whole: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference, also where null is the alternative."""
    for alternative in schema.get("anyOf", ()):
        if "$ref" in alternative:
            return resolved(whole, alternative)
    if "$ref" not in schema:
        return schema
    found: Any = whole
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return resolved(whole, found)
