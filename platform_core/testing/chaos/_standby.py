"""A streaming standby of a PostgreSQL of a test's own, made as operators make one: with pg_basebackup."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg

from platform_core._pools import libpq_url
from platform_core.embedded.account import unprivileged_account
from platform_core.embedded.postgres import ROLE
from platform_core.embedded.programs import find_postgres
from platform_core.testing._databases import with_database
from platform_core.testing._processes import watched

_PATIENCE_SECONDS: Final = 30.0


class Standby:
    """
    Follows a primary; read-only, and behind for as long as a test wants.

    Args:
        primary_url: of a server on this machine, reached through a socket.
        directory: its own, which the servers' account may pass.
    """

    def __init__(self, primary_url: str, directory: Path) -> None:
        self._primary_url, self._directory = libpq_url(primary_url), directory
        self._programs = find_postgres()
        self._leash = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._connections = ""

    def url(self, database_url: str) -> str:
        """Return the address under which the standby shows a database of the primary."""
        database = psycopg.conninfo.conninfo_to_dict(libpq_url(database_url))["dbname"]
        own = f"postgresql://{ROLE}@/postgres?host={quote(str(self._directory))}"
        return with_database(own, str(database))

    def make(self) -> None:
        """Copy the primary as it is; once."""
        with psycopg.connect(self._primary_url) as connection:
            row = connection.execute("SHOW max_connections").fetchone()
            assert row is not None
            self._connections = row[0]  # a standby that allows fewer does not start
        command = ["pg_basebackup", "-d", self._primary_url, "-D", str(self._cluster)]
        command += ["-R", "-X", "stream", "--checkpoint=fast", "--no-sync"]
        self._run(command)

    def start(self) -> None:
        """Start it, and wait until it can be asked."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._directory),
            "hot_standby": "on",
            "fsync": "off",
            "max_connections": self._connections,
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._directory / "standby.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # the program that the kernel found
                [str(self._programs / "postgres"), "-D", str(self._cluster), *flags],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._identity(),
            )
        self._leash.enter_context(watched(self._process.pid))  # it ends with the tests, killed or not
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End it at once, as a machine does that loses its power; the primary does not notice."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait()
            self._leash.close()

    def fall_behind(self) -> None:
        """Show nothing new, though it arrives."""
        self._sql("SELECT pg_wal_replay_pause()")

    def catch_up(self) -> None:
        """Show what has arrived meanwhile, and go on."""
        self._sql("SELECT pg_wal_replay_resume()")

    @property
    def _cluster(self) -> Path:
        return self._directory / "standby"

    def _identity(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root: it runs as whom the primary runs as."""
        if os.geteuid() != 0:
            return {}
        account = unprivileged_account(self._directory)
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _run(self, command: list[str]) -> None:
        program = str(self._programs / command[0])
        done = subprocess.run(  # noqa: S603  # the program that the kernel found
            [program, *command[1:]], capture_output=True, text=True, check=False, **self._identity()
        )
        assert done.returncode == 0, done.stderr

    def _sql(self, statement: str) -> None:
        with psycopg.connect(self.url(self._primary_url), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _wait_until_it_answers(self) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                self._sql("SELECT 1")
                return
            except psycopg.OperationalError:
                assert time.monotonic() < end, (self._directory / "standby.log").read_text()
                time.sleep(0.05)


@contextlib.contextmanager
def standby_of(primary_url: str) -> Iterator[Standby]:
    """Run a standby of a server for the length of the block."""
    directory = Path(tempfile.mkdtemp(prefix="platform-standby-"))
    standby = Standby(primary_url, directory)
    identity = standby._identity()
    os.chown(directory, identity.get("user", -1), identity.get("group", -1))
    try:
        standby.make()
        standby.start()
        yield standby
    finally:
        standby.stop()
        shutil.rmtree(directory, ignore_errors=True)
