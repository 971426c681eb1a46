"""One platform with its own database, Redis and mail server, and the processes that a test runs on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psycopg
from psycopg.rows import dict_row

from platform_core._pools import libpq_url
from platform_core.testing import RunningPlatform, RunningProcess, RunPlatform, eventually

DEADLINE_SECONDS = 30.0
"""How long the platform may take to recover from any fault, unless a test says otherwise."""

LEASE_SECONDS = 2.0
POLL_SECONDS = 0.5

SETTINGS = {
    "PLATFORM_LEASE_SECONDS": str(LEASE_SECONDS),
    "PLATFORM_POLL_SECONDS": str(POLL_SECONDS),
    "PLATFORM_DATABASE_POOL_TIMEOUT_SECONDS": "1.5",
}
"""Short leases keep the tests short; the pool's patience is production's, not that of tests."""

PASSWORD = "a long enough sentence"

_CHAOS = Path(__file__).with_name("chaos.py")

_READY = {
    "worker": "worker started",
    "scheduler": "scheduler started",
    "serve": r'"(http://127\.0\.0\.1:\d+)"',
}


@dataclass
class Api:
    """A `platform serve` process and a client of it."""

    process: RunningProcess
    url: str
    client: httpx2.AsyncClient


@dataclass
class House:
    """
    Args:
        p: tells where everything is, keeps the mails; its own kernel does no work here.
    """

    p: RunningPlatform
    run_platform: RunPlatform
    stack: contextlib.AsyncExitStack
    acknowledged: dict[str, UUID] = field(default_factory=dict)
    marks: dict[str, UUID] = field(default_factory=dict)

    # ── processes ────────────────────────────────────────────────────────────────────────────────

    async def api(self, **options: Any) -> Api:
        """Start `platform serve` on a free port; options as in `process`."""
        process = await self.process("serve", "--port", "0", **options)
        url = process.wait_for_line(_READY["serve"])[1]
        return Api(process, url, await self.visitor(url))

    async def worker(self, **options: Any) -> RunningProcess:
        return await self.process("worker", **options)

    async def scheduler(self, **options: Any) -> RunningProcess:
        return await self.process("scheduler", **options)

    async def process(
        self,
        *command: str,
        chaos: str | None = None,
        copies: int | None = None,
        skew_seconds: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> RunningProcess:
        """
        Start one of the platform's processes and wait until it is ready.

        Args:
            chaos: CHAOS_POINT, see `chaos.py`; without all three it is the shipped program and nothing else.
            copies: CHAOS_COPIES.
            skew_seconds: CHAOS_SKEW.
            environment: on top of the platform's.
        """
        variables = {**self.p.environment, **(environment or {})}
        terrible = {"CHAOS_POINT": chaos, "CHAOS_COPIES": copies, "CHAOS_SKEW": skew_seconds}
        armed = {name: str(value) for name, value in terrible.items() if value is not None}
        program = _CHAOS if armed else None
        running = self.stack.enter_context(
            self.run_platform(*command, env={**variables, **armed}, program=program)
        )
        await asyncio.to_thread(running.wait_for_line, _READY[command[0]], timeout_seconds=60)
        return running

    async def upgrade(self, environment: Mapping[str, str]) -> int:
        """Run `platform db upgrade` to its end and return the exit code."""
        with self.run_platform("db", "upgrade", env=environment) as process:
            return await asyncio.to_thread(process.wait, timeout_seconds=60)

    async def visitor(self, url: str, token: str | None = None) -> httpx2.AsyncClient:
        """Return a client with connections of its own."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx2.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False)
        return await self.stack.enter_async_context(client)

    # ── people and marks ─────────────────────────────────────────────────────────────────────────

    async def register(
        self, client: httpx2.AsyncClient, name: str, *, key: str | None = None
    ) -> httpx2.Response:
        """Register; what was acknowledged is remembered for the oracle."""
        body = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        headers = {"Idempotency-Key": key} if key else {}
        answer = await client.post("/api/v1/users/register", json=body, headers=headers)
        if answer.is_success:
            self.acknowledged[name] = UUID(answer.json()["id"])
        return answer

    async def log_in(
        self, client: httpx2.AsyncClient, name: str, password: str = PASSWORD
    ) -> httpx2.Response:
        body = {"email": f"{name}@example.com", "password": password}
        return await client.post("/api/v1/auth/login", json=body)

    async def mark(
        self, client: httpx2.AsyncClient, text: str, *, work_ms: int = 0, key: str | None = None
    ) -> httpx2.Response:
        """Make a mark; what was acknowledged is remembered for the oracle."""
        headers = {"Idempotency-Key": key} if key else {}
        body = {"text": text, "work_ms": work_ms}
        answer = await client.post("/api/v1/tally/marks", json=body, headers=headers)
        if answer.is_success:
            self.marks[text] = UUID(answer.json()["id"])
        return answer

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    async def sql(self, statement: str, /, **params: Any) -> list[dict[str, Any]]:
        """Run SQL on a connection of its own, so that it works between two crashes."""
        async with await self.connect() as connection:
            cursor = await connection.execute(statement.encode(), params or None)
            return await cursor.fetchall() if cursor.description is not None else []

    async def value(self, statement: str, /, **params: Any) -> Any:
        """Return the only column of the only row."""
        [row] = await self.sql(statement, **params)
        [value] = row.values()
        return value

    async def connect(self, *, autocommit: bool = True) -> psycopg.AsyncConnection[dict[str, Any]]:
        return await psycopg.AsyncConnection.connect(
            libpq_url(self.p.database_url), autocommit=autocommit, row_factory=dict_row
        )

    @contextlib.asynccontextmanager
    async def locked(self, table: str) -> Any:
        """Let nobody write into a table during the block, so that statements are caught in flight."""
        async with await self.connect(autocommit=False) as connection:
            await connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
            yield
            await connection.rollback()

    async def blocked_count(self) -> int:
        """Return how many statements of the platform wait for a lock."""
        return int(
            await self.value(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'platform/%%' AND wait_event_type = 'Lock'"
            )
        )

    async def settled(self, *, within_seconds: float = DEADLINE_SECONDS) -> float:
        """Wait until no delivery is pending; returns the seconds that took."""
        return await eventually(self._is_settled, within_seconds=within_seconds)

    async def _is_settled(self) -> bool:
        return not await self.value("SELECT count(*) FROM platform.deliveries WHERE status = 'pending'")

    # ── the oracle ───────────────────────────────────────────────────────────────────────────────

    async def check(self, *, unacknowledged: int = 0, mails_per_message: int = 1) -> None:
        """
        Compare what clients were told with what is there, once everything is settled.

        Args:
            unacknowledged: marks that may exist though their client never got an answer.
            mails_per_message: how often one mail may have gone out; more than once only where a process died
                between the mail server's yes and its own commit.
        """
        await self.settled()
        unexplained = await self.sql(
            "SELECT * FROM platform.deliveries WHERE status <> 'done' AND (status = 'pending' OR last_error IS NULL)"
        )
        assert unexplained == []
        await self._check_users(mails_per_message)
        await self._check_marks(unacknowledged)

    async def _check_users(self, mails_per_message: int) -> None:
        users = {row["username"]: row["id"] for row in await self.sql("SELECT * FROM user_management.users")}
        assert users == self.acknowledged
        ids = Counter(users.values())
        assert await self._counted("audit.domain_events", "aggregate_id", "name", _REGISTERED) == ids
        assert await self._counted("audit.audit_logs", "resource_id", "action", _REGISTER) == ids
        logs = await self.sql("SELECT id, user_id, status FROM notification.email_logs")
        assert Counter(log["user_id"] for log in logs) == ids
        assert {log["status"] for log in logs} <= {"sent"}
        mails = Counter(mail.header("Message-ID").strip("<>").partition("@")[0] for mail in self.p.mails)
        assert set(mails) == {str(log["id"]) for log in logs}
        assert max(mails.values(), default=0) <= mails_per_message, mails

    async def _check_marks(self, unacknowledged: int) -> None:
        if "tally" not in self.p.environment["PLATFORM_MODULES"]:
            return
        marks = {row["id"] for row in await self.sql("SELECT id FROM tally.marks")}
        told = set(self.marks.values())
        assert told <= marks, f"{len(told - marks)} acknowledged marks are lost"
        assert len(marks - told) <= unacknowledged
        once = Counter(marks)
        assert await self._counted("audit.domain_events", "aggregate_id", "name", "tally.marked") == once
        assert await self._counted("audit.audit_logs", "resource_id", "action", "tally.make_mark") == once
        effects = await self.sql(
            "SELECT e.aggregate_id FROM tally.effects f JOIN audit.domain_events e ON e.id = f.event_id"
        )
        assert Counter(row["aggregate_id"] for row in effects) == once

    async def _counted(self, table: str, column: str, by: str, value: str) -> Counter[UUID]:
        done = " AND outcome = 'done'" if table.endswith("audit_logs") else ""
        rows = await self.sql(f"SELECT {column} AS id FROM {table} WHERE {by} = %(value)s{done}", value=value)
        return Counter(row["id"] for row in rows)


_REGISTERED = "user_management.user_registered"
_REGISTER = "user_management.register_user"
