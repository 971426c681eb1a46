"""A running platform for a test; private to the test kit, published as the fixture `platform`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import importlib.util
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import psycopg
from psycopg.rows import dict_row

import platform_core
from platform_core import ENTRY_POINT_GROUP
from platform_core._manifest import read_manifest
from platform_core._migrations import read_database_sync, upgrade
from platform_core._outbox import EventCodec
from platform_core._pools import libpq_url
from platform_core._seeds import HIGHEST_TIER, run_seeds
from platform_core.app import Kernel
from platform_core.context import Context, bind
from platform_core.declarations import Tier
from platform_core.domain import Command, Event, Query
from platform_core.errors import StartupError
from platform_core.security import SYSTEM, Principal
from platform_core.settings import read_settings
from platform_core.testing._clock import ManualClock
from platform_core.testing._counting import Traffic, counted
from platform_core.testing._next_release import migrate_further, next_release
from platform_core.testing._plugins import PluginSource, plugins_installed
from platform_core.testing._records import AuditLine, StoredDelivery, StoredEvent

if TYPE_CHECKING:
    from httpx2 import AsyncClient

    from platform_core.mailcatcher import Mail, MailCatcher
    from platform_core.testing._databases import Databases

R = TypeVar("R")
E = TypeVar("E", bound=Event)

_NOTHING = PluginSource(name="no_plugin", manifest='title = "Nothing"\n')
"""Loaded where a test wants the kernel alone: an empty allow-list would mean every installed plugin."""

_SECRET_KEY = secrets.token_urlsafe(48)

_PLENTY = "1000000/second"


@dataclass(frozen=True)
class Acting:
    """A running platform as one principal uses it; made by `RunningPlatform.acting_as`."""

    kernel: Kernel
    principal: Principal

    async def execute(self, command: Command[R]) -> R:
        """Execute a command as this principal; raises what the handler raises."""
        with bind(Context(principal=self.principal)):
            result: R = await self.kernel.bus.execute(command)
            return result

    async def ask(self, query: Query[R]) -> R:
        """Ask a query as this principal."""
        with bind(Context(principal=self.principal)):
            result: R = await self.kernel.bus.ask(query)
            return result


class RunningPlatform:
    """
    The platform with just the wanted plugins, on a database of its own; made by the fixture `platform`.

    Attributes:
        kernel: the composition root, for whatever this class has no shorter word for.
        clock: what the port `Clock` shows.
        environment: the settings as environment variables, for `run_process`; it shares database and Redis.
    """

    def __init__(
        self,
        kernel: Kernel,
        clock: ManualClock,
        environment: Mapping[str, str],
        database_url: str,
        catcher: MailCatcher | None,
    ) -> None:
        self.kernel, self.clock, self.environment = kernel, clock, environment
        self.database_url, self._catcher = database_url, catcher
        self._stack = contextlib.AsyncExitStack()
        self._app: Any = None
        self._client: AsyncClient | None = None
        self._connection: psycopg.AsyncConnection[dict[str, Any]] | None = None

    # ── doing ────────────────────────────────────────────────────────────────────────────────────

    async def execute(self, command: Command[R]) -> R:
        """Execute a command as the platform itself, which may do anything."""
        return await self.acting_as(SYSTEM).execute(command)

    async def ask(self, query: Query[R]) -> R:
        """Ask a query as the platform itself."""
        return await self.acting_as(SYSTEM).ask(query)

    def acting_as(self, principal: Principal) -> Acting:
        """
        Return the same platform as somebody else uses it.

        Example:
            await p.acting_as(Principal(user_id=new_id())).execute(RenameProject(...))
        """
        return Acting(self.kernel, principal)

    async def deliver(self, *, skip_waits: bool = False) -> list[StoredDelivery]:
        """
        Run a worker until nothing is due, in this process.

        Args:
            skip_waits: do not wait for back-off or delayed jobs: go on until each is done, dead or parked.

        Returns: every delivery and job that was attempted, as it stands now.
        """
        before = {
            delivery.id: (delivery.status, delivery.attempts_count) for delivery in await self.deliveries()
        }
        worker = self.kernel.worker()
        await worker.run_until_idle()
        while skip_waits and await self._make_due() and await worker.run_until_idle():
            pass  # what is left due although nothing was attempted waits for a newer build
        return [
            delivery
            for delivery in await self.deliveries()
            if before.get(delivery.id, ("pending", 0)) != (delivery.status, delivery.attempts_count)
        ]

    async def redeliver(self, handler: str) -> list[StoredDelivery]:
        """
        Let everything that a handler has finished come to it once more.

        A worker that dies at the wrong moment does the same; a good handler leaves everything as it was.

        Args:
            handler: the subscription's name, or the wire name of a task's command.

        Returns: the handler's deliveries, as they stand after the repetition.

        Raises:
            LookupError: it has finished nothing yet.

        Example:
            await p.deliver()
            [again] = await p.redeliver("bookmarks.first_bookmark")
            assert again.status == "done"
            assert len(await p.events(BookmarkKept)) == 1
        """
        finished = await self.sql(
            "UPDATE platform.deliveries SET status = 'pending', available_at = now(), finished_at = NULL"
            " WHERE handler = %(handler)s AND status = 'done' RETURNING id",
            handler=handler,
        )
        if not finished:
            known = ", ".join(sorted({delivery.handler for delivery in await self.deliveries()})) or "none"
            raise LookupError(f"{handler} has finished nothing yet; handlers with deliveries are: {known}")
        repeated = {row["id"] for row in finished}
        await self.deliver()
        return [delivery for delivery in await self.deliveries(handler) if delivery.id in repeated]

    async def seed(self, tier: Tier = Tier.ESSENTIAL) -> None:
        """
        Run the seeds of the loaded modules as `platform seed` would, in plugin order, those of the tiers below too.

        Raises:
            SeedFailed: with the seed, and why.

        Example:
            for _ in range(2):  # the second time changes nothing
                await p.seed(Tier.TEST)
        """
        environment = next(name for name, highest in HIGHEST_TIER.items() if highest is tier)
        for module in self.kernel.declared:
            await run_seeds(self.kernel, environment, module=module)

    async def _make_due(self) -> bool:
        made = await self.sql(
            "UPDATE platform.deliveries SET available_at = now() WHERE status = 'pending' AND lease_token IS NULL"
            " AND handler = ANY(%(known)s) RETURNING id",
            known=self.kernel.worker().handlers,
        )
        return bool(made)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    @overload
    async def events(self) -> list[StoredEvent]: ...
    @overload
    async def events(self, kind: type[E]) -> list[E]: ...
    async def events(self, kind: type[E] | None = None) -> list[StoredEvent] | list[E]:
        """
        Return every stored event, oldest first; with a class, the events of that class themselves.

        Example:
            assert await p.events(UserRegistered) == [UserRegistered(user_id=user.id, email="a@example.org")]
        """
        rows = await self.sql(
            "SELECT id, position, name, version, aggregate_type, aggregate_id, payload, actor_id, correlation_id,"
            " causation_id, occurred_at FROM audit.domain_events ORDER BY position"
        )
        stored = [StoredEvent(**row) for row in rows]
        if kind is None:
            return stored
        codec = EventCodec({kind.wire_name: kind}, {})
        found: list[E] = []
        for event in stored:
            if event.name == kind.wire_name:
                decoded = codec.event(event.name, event.version, event.payload)
                assert isinstance(decoded, kind)
                found.append(decoded)
        return found

    async def deliveries(self, handler: str | None = None) -> list[StoredDelivery]:
        """Return every delivery and job, oldest first, or those of one handler."""
        rows = await self.sql(
            "SELECT id, handler, event_id, aggregate_id, command, status, attempts_count, available_at, lease_token,"
            " last_error, finished_at FROM platform.deliveries WHERE %(handler)s::text IS NULL OR handler = %(handler)s"
            " ORDER BY position NULLS FIRST, created_at, id",
            handler=handler,
        )
        return [StoredDelivery(**row) for row in rows]

    async def audit(self, action: str | None = None) -> list[AuditLine]:
        """Return the audit trail, oldest first, or the lines of one command's wire name."""
        rows = await self.sql(
            "SELECT id, actor_id, actor_label, action, resource_type, resource_id, changes, outcome, detail,"
            " request_id, occurred_at FROM audit.audit_logs"
            " WHERE %(action)s::text IS NULL OR action = %(action)s ORDER BY id",
            action=action,
        )
        return [AuditLine(**row) for row in rows]

    async def sql(self, statement: str, /, **params: Any) -> list[dict[str, Any]]:
        """
        Run SQL with the migrator's rights, which are more than any module has; return rows as dictionaries.

        Example:
            await p.sql("SELECT email FROM user_management.users WHERE id = %(id)s", id=user.id)
        """
        if self._connection is None:
            self._connection = await self._stack.enter_async_context(
                await psycopg.AsyncConnection.connect(
                    libpq_url(self.database_url), autocommit=True, row_factory=dict_row
                )
            )
        cursor = await self._connection.execute(statement.encode(), params or None)
        return await cursor.fetchall() if cursor.description is not None else []

    @property
    def mails(self) -> Sequence[Mail]:
        """
        Every mail that was sent, the newest first, as a real SMTP server got it.

        Raises:
            LookupError: no module says in its manifest that it needs `smtp`; ask with `platform(mail=True)`.
        """
        if self._catcher is None:
            raise LookupError(
                "this platform has no mail server: no module's manifest names the capability smtp"
            )
        return self._catcher.mails

    @contextlib.contextmanager
    def count_statements(self) -> Iterator[Traffic]:
        """
        Count round trips to PostgreSQL and Redis during the block.

        Example:
            with p.count_statements() as traffic:
                await p.client.get("/api/v1/projects")
            assert (traffic.count, traffic.redis_packets) == (1, 1), traffic
        """
        with counted(self.kernel.pools, self.kernel.redis) as traffic:
            yield traffic

    # ── HTTP ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def app(self) -> Any:
        """The HTTP application; assembled when first asked for, so that tests without HTTP do not pay for it."""
        if self._app is None:
            self._app = self.kernel.app()
        return self._app

    @property
    def client(self) -> AsyncClient:
        """
        A visitor's HTTP client, without a network in between.

        Example:
            assert (await p.client.get("/health/live")).status_code == 200
        """
        if self._client is None:
            self._client = self.new_client()
        return self._client

    def new_client(self, headers: Mapping[str, str] | None = None, *, ip: str = "127.0.0.1") -> AsyncClient:
        """
        Return a further client, with cookies and connection of its own; closed with the platform.

        Args:
            headers: sent with each request: `{"Authorization": f"Bearer {token}"}`.
            ip: the address that the platform sees.
        """
        from httpx2 import ASGITransport, AsyncClient

        transport = ASGITransport(app=self.app, client=(ip, 50_000))
        client = AsyncClient(transport=transport, base_url="https://testserver", headers=dict(headers or {}))
        self._stack.push_async_callback(client.aclose)
        return client


