"""
PostgreSQL: a cluster made once, a server started on it, a database in it.
"""

from __future__ import annotations

import locale
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from platform_core.embedded.directory import Directory
from platform_core.embedded.lock import works_in
from platform_core.embedded.order import EmbeddedServiceError
from platform_core.embedded.processes import Processes
from platform_core.embedded.tcp import free_port

ROLE: Final = "platform"
DATABASE: Final = "platform"
DEFAULT_PORT: Final = 5432  # only part of the socket's file name, unless TCP is asked for


class Postgres:
    """
    One cluster of a data directory.

    Args:
        programs: the directory of `postgres`, `initdb` and `psql`.
        password: None where no port is to be open.
        durable: False stops waiting for the disk.
    """

    def __init__(
        self,
        processes: Processes,
        directory: Directory,
        programs: Path,
        password: str | None,
        *,
        durable: bool,
    ) -> None:
        self._processes, self._directory = processes, directory
        self._programs = directory.reachable(programs.parent) / programs.name
        self._password, self._durable = password, durable
        self._cluster = directory.home / "postgres"

    def start(self) -> str:
        """Start the server, make the database if it is missing, return the URL."""
        self._prepare()
        port = free_port() if self._password else DEFAULT_PORT
        flags = [part for name, value in self._settings(port).items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._cluster), *flags]
        # SIGINT: clients are cut off, everything is written ("fast"). SIGQUIT: leave at once, recover next time.
        server = self._processes.serve("PostgreSQL", command, signal.SIGINT, signal.SIGQUIT)
        pid_file = self._cluster / "postmaster.pid"
        self._processes.wait_until(lambda: _is_ready(pid_file, server.process.pid), server)
        self._make_database(port)
        if self._password:
            return f"postgresql://{ROLE}:{self._password}@127.0.0.1:{port}/{DATABASE}"
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(self._directory.sockets))}"

    def _prepare(self) -> None:
        """Have a cluster that this version's server can be started on."""
        version = _major_version(self._programs)
        if not (self._cluster / "PG_VERSION").exists():
            self._make_cluster(version)
        self._directory.own(self._cluster)
        made_by = int((self._cluster / "PG_VERSION").read_text())
        if made_by != version:
            raise EmbeddedServiceError(
                f"{self._cluster} was made by PostgreSQL {made_by}, and this machine offers {version}. "
                "Install that version again, or move the directory away to start with an empty database."
            )
        _clear_stale_pid(self._cluster / "postmaster.pid")

    def _settings(self, port: int) -> dict[str, str]:
        settings = {
            "listen_addresses": "127.0.0.1" if self._password else "",
            "port": str(port),
            "unix_socket_directories": str(self._directory.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "400",
            "shared_buffers": "64MB",
            "max_wal_size": "256MB",
            "log_timezone": "UTC",
            "timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return settings

    def _make_cluster(self, version: int) -> None:
        """Run initdb beside the final place: a cluster under its own name is a complete one."""
        unfinished = self._cluster.with_name("postgres.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        self._directory.own(unfinished)
        command = [str(self._programs / "initdb"), "-D", str(unfinished), "-U", ROLE, "-E", "UTF8"]
        # Whoever reaches the socket's directory is this account already; TCP asks for the password.
        command += ["--auth-local=trust", "--auth-host=scram-sha-256", *_locale_options(version)]
        if not self._durable:
            command.append("--no-sync")
        self._processes.run_as_server("initdb", command)
        if self._cluster.exists():
            self._cluster.rmdir()  # an empty directory made by somebody else; anything in it stops us here
        unfinished.rename(self._cluster)

    def _make_database(self, port: int) -> None:
        statements = [
            f"SELECT 'CREATE DATABASE {DATABASE}'"  # noqa: S608 - constants
            f" WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec"
        ]
        if self._password:
            statements.append(f"ALTER ROLE {ROLE} PASSWORD '{self._password}';")
        command = [
            str(self._programs / "psql"),
            "-XqAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            ROLE,
            "-d",
            "postgres",
        ]
        command += ["-h", str(self._directory.sockets), "-p", str(port)]
        self._processes.run(command, "\n".join(statements) + "\n")


def _major_version(programs: Path) -> int:
    command = [str(programs / "postgres"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - found by us
    version = re.search(r"\d+", said)
    if version is None:
        raise EmbeddedServiceError(f"{command[0]} does not tell its version: {said}")
    return int(version[0])


def _locale_options(version: int) -> list[str]:
    """Order by code point everywhere, with upper and lower case of all of Unicode where possible."""
    if version >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return ["--locale=C"]
    return ["--locale=C.UTF-8"]


def _clear_stale_pid(pid_file: Path) -> None:
    """
    Remove a pid file whose process is gone or has become somebody else's.

    PostgreSQL checks only whether the number is in use, and in a container the small numbers come again.
    """
    with suppress(FileNotFoundError):
        pid = int(pid_file.read_text().split("\n")[0] or 0)
        if pid > 0 and works_in(pid, pid_file.parent):
            raise EmbeddedServiceError(
                f"A PostgreSQL server that was started by hand (pid {pid}) uses {pid_file.parent}. "
                "Stop it, or give another directory."
            )
        pid_file.unlink()


def _is_ready(pid_file: Path, pid: int) -> bool:
    """Read what `pg_ctl --wait` reads: the first line is the pid, the eighth the state."""
    try:
        lines = pid_file.read_text().split("\n")
    except FileNotFoundError:
        return False
    return lines[0].strip() == str(pid) and len(lines) > 7 and lines[7].strip() == "ready"
