"""PostgreSQL 15: a primary and a streaming standby with passwords, over TCP, as operators make them."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from platform_core.embedded.account import unprivileged_account
from platform_core.embedded.tcp import free_port
from topology_rig.part import Part, as_account, listens

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
DATABASE = "platform"
OWNER, APPLICATION, SECOND_APPLICATION = "owner", "application", "application_b"
"""Who migrates, and whom the processes come as; the second is for rotating the first, and may not log in before."""

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "wal_level": "replica",
    "hot_standby": "on",
    "wal_keep_size": "512MB",
    "fsync": "off",  # what dies here are processes, never the machine
    "timezone": "UTC",
}


class Server:
    """
    One PostgreSQL server.

    Attributes:
        part: to be killed.
    """

    def __init__(self, name: str, home: Path, passwords: dict[str, str]) -> None:
        self.home, self._passwords, self.port = home, passwords, free_port()
        self._cluster = home / name
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(home)}
        flags = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self.part = Part(
            name, _unprivileged([str(PROGRAMS / "postgres"), "-D", str(self._cluster), *flags]), self._answers
        )

    def url(self, login: str, database: str = DATABASE) -> str:
        return f"postgresql://{login}:{self._passwords[login]}@127.0.0.1:{self.port}/{database}"

    def sibling(self, name: str) -> Server:
        """Return another server with the same logins, not made yet."""
        return Server(name, self.home, self._passwords)

    def make(self) -> None:
        """Make an empty cluster with the logins and the database of the platform, and start it."""
        file = self.home / "password"
        file.write_text(self._passwords["postgres"])
        self._program("initdb", "-U", "postgres", "-E", "UTF8", "--auth=scram-sha-256", f"--pwfile={file}")
        self.part.start()
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
            rights = {
                OWNER: "LOGIN CREATEROLE",
                APPLICATION: "LOGIN",
                SECOND_APPLICATION: "NOLOGIN",
                "standby": "LOGIN REPLICATION",
            }
            for login, right in rights.items():
                role, password = sql.Identifier(login), sql.Literal(self._passwords[login])
                statement = sql.SQL("CREATE ROLE {} {} PASSWORD {}")
                connection.execute(statement.format(role, sql.SQL(right), password))
            connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}".encode())

    def follow(self, primary: Server) -> None:
        """Copy a primary, and start as its standby."""
        source = primary.url("standby", "postgres") + "?application_name=standby"
        self._program("pg_basebackup", "-d", source, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync")
        self.part.start()

    def follow_anew(self, primary: Server) -> None:
        """Come back as the standby of who has taken over; what only this server has is thrown away."""
        shutil.rmtree(self._cluster)
        self.follow(primary)

    def change_password(self, login: str) -> None:
        """Believe another one of a login from now on; who is connected stays."""
        self._passwords[login] = secrets.token_urlsafe(18)
        role, password = sql.Identifier(login), sql.Literal(self._passwords[login])
        statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, password)
        self.ask(statement.as_string())

    def crash(self) -> None:
        """What `pg_ctl stop -m immediate` does: every backend leaves at once, nothing is written."""
        self.part.end(signal.SIGQUIT)

    def promote(self) -> None:
        """Stop following: from now on this is the primary."""
        self.ask("SELECT pg_promote(true, 60)")

    def ask(self, statement: str, login: str = "postgres", **values: Any) -> list[dict[str, Any]]:
        """Run SQL on a connection of its own."""
        with psycopg.connect(self.url(login), autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description is not None else []

    def _answers(self) -> bool:
        if not listens(self.port)():
            return False
        try:
            self.ask_maintenance("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def ask_maintenance(self, statement: str) -> None:
        """Run SQL before the platform's database is there."""
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _program(self, name: str, *arguments: str) -> None:
        command = _unprivileged([str(PROGRAMS / name), "-D", str(self._cluster), *arguments])
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.home)
        assert done.returncode == 0, done.stdout + done.stderr


def pair(home: Path) -> tuple[Server, Server]:
    """Return a primary and its standby, both running."""
    primary = lone_server(home)
    standby = primary.sibling("standby")
    standby.follow(primary)
    return primary, standby


def lone_server(home: Path) -> Server:
    """Return a running server, in a new directory that becomes its account's."""
    home.mkdir()
    if os.geteuid() == 0:
        account = unprivileged_account(home)
        os.chown(home, account.pw_uid, account.pw_gid)
    logins = ("postgres", OWNER, APPLICATION, SECOND_APPLICATION, "standby")
    primary = Server("primary", home, {login: secrets.token_urlsafe(18) for login in logins})
    primary.make()
    return primary


def _unprivileged(command: Sequence[str]) -> list[str]:
    if os.geteuid() != 0:
        return list(command)
    return as_account(unprivileged_account(Path("/")).pw_name, command)
