"""Procedures of the operations pages, carried out: a backup is restored, a login of the database rotated."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest
from psycopg import sql

from platform_core._pools import libpq_url
from platform_core.embedded.programs import find_postgres
from platform_core.embedded.tcp import free_port
from platform_core.testing import PlatformFactory, RunningPlatform, RunPlatform
from user_management.testing import Account, essentials, sign_up

pytestmark = [pytest.mark.long, pytest.mark.processes]


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(["user_management", "notification"], seed=essentials) as running:
        yield running


def log_in(port: int, account: Account) -> int:
    credentials = {"email": account.email, "password": account.password}
    answer = httpx2.post(f"http://127.0.0.1:{port}/api/v1/auth/login", json=credentials, timeout=20)
    return answer.status_code


def program(name: str, *arguments: str) -> None:
    done = subprocess.run([find_postgres() / name, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def platform_command(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "platform_core", *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def renamed(url: str, database: str) -> str:
    parts = urlsplit(url)
    return parts._replace(path=f"/{database}").geturl()


async def test_a_backup_is_restored_under_another_name_and_serves(
    p: RunningPlatform, run_platform: RunPlatform, tmp_path: Path
) -> None:
    ann = await sign_up(p, "ann")
    dump, before = str(tmp_path / "platform.dump"), libpq_url(p.database_url)
    name = f"restored_{time.monotonic_ns()}"
    after = renamed(before, name)
    await asyncio.to_thread(
        program, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={dump}", before
    )
    async with await psycopg.AsyncConnection.connect(before, autocommit=True) as server:
        await server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        restore = ["--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={after}", dump]
        await asyncio.to_thread(program, "pg_restore", *restore)
        environment = {**p.environment, "DATABASE_URL": after, "DATABASE_URL_FILE": ""}
        try:
            await asyncio.to_thread(platform_command, environment, "db", "upgrade")
            await asyncio.to_thread(platform_command, environment, "audit", "verify")
            async with await psycopg.AsyncConnection.connect(after) as restored:
                rows = await restored.execute(
                    "SELECT role FROM platform.modules"
                    " WHERE name IN ('platform', 'user_management', 'notification')"
                )
                roles = [role for (role,) in await rows.fetchall()]
            assert len(roles) == 3
            assert [role for role in roles if not role.startswith(name)] == [], "the new database has its own"
            port = free_port()
            with run_platform("serve", "--port", str(port), env=environment, ready="serving") as serve:
                assert await asyncio.to_thread(log_in, port, ann) == 200
                assert await asyncio.to_thread(serve.terminate) == 0
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            await server.execute(drop)


async def test_a_login_of_the_database_is_rotated_without_a_restart(
    p: RunningPlatform, run_platform: RunPlatform, tmp_path: Path
) -> None:
    ann = await sign_up(p, "ann")
    address = libpq_url(p.database_url)
    roles = [row["role"] for row in await p.sql("SELECT role FROM platform.modules WHERE role IS NOT NULL")]
    logins = [f"{p.kernel.settings.environment}_{time.monotonic_ns()}_{letter}" for letter in "ab"]
    for login in logins:
        await p.sql(f"CREATE ROLE {login} LOGIN PASSWORD 'rotated'")
        await p.sql(f"GRANT {', '.join(roles)} TO {login}")

    def as_login(login: str) -> str:
        parts = urlsplit(address)
        place = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{login}:rotated@{place}").geturl()

    async def seen() -> set[str]:
        rows = await p.sql(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'platform/user_management/%%'"
        )
        return {row["usename"] for row in rows} & set(logins)

    secret = tmp_path / "DATABASE_URL"
    secret.write_text(as_login(logins[0]))
    environment = {name: value for name, value in p.environment.items() if name != "DATABASE_URL"}
    environment["DATABASE_URL_FILE"] = str(secret)
    port = free_port()
    try:
        with run_platform("serve", "--port", str(port), env=environment, ready="serving") as serve:
            assert await asyncio.to_thread(log_in, port, ann) == 200
            assert await seen() == {logins[0]}
            fresh = tmp_path / "fresh"
            fresh.write_text(as_login(logins[1]))
            fresh.rename(secret)
            await p.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %(login)s",
                login=logins[0],
            )
            statuses = [await asyncio.to_thread(log_in, port, ann) for _ in range(5)]
            assert set(statuses) <= {200, 503}
            assert statuses[-1] == 200
            assert await seen() == {logins[1]}
            assert await asyncio.to_thread(serve.terminate) == 0
    finally:
        for login in logins:
            await p.sql(f"DROP ROLE {login}")
