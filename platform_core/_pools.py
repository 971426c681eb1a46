"""
Connections to PostgreSQL: a bounded pool per module and purpose, each with the module's own database role.

Private to the kernel. A module that leaks connections exhausts its own pool and nobody else's.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
import psycopg.conninfo
from pydantic import SecretStr

from platform_core import tracing
from platform_core._pool import Connection, Pool, PoolExhausted, TracedConnection
from platform_core.context import Context
from platform_core.errors import ForeignTable, MissingRights, PlatformError, Unavailable
from platform_core.settings import KernelSettings

KERNEL = "platform"
"""The kernel's own schema and pool."""


LONGEST_NAME_BYTES = 63
"""PostgreSQL cuts longer identifiers off without a word."""


def role_name(database: str, module: str) -> str:
    """
    Return the database role of a module; roles are cluster-wide, so the database is part of the name.

    A name that would not fit ends in a digest of the whole, so that two modules never share a role.
    """
    name = f"{database}_{module}"
    if len(name.encode()) <= LONGEST_NAME_BYTES:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name.encode()[: LONGEST_NAME_BYTES - 13].decode(errors='ignore')}_{digest}"


class translated:  # noqa: N801  # reads like the context manager that it is; a class is a third of a generator's cost
    """
    Turn "the database is away" into one error that clients understand.

    Raises:
        Unavailable: no connection to be had in time, the server is going down, or it is read-only for now.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, PoolExhausted | psycopg.InterfaceError):
            raise Unavailable("The database is busy or away.", retry_after_seconds=1) from error
        if isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
            return  # the unit of work knows what to do about these
        if isinstance(error, psycopg.OperationalError | psycopg.errors.ReadOnlySqlTransaction):
            raise Unavailable("The database is away.", retry_after_seconds=1) from error


Watcher = Callable[[str, str, str, Sequence[Any]], None]
"""Is told of each statement: module, purpose (`commands`, `claims`, `reads`, `replica`), SQL, values."""


class ReplicaRule(Protocol):
    """Whom the replica serves; `_replica.Replica`."""

    def serves(self, context: Context) -> bool:
        """Tell whether it shows everything that whoever is served has written."""
        ...

    def lost(self, error: Exception) -> None:
        """Ask it nothing more until it has been seen again."""
        ...


_CLAIMS = "claims"


@dataclass(frozen=True, slots=True)
class _Key:
    module: str
    purpose: str


class Pools:
    """
    Every pool of one process, made when first asked for.

    Args:
        settings: addresses and pool sizes.
        roles: module → database role that its connections take (`SET ROLE` in the start-up packet), the kernel's
            own among them; empty where there are none, and connections have the login's rights. From
            `_migrations.read_database`, before the first connection of a pool is made.

    Attributes:
        replica: whom it serves; nobody, where none says so.
        watchers: told of each statement that is sent; for tests and measurements.
    """

    def __init__(self, settings: KernelSettings, *, roles: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self.roles: Mapping[str, str] = roles or {}
        self.replica: ReplicaRule | None = None
        self.watchers: list[Watcher] = []
        self._pools: dict[_Key, Pool] = {}

    def commands(self, module: str) -> Pool:
        """Return the pool for units of work of `module`, on the primary."""
        return self._get(_Key(module, "commands"))

    def claims(self) -> Pool:
        """
        Return the kernel's pool for claiming deliveries.

        A queue's statistics are always out of date: with the ones of a quiet hour the planner would look at everything
        that waits, and sort it, to find the few that are due first. Here it walks along the index and stops.
        """
        return self._get(_Key(KERNEL, _CLAIMS))

    def reads(self, module: str, *, primary: bool) -> Pool:
        """Return the pool for queries of `module`: the replica's, or the primary's for decisions."""
        replica = self._settings.read_database_url is not None and not primary
        return self._get(_Key(module, "replica" if replica else "reads"))

    def opened(self) -> dict[tuple[str, str], Pool]:
        """Return the pools that are in use, by module and purpose."""
        return {(key.module, key.purpose): pool for key, pool in list(self._pools.items())}

    async def adopt(self, roles: Mapping[str, str]) -> None:
        """Take roles that somebody has made or renamed since; connections of the old pools end with their work."""
        if roles != self.roles:
            self.roles = roles
            await self.close()

    async def close(self) -> None:
        """Close every pool."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.close()

    def _get(self, key: _Key) -> Pool:
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._create(key)
        return pool

    def _create(self, key: _Key) -> Pool:
        settings = self._settings

        async def connect() -> psycopg.AsyncConnection[Any]:
            # read here, not at start: a rotated credential file counts from the next connection on
            secret = settings.read_database_url if key.purpose == "replica" else settings.database_url
            assert secret is not None  # noqa: S101  # `_get` is only asked for configured purposes
            return await psycopg.AsyncConnection.connect(
                _address(secret),
                autocommit=True,
                application_name=f"platform/{key.module}/{key.purpose}",
                connect_timeout=settings.database_connect_timeout_seconds,
                options=self._options(key),
                keepalives_idle=30,
            )

        denied = functools.partial(self._denied, key.module)

        def watch(sql: str, values: Sequence[Any]) -> None:
            for watcher in self.watchers:
                watcher(key.module, key.purpose, sql, values)

        return Pool(
            connect,
            size=settings.database_pool_size,
            timeout_seconds=settings.database_pool_timeout_seconds,
            watch=watch,
            kind=functools.partial(TracedConnection, denied=denied, name=f"sql {key.module}")
            if tracing.is_on()
            else functools.partial(Connection, denied=denied),
        )

    def _denied(self, module: str, error: psycopg.errors.InsufficientPrivilege) -> PlatformError:
        said = error.diag.message_primary or str(error)
        named = {word.strip("\"'«»„“”.") for word in said.split()}  # in whatever language the server speaks
        owner = next((other for other in self.roles if other in named and other != module), None)
        if owner is None:  # a table alone, which may be anybody's
            return MissingRights(module, said)
        return ForeignTable(module, "the kernel" if owner == KERNEL else owner, said)

    def _options(self, key: _Key) -> str:
        timeout = int(self._settings.database_statement_timeout_seconds * 1000)
        parts = [f"-c statement_timeout={timeout}", f"-c idle_in_transaction_session_timeout={timeout * 2}"]
        # compiling a statement takes longer than any of ours runs, and the costs that ask for it are made up below
        parts.append("-c jit=off")
        if key.purpose == _CLAIMS:
            parts += [f"-c enable_{plan}=off" for plan in ("seqscan", "bitmapscan", "sort")]
            parts.append("-c synchronous_commit=off")  # a lease that a crash takes along is given anew
        if self.roles:
            role = self.roles.get(key.module)
            if role is None:  # never the login's rights by accident
                raise Unavailable(
                    f"The module {key.module} has no database role: platform db upgrade makes one."
                )
            escaped = role.replace("\\", r"\\").replace(" ", r"\ ")
            parts.append(f"-c role={escaped}")
        return " ".join(parts)


def _address(secret: SecretStr) -> str:
    try:
        address = libpq_url(secret.get_secret_value())
        psycopg.conninfo.conninfo_to_dict(address)
    except (OSError, psycopg.ProgrammingError) as error:  # its file is being replaced just now
        raise Unavailable(
            "The database is away: its address cannot be read.", retry_after_seconds=1
        ) from error
    return address


def libpq_url(url: str) -> str:
    """Return `url` without SQLAlchemy's driver part, as libpq reads it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"