class PlatformFactory(Protocol):
    """The type of the fixture `platform`, for annotations: `async def test_…(platform: PlatformFactory)`."""

    def __call__(
        self,
        modules: Iterable[str] = (),
        *,
        extra: Iterable[PluginSource | Path] = (),
        settings: Mapping[str, str] | None = None,
        mail: bool | None = None,
        beside: RunningPlatform | None = None,
        seed: Callable[[RunningPlatform], Awaitable[None]] | None = None,
    ) -> contextlib.AbstractAsyncContextManager[RunningPlatform]:
        """
        Run the platform for the length of an `async with` block.

        Args:
            modules: installed plugins to load, and no others; none means the kernel alone.
            extra: plugins that are not installed: directories of packages, or `PluginSource`.
            settings: environment variables on top of those for tests.
            mail: whether there is an SMTP server; by default when a module needs one.
            beside: share the database and Redis of another running platform, as a second process would.
            seed: run once the platform stands, before the block.

        Raises:
            StartupFailed: as in real life.
        """
        ...


@dataclass
class Factory:
    """
    What the fixture `platform` is.

    Args:
        databases: makes fresh ones.
        redis_url: returns an emptied database of Redis, the same for the whole test.
    """

    databases: Callable[[], Databases]
    redis_url: Callable[[], str]

    @contextlib.asynccontextmanager
    async def __call__(
        self,
        modules: Iterable[str] = (),
        *,
        extra: Iterable[PluginSource | Path] = (),
        settings: Mapping[str, str] | None = None,
        mail: bool | None = None,
        beside: RunningPlatform | None = None,
        seed: Callable[[RunningPlatform], Awaitable[None]] | None = None,
    ) -> AsyncIterator[RunningPlatform]:
        sources = [PluginSource.of(source) for source in extra]
        names = [*modules, *(plugin.name for plugin in sources)]
        if not names:
            sources, names = [_NOTHING], [_NOTHING.name]
        async with contextlib.AsyncExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="platform-test-")))
            paths = stack.enter_context(plugins_installed(*sources, into=home / "plugins"))
            source = {
                **_test_settings(home, names),
                "PYTHONPATH": os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")]).strip(
                    ":"
                ),
                "REDIS_URL": beside.environment["REDIS_URL"] if beside else self.redis_url(),
            }
            catcher = await _mail_server(names, mail, stack)
            if catcher is not None:
                source["SMTP_URL"] = catcher.url
            source |= settings or {}
            clock = beside.clock if beside else ManualClock()
            kernel = Kernel.load(read_settings(source), source, clock=clock)
            database_url = await self._database(kernel, stack, beside)
            _write_down(source, database_url)
            p = RunningPlatform(kernel, clock, source, database_url, catcher)
            stack.push_async_callback(p._stack.aclose)
            await stack.enter_async_context(kernel.running())
            await kernel.announce()
            if seed is not None:
                await seed(p)
            yield p

    async def _database(
        self, kernel: Kernel, stack: contextlib.AsyncExitStack, beside: RunningPlatform | None
    ) -> str:
        migrations = kernel.migrations

        def migrate(url: str) -> None:
            # not where the next release's tables are already: an earlier migrator refuses them
            if read_database_sync(url, migrations).not_ready:
                upgrade(url, migrations, roles=True).raise_for_failures()
                migrate_further(url)

        if beside is not None:
            await asyncio.to_thread(migrate, beside.database_url)  # this one may have further plugins
            return beside.database_url
        databases = self.databases()
        key = _fingerprint(
            [module.directory for module in migrations], [module.name for module in migrations]
        )
        # in a thread: another process of the run may be migrating the same template just now
        template = await asyncio.to_thread(databases.template, key, migrate)
        url = databases.take(template)
        stack.callback(databases.give_back, url)
        return url


