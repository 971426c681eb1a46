"""
A fresh database for each test, copied from a migrated template; private to the test kit.

Copying takes PostgreSQL some 15 ms, so a thread keeps copies ready and drops used ones while tests run.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from platform_core.testing._servers import PREFIX, TEMPLATE_MARK, TEMPLATE_PREFIX, Addresses

_TEMPLATE_LOCK = 0x74706C74  # "tplt"
_SPARE_COUNT = 2
_RECENT_COUNT = 8
"""Copies are kept ready of what was asked for twice among so many: the tests of a file are alike, the files are not."""


def with_database(url: str, name: str) -> str:
    """Return `url` with another database's name."""
    parts = urlsplit(url)
    # not urlunsplit: it drops the slashes before an empty host
    return f"{parts.scheme}://{parts.netloc}/{name}?{parts.query}".removesuffix("?")


class Databases:
    """
    Makes and drops databases for one process of a pytest run.

    Args:
        addresses: of the run's servers.
        process: tells this process from the others of the run: `main`, `gw0`.
    """

    def __init__(self, addresses: Addresses, process: str) -> None:
        self._url = addresses.database_url
        self._prefix = f"{PREFIX}{addresses.run}_{process}_"
        self._number = 0
        self._lock = threading.Condition()
        self._spares: dict[str, deque[str]] = defaultdict(deque)
        self._used: list[str] = []
        self._complete: set[str] = set()
        self._recent: deque[str] = deque(maxlen=_RECENT_COUNT)
        self._closing = False
        self._connection = self._connect()
        self._thread: threading.Thread | None = None

    def template(self, key: str, migrate: Callable[[str], None]) -> str:
        """
        Return the name of the template for `key`, migrated by the first process of any run that asks.

        Args:
            key: everything that the template's content depends on; its hash names the template.
            migrate: called with the URL of an empty database.
        """
        name = TEMPLATE_PREFIX + hashlib.sha256(key.encode()).hexdigest()[:16]
        if name in self._complete:
            return name
        number = int(name[-7:], 16)
        connection = self._connection
        connection.execute("SELECT pg_advisory_lock(%s, %s)", (_TEMPLATE_LOCK, number))
        try:
            if not self._is_complete(name):
                self._drop(connection, name)
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                migrate(with_database(self._url, name))
                # only now: a template without this mark was left behind half made
                connection.execute(
                    sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false").format(
                        sql.Identifier(name)
                    )
                )
            self._remember_use(name)
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", (_TEMPLATE_LOCK, number))
        self._complete.add(name)
        return name

    def take(self, template: str = "template0") -> str:
        """Return the URL of a fresh copy of `template`; it is the caller's until `give_back`."""
        with self._lock:
            self._recent.append(template)
            spares = self._spares[template]
            name = spares.popleft() if spares else None
            for outdated in self._spares.keys() - self._recent:
                self._used += self._spares.pop(outdated)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._keep_spares, name="platform-test-databases", daemon=True
                )
                self._thread.start()
            self._lock.notify()
        return with_database(self._url, name or self._copy(self._connection, template))

    def give_back(self, url: str) -> None:
        """Drop a database later; whoever is still connected is disconnected."""
        with self._lock:
            self._used.append(urlsplit(url).path.removeprefix("/"))
            self._lock.notify()

    def close(self) -> None:
        """Drop everything that this process made, templates excepted: the next run finds them migrated."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join()
        for name in (*self._used, *(name for spares in self._spares.values() for name in spares)):
            self._drop(self._connection, name)
        self._connection.close()

    def _keep_spares(self) -> None:
        with contextlib.closing(self._connect()) as connection:
            while True:
                with self._lock:
                    self._lock.wait_for(lambda: self._closing or self._used or self._lacking() is not None)
                    if self._closing:
                        return
                    lacking = self._lacking()
                    used = None if lacking else self._used.pop()
                if lacking:
                    name = self._copy(connection, lacking)
                    with self._lock:
                        self._spares[lacking].append(name)
                elif used:
                    self._drop(connection, used)

    def _lacking(self) -> str | None:
        asked = Counter(self._recent)
        return next(
            (
                template
                for template, times in asked.items()
                if times > 1 and len(self._spares[template]) < _SPARE_COUNT
            ),
            None,
        )

    def _copy(self, connection: psycopg.Connection[tuple[object, ...]], template: str) -> str:
        with self._lock:
            self._number += 1
            name = f"{self._prefix}{self._number}"
        # FILE_COPY takes a checkpoint, cheap where nobody waits for the disk; WAL_LOG takes 2.5 times as long
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return name

    def _drop(self, connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _remember_use(self, template: str) -> None:
        """Templates that no run has used for a week are swept; see `_servers`."""
        today = datetime.now(UTC).date().isoformat()
        self._connection.execute(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(
                sql.Identifier(template), sql.Literal(f"{TEMPLATE_MARK}{today}")
            )
        )

    def _is_complete(self, name: str) -> bool:
        row = self._connection.execute(
            "SELECT datistemplate FROM pg_database WHERE datname = %s", (name,)
        ).fetchone()
        return row is not None and bool(row[0])

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self._url, autocommit=True, application_name="platform/test databases")
