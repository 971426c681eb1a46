"""
One PostgreSQL and one Redis for a whole pytest run, started when the first test asks; private to the test kit.

    pytest (controller) ── owns ──► embedded servers, or the ones that TEST_DATABASE_URL and TEST_REDIS_URL name
       ▲ unix socket: "where are they?"
    xdist workers gw0, gw1, …

Only the controller outlives every worker, so it owns the servers; workers ask it through a socket. A run that never
asks starts nothing. With `kill -9` of the controller the servers end too (`platform_core.embedded`).
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from platform_core.testing._directories import ServersUnavailable, reserved_directory

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class Addresses:
    """
    Where the run's servers are.

    Attributes:
        database_url: of a maintenance database; its role may create databases and roles.
        redis_url: its database number is the first that the run uses.
        run: names this run; part of the names of its databases.
    """

    database_url: str
    redis_url: str
    run: str


class Servers(Protocol):
    """What fixtures see, in the controller and in workers alike."""

    def addresses(self) -> Addresses:
        """Return where the servers are; the first call starts them."""
        ...

    def close(self) -> None:
        """Stop what this process started."""
        ...


class OwnServers:
    """
    The controller's: starts the servers on demand and tells xdist workers where they are.

    Args:
        database_url, redis_url: servers that are there already; started when not given.
    """

    def __init__(self, database_url: str | None, redis_url: str | None) -> None:
        self._given = (database_url, redis_url)
        self._lock = threading.Lock()
        self._stack = contextlib.ExitStack()
        self._addresses: Addresses | None = None
        self._door: _Door | None = None

    def addresses(self) -> Addresses:
        with self._lock:
            if self._addresses is None:
                self._addresses = self._start()
            return self._addresses

    def door(self) -> str:
        """Return the path of the socket where workers may ask; opened by the first call."""
        if self._door is None:
            self._door = _Door(self)
        return self._door.path

    def close(self) -> None:
        if self._door is not None:
            self._door.close()
        self._stack.close()
        self._addresses = None

    def _start(self) -> Addresses:
        database_url, redis_url = self._given
        if not (database_url and redis_url):
            from platform_core.embedded import embedded_services

            slot = self._stack.enter_context(reserved_directory())
            started = self._stack.enter_context(
                embedded_services(slot, database=not database_url, redis=not redis_url, durable=False)
            )
            database_url, redis_url = database_url or started.database_url, redis_url or started.redis_url
        assert database_url
        assert redis_url
        run = self._stack.enter_context(_run(database_url))
        return Addresses(database_url, redis_url, run)


class AskedServers:
    """A worker's: asks the controller."""

    def __init__(self, door: str) -> None:
        self._path = door
        self._addresses: Addresses | None = None

    def addresses(self) -> Addresses:
        if self._addresses is None:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(self._path)
                with connection.makefile("rb") as answers:
                    answer = json.loads(
                        answers.readline() or b'{"error": "the controller of the run is gone"}'
                    )
            if "error" in answer:
                raise ServersUnavailable(answer["error"])
            self._addresses = Addresses(**answer)
        return self._addresses

    def close(self) -> None:
        self._addresses = None


class _Door:
    """A socket in a directory that only this account may enter; whoever connects is told the addresses."""

    def __init__(self, servers: OwnServers) -> None:
        self._servers, self._is_closing = servers, False
        self._directory = tempfile.mkdtemp(prefix="platform-door-")
        self.path = f"{self._directory}/s"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.path)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, name="platform-test-servers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closing = True
        # a thread that waits in accept() does not notice that the socket was closed: knock once
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
            knock.connect(self.path)
        self._thread.join()
        self._socket.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, contextlib.suppress(OSError):
                if self._is_closing:
                    return
                connection.sendall(json.dumps(_answer(self._servers)).encode() + b"\n")


def _answer(servers: OwnServers) -> dict[str, str]:
    try:
        return asdict(servers.addresses())
    except Exception as error:  # noqa: BLE001  # the worker that asked reports it; the door stays open
        return {"error": f"{type(error).__name__}: {error}"}


# ── this run, and what earlier ones left behind ──────────────────────────────────────────────────

RUN_LOCK = 0x74657374  # "test"
PREFIX = "platform_test_"
TEMPLATE_PREFIX = "platform_template_"
TEMPLATE_MARK = "last used by tests on "
TEMPLATE_DAYS = 7


@contextlib.contextmanager
def _run(database_url: str) -> Iterator[str]:
    """
    Name this run and hold a lock for it; databases of runs whose lock is free are dropped.

    The lock is a session's, so it is free as soon as its run was killed.
    """
    import psycopg

    number = random.SystemRandom().randrange(1, 2**31)
    run = f"{number:08x}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s, %s)", (RUN_LOCK, number))
        _sweep(connection)
        _sweep_templates(connection)
        try:
            yield run
        finally:
            _drop(connection, run)


def _sweep(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    names = [str(row[0]) for row in connection.execute(_LIST, (f"{PREFIX}%",))]
    for run in {name.removeprefix(PREFIX)[:8] for name in names}:
        with contextlib.suppress(ValueError):
            row = connection.execute(
                "SELECT pg_try_advisory_lock(%s, %s)", (RUN_LOCK, int(run, 16))
            ).fetchone()
            # a session can take its own lock again, but this run has no databases yet
            if row is not None and row[0]:
                _drop(connection, run)
                connection.execute("SELECT pg_advisory_unlock(%s, %s)", (RUN_LOCK, int(run, 16)))


def _sweep_templates(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Drop templates of revisions that nobody tests any more, and their database roles."""
    import psycopg
    from psycopg import sql

    oldest = (datetime.now(UTC) - timedelta(days=TEMPLATE_DAYS)).date().isoformat()
    rows = connection.execute(_OUTDATED, (f"{TEMPLATE_PREFIX}%", f"{TEMPLATE_MARK}{oldest}")).fetchall()
    for (name,) in rows:
        # another run may use or drop it this very moment
        with contextlib.suppress(psycopg.Error):
            connection.execute(
                sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(str(name)))
            )
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))))
        _drop_roles(connection, f"{name}_%")


def _drop_roles(connection: psycopg.Connection[tuple[object, ...]], like: str) -> None:
    """Drop database roles; they belong to the whole server and survive their database."""
    import psycopg
    from psycopg import sql

    roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", (like,)).fetchall()
    for (role,) in roles:
        with contextlib.suppress(psycopg.Error):  # a copy in another run may still need it
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(str(role))))


_OUTDATED = (
    "SELECT datname FROM pg_database WHERE datname LIKE %s AND shobj_description(oid, 'pg_database') < %s"
)


def _drop(connection: psycopg.Connection[tuple[object, ...]], run: str) -> None:
    from psycopg import sql

    for (name,) in connection.execute(_LIST, (f"{PREFIX}{run}_%",)).fetchall():
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(str(name)))
        )
    _drop_roles(connection, f"{PREFIX}{run}_%")


_LIST = "SELECT datname FROM pg_database WHERE datname LIKE %s"