async def _mail_server(
    modules: Sequence[str], wanted: bool | None, stack: contextlib.AsyncExitStack
) -> MailCatcher | None:
    if wanted is None:
        wanted = any(map(_sends_mail, modules))
    if not wanted:
        return None
    from platform_core.mailcatcher import MailCatcher

    catcher = MailCatcher(None)
    await catcher.start()
    stack.push_async_callback(catcher.stop)
    return catcher


def _sends_mail(module: str) -> bool:
    try:
        return "smtp" in read_manifest(module, module).capabilities
    except StartupError:  # the kernel will report it
        return False


def _write_down(source: Mapping[str, str], database_url: str) -> None:
    """Only now is the database known; the kernel reads its address when it connects, not when it is loaded."""
    Path(source["DATABASE_URL_FILE"]).write_text(database_url, encoding="utf-8")


def _test_settings(home: Path, modules: Sequence[str]) -> dict[str, str]:
    """
    Return settings under which tests run: nothing limited, nothing slow, every secret thrown away afterwards.

    What a plugin cannot do without comes from its module `testing`, function `settings_for_tests`.
    """
    (home / "database_url").touch()  # written once it is known; until then nobody reads it
    values = {
        "DATABASE_URL_FILE": str(home / "database_url"),
        "STORAGE_URL": f"file://{home / 'files'}",
        "PLATFORM_DATA_DIR": str(home / "data"),
        "PLATFORM_ENV": "test",
        "PLATFORM_MODULES": ",".join(modules),
        "PLATFORM_SECRET_KEY": _SECRET_KEY,
        "PLATFORM_PUBLIC_URL": "https://testserver",
        "PLATFORM_RATE_LIMIT_ANONYMOUS": _PLENTY,
        "PLATFORM_RATE_LIMIT_USER": _PLENTY,
        "PLATFORM_RATE_LIMIT_SIGNUP": _PLENTY,
        "PLATFORM_RATE_LIMIT_LOGIN_FAILURES_IP": _PLENTY,
        "PLATFORM_RATE_LIMIT_LOGIN_FAILURES_ACCOUNT": _PLENTY,
        "PLATFORM_DATABASE_POOL_TIMEOUT_SECONDS": "10",
    }
    for module in modules:
        values |= _settings_of(module)
    return values


