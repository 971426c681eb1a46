"""A Redis and a PostgreSQL of a test's own, to be stopped, starved, robbed and brought back."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import psycopg
import redis

from platform_core.embedded import embedded_services
from platform_core.embedded.programs import find_redis
from platform_core.testing._databases import with_database
from platform_core.testing._directories import servers_directory
from platform_core.testing._processes import watched

PATIENCE_SECONDS = 30.0


class RedisServer:
    """
    One server on a port that stays the same.

    Attributes:
        url: the platform's `REDIS_URL`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self._leash = contextlib.ExitStack()

    @property
    def dump(self) -> Path:
        return self._directory / "dump.rdb"

    def start(self) -> None:
        """Start it on whatever the directory holds, and wait until it answers."""
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self._directory,
            "save": "",
            "appendonly": "no",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # the program that the kernel found
                [str(find_redis()), *arguments], stdout=log, stderr=log, start_new_session=True
            )
        self._leash.enter_context(watched(self._process.pid))  # it ends with the tests, killed or not
        _wait_until(self._answers)

    def stop(self) -> None:
        """End it without saving anything."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
            self._leash.close()

    def freeze(self) -> None:
        """Let it accept connections and never answer: a black hole."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """Return a client to look and meddle with; the caller closes it."""
        return redis.Redis(host="127.0.0.1", port=self.port)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: TracebackType | BaseException | type[BaseException] | None) -> None:
        self.stop()

    def _answers(self) -> bool:
        with self.client() as client, contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """Yield a `REDIS_URL` where nobody even completes a handshake: its queue of connections is full for ever."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            knock = stack.enter_context(socket.socket())
            knock.setblocking(False)
            knock.connect_ex(listener.getsockname())
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


class PostgresServer:
    """
    One server that crashes on demand and recovers under the same address.

    It stands in for the test kit's `Databases` too: the platform is migrated right where it runs.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self.url = ""

    def start(self) -> None:
        """Start it as production does: what was committed outlives a crash; and wait until it takes connections."""
        services = self._stack.enter_context(
            embedded_services(self._directory, database=True, redis=False, durable=True)
        )
        assert services.database_url
        self.url = services.database_url

    def crash(self) -> None:
        """What `pg_ctl stop -m immediate` does: every backend leaves at once, nothing is written."""
        pid_file = self._directory / "postgres" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split("\n")[0]), signal.SIGQUIT)
        self._stack.close()

    def stop(self) -> None:
        self._stack.close()

    # ── what `platform_core.testing` asks of a maker of databases ────────────────────────────────

    def template(self, _key: str, migrate: Callable[[str], None]) -> str:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE faults")
        migrate(with_database(self.url, "faults"))
        return "faults"

    def take(self, template: str) -> str:
        return with_database(self.url, template)

    def give_back(self, _url: str) -> None:
        """It goes with the server."""


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server for the length of the block, in a directory that the servers' account may pass."""
    with servers_directory() as directory:
        server = PostgresServer(directory)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < end, "the server does not answer"
        time.sleep(0.02)