def everything_installed(home: Path) -> dict[str, str]:
    """Return settings with which a platform of all installed plugins can be assembled; it has no servers."""
    names = [plugin.name for plugin in entry_points(group=ENTRY_POINT_GROUP)]
    servers = {
        "DATABASE_URL": "postgresql:///nowhere",
        "REDIS_URL": "redis://nowhere",
        "DATABASE_URL_FILE": "",
    }
    return _test_settings(home, names) | servers | {"PLATFORM_MODULES": ""}


def _settings_of(module: str) -> Mapping[str, str]:
    try:
        if importlib.util.find_spec(f"{module}.testing") is None:
            return {}
    except ModuleNotFoundError:
        return {}
    settings: Mapping[str, str] = importlib.import_module(f"{module}.testing").settings_for_tests()
    return settings


def _fingerprint(directories: Sequence[Path], names: Sequence[str]) -> str:
    """Say what a migrated template depends on: the revisions, and the kernel's code that runs them."""
    kernel = Path(platform_core.__file__).parent
    files = [*kernel.glob("_*.py"), *(kernel / "_migrations").glob("*.py")]
    parts = [f"{platform_core.__version__} {','.join(names)} {next_release()}"]
    for path in sorted(files):
        status = path.stat()
        parts.append(f"{path} {status.st_mtime_ns} {status.st_size}")
    for directory in directories:
        parts += [
            f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            for path in sorted(directory.glob("*.py"))
        ]
    return "\n".join(parts)
