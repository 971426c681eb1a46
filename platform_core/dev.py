"""
`platform dev`: the whole platform in one process and one event loop, on data that survive it.

    platform dev ── pipe ──► guardian ──► PostgreSQL, Redis            (where no address was given)
       ├─ API · worker · scheduler · mail catcher with its page · what is installed · stand-ins that modules bring
       └─ with --reload these are a child process, replaced when the source changes

Imported by `cli`. Heavy modules are imported while PostgreSQL starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from platform_core import _development
from platform_core._http_server import bind, http_url
from platform_core.errors import OperationError
from platform_core.settings import environment

if TYPE_CHECKING:
    from platform_core.app import Kernel
    from platform_core.declarations import Companion
    from platform_core.mailcatcher import MailCatcher
    from platform_core.serve import Lifetime

_ADMIN_EMAIL: Final = "admin@example.com"
_CHILD_SECONDS: Final = 15.0
_WATCHED: Final = frozenset({".py", ".toml", ".html", ".txt", ".j2", ".sql", ".json"})


@dataclass(frozen=True)
class _Order:
    """
    What the application part is told; without secrets, because it is an argument of the child.

    Attributes:
        smtp_port, mails_port, map_port: kept over reloads; 0 takes free ones.
        born_at: `time.time()` of the start, for the banner.
        again: a reload; the banner is short.
    """

    data_dir: str
    born_at: float
    smtp_port: int = 0
    mails_port: int = 0
    map_port: int = 0
    again: bool = False


def run(*, host: str, port: int, data_dir: Path | None, modules: str | None, reload: bool) -> None:
    """
    Run until Ctrl-C or SIGTERM; then nothing is left.

    Raises:
        PortTaken: before anything was started.
        StartupFailed, OperationError: with the reason, after everything was stopped again.
    """
    born_at = time.time()
    source = environment(Path(".env"))
    _refuse_production(source)
    directory = data_dir or Path(source.get("PLATFORM_DATA_DIR") or ".platform")
    if modules:
        source["PLATFORM_MODULES"] = modules
    interruption = _Interruption()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interruption)
    try:
        listener = _bind(host, port, directory)
        with listener, _embedded(source, directory) as starting:
            source = _with_defaults(source, listener)
            order = _Order(str(directory), born_at)
            _say(f"Starting in {directory} …")
            with interruption.waits():
                _import_meanwhile()
            addresses = starting.result()
            with _development.announced(directory, addresses):
                if reload:
                    _reload(source | addresses, order, listener)
                else:
                    _application(source | addresses, order, listener)
            _stopping()
    except KeyboardInterrupt:
        _stopping()
    _say(f"Stopped. What it knows is kept in {directory}.")


def _stopping() -> None:
    """From now on nothing but the end happens; it needs no further asking."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class _Interrupted(KeyboardInterrupt):
    """
    A signal during the start.

    A plain KeyboardInterrupt inside of `exec`, as dataclasses use it, makes CPython kill itself with SIGINT at the end,
    though it was caught; a subclass does not.
    """


class _Interruption:
    """What a signal does during the start: it is raised wherever the start is at the moment."""

    def __init__(self) -> None:
        self._came = self._waits = False

    def __call__(self, _number: int, _frame: object) -> None:
        self._came = True
        if not self._waits:
            raise _Interrupted

    @contextlib.contextmanager
    def waits(self) -> Iterator[None]:
        """
        Let a signal wait for the end of the block, which is to be short and full of imports.

        They give their locks back in callbacks, and Python drops what is raised in a callback.
        """
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
        if self._came:
            raise _Interrupted


def _refuse_production(source: Mapping[str, str]) -> None:
    if (named := source.get("PLATFORM_ENV", "development")) in ("staging", "production"):
        raise OperationError(
            f"PLATFORM_ENV says {named}, and `platform dev` is for development: it makes secrets and example data. "
            "Unset it, or run `platform serve`, `platform worker` and `platform scheduler`."
        )


def _bind(host: str, port: int, directory: Path) -> socket.socket:
    try:
        return bind(host, port)
    except OperationError as error:
        if _development.running_addresses(directory) is not None:
            raise OperationError(
                f"{error.message} `platform dev` is running in this directory already."
            ) from error
        raise


def _with_defaults(source: Mapping[str, str], listener: socket.socket) -> dict[str, str]:
    """Return the environment completed with what needs no data directory."""
    own = {
        "PLATFORM_ENV": "development",
        "PLATFORM_PUBLIC_URL": http_url(listener),
        "PLATFORM_SHUTDOWN_GRACE_SECONDS": "5",
    }
    return own | {name: value for name, value in source.items() if value != ""}


@contextlib.contextmanager
def _embedded(source: Mapping[str, str], directory: Path) -> Iterator[Future[dict[str, str]]]:
    """Start the services that nobody gave an address of, in the background; stop them at the end of the block."""
    from platform_core.embedded import EmbeddedServices, embedded_services

    wanted = {
        name: not (source.get(name) or source.get(f"{name}_FILE")) for name in ("DATABASE_URL", "REDIS_URL")
    }
    manager = embedded_services(directory, database=wanted["DATABASE_URL"], redis=wanted["REDIS_URL"])

    def addresses(services: EmbeddedServices) -> dict[str, str]:
        found = {"DATABASE_URL": services.database_url, "REDIS_URL": services.redis_url}
        return {name: value for name, value in found.items() if value is not None}

    with ThreadPoolExecutor(1, "embedded services") as pool:
        starting = pool.submit(lambda: addresses(manager.__enter__()))
        try:
            yield starting
        finally:
            if starting.exception() is None:  # waits, also when we were interrupted meanwhile
                manager.__exit__(None, None, None)


def _import_meanwhile() -> None:
    import platform_core.app
    import platform_core.http.assembly
    import platform_core.serve  # imported here so that the time is not spent later
    from platform_core._http_server import uvloop_factory

    uvloop_factory()  # it imports, too
    with contextlib.suppress(ModuleNotFoundError):  # where mails go elsewhere nobody needs it
        import platform_core.mailcatcher  # noqa: F401  # as above


def _catcher_class() -> type[MailCatcher]:
    """Return what catches mails; raises `OperationError` where its library is not installed."""
    try:
        from platform_core.mailcatcher import MailCatcher
    except ModuleNotFoundError as error:
        raise OperationError(
            f"Nothing here can catch mails, because {error.name} is missing. Install it with"
            " `pip install platform-core[embedded]`, or set SMTP_URL to the address of a mail server."
        ) from error
    return MailCatcher


# ── the application part ─────────────────────────────────────────────────────────────────────────


def _application(
    source: Mapping[str, str], order: _Order, listener: socket.socket, leash_fd: int | None = None
) -> None:
    from platform_core import serve

    async def main(lifetime: Lifetime) -> None:
        if leash_fd is not None:
            serve.end_with_parent(leash_fd, lifetime)
        await _Application(source, order, listener, lifetime).run()

    serve.run(main)


class _Application:
    """API, worker, scheduler and mail catcher in one event loop."""

    def __init__(
        self, source: Mapping[str, str], order: _Order, listener: socket.socket, lifetime: Lifetime
    ) -> None:
        self._source, self._order, self._listener, self._lifetime = dict(source), order, listener, lifetime
        self._directory = Path(order.data_dir)
        self._password: str | None = None
        self._companions: list[tuple[Companion, socket.socket]] = []

    async def run(self) -> None:
        """Start everything in order, say so, and run until the end."""
        from platform_core import serve
        from platform_core._documentation import Site, handbook_of
        from platform_core._watchdog import watchdog

        async with self._mail_catcher() as catcher:
            if catcher is not None:
                self._source["SMTP_URL"] = catcher.url
            kernel = await self._load()
            worker, scheduler = kernel.worker(), kernel.scheduler()
            async with kernel.running(listen=worker.wake):
                await self._seed(kernel)
                await kernel.announce()
                parts: list[serve.Part] = [
                    serve.http_part(kernel, self._listener),
                    ("worker", worker.run, serve.stopping(worker.stop)),
                    ("scheduler", scheduler.run, serve.stopping(scheduler.stop)),
                ]
                mails = bind("127.0.0.1", self._order.mails_port) if catcher is not None else None
                if catcher is not None and mails is not None:
                    parts.append(serve.side_part("mails", catcher.app, mails))
                map_listener = bind("127.0.0.1", self._order.map_port)
                parts.append(serve.side_part("map", Site(handbook_of(kernel)).app, map_listener))
                parts += [
                    serve.side_part(one.name, one.app(self._directory / "companions" / one.name), listener)
                    for one, listener in self._companions
                ]
                self._lifetime.started()
                self._greet(kernel, http_url(mails) if mails else None, http_url(map_listener))
                # who stands at a breakpoint is not to lose the process
                stuck_seconds = kernel.settings.lease_seconds * serve.STUCK_LEASES
                async with watchdog(stuck_seconds, kernel.metrics, ends=False):
                    await serve.run_parts(parts, self._lifetime)

    @contextlib.asynccontextmanager
    async def _mail_catcher(self) -> Any:
        if self._source.get("SMTP_URL") or self._source.get("SMTP_URL_FILE"):
            yield None
            return
        catcher = _catcher_class()(self._directory / "mails", self._order.smtp_port)
        await catcher.start()
        try:
            yield catcher
        finally:
            await catcher.stop()

    async def _load(self) -> Kernel:
        from platform_core import serve
        from platform_core._migrations import upgrade

        store = _development.SecretStore(self._directory)
        url = self._source.get("DATABASE_URL", "")
        self._source = _development.defaults(self._source, self._directory, store)
        self._source = _development.with_module_secrets(self._source, store)
        self._source = await asyncio.to_thread(self._with_administrator, store)
        for companion in _development.companions(self._source):
            listener = bind("127.0.0.1", 0)
            self._companions.append((companion, listener))
            self._source[companion.variable] = http_url(listener)
        kernel = serve.load(self._source)
        serve.configure(kernel.settings, self._source, "platform-dev")
        url = kernel.settings.database_url.get_secret_value()
        report = await asyncio.to_thread(
            upgrade, url, kernel.migrations, roles=kernel.settings.database_roles
        )
        if report.applied_count:
            _say(f"{report.applied_count} migrations applied")
        for name, reason in report.failed.items():
            _say(f"{name} is not migrated: {reason}")
        return kernel

    def _with_administrator(self, store: _development.SecretStore) -> dict[str, str]:
        """Make a password for the first administrator of a fresh database, unless one was given."""
        source = self._source
        if (
            source.get("PLATFORM_ADMIN_PASSWORD")
            or source.get("PLATFORM_ADMIN_PASSWORD_FILE")
            or not _is_fresh(source)
        ):
            return source
        self._password = secrets.token_urlsafe(12)
        store.keep(PLATFORM_ADMIN_PASSWORD=self._password)
        return source | {
            "PLATFORM_ADMIN_EMAIL": source.get("PLATFORM_ADMIN_EMAIL") or _ADMIN_EMAIL,
            "PLATFORM_ADMIN_PASSWORD": self._password,
        }

    async def _seed(self, kernel: Kernel) -> None:
        from platform_core._seeds import run_seeds

        await run_seeds(kernel)

    def _greet(self, kernel: Kernel, mails_url: str | None, map_url: str) -> None:
        took = time.time() - self._order.born_at
        if self._order.again:
            _say(f"reloaded in {took:.1f} s")
            return
        url = kernel.settings.public_url
        facts = [("API", f"{url}/api/v1"), ("Docs", f"{url}/docs")]
        facts.append(("Map", f"{map_url}  (what is installed, and how it fits together)"))
        facts.append(
            ("Mails", f"{mails_url}  (caught here, delivered to nobody)" if mails_url else "by your SMTP_URL")
        )
        facts += [(one.name, f"{http_url(at)}  ({one.remark})") for one, at in self._companions]
        facts.append(("Data", self._order.data_dir))
        modules = [f"{p.name} {p.version}" for p in kernel.active if p.name != "platform"]
        facts.append(("Modules", ", ".join(modules) or "none installed"))
        account: list[tuple[str, str]] = []
        if self._password is not None:
            email = kernel.settings.admin_email or _ADMIN_EMAIL
            account = [
                ("Administrator", email),
                (
                    "Password",
                    f"{self._password}  (shown once; kept in {self._order.data_dir}/{_development.SECRETS})",
                ),
            ]
        failed = [str(plugin.error) for plugin in kernel.plugins if plugin.error]
        _greet(took, facts, account, failed)


def _is_fresh(source: Mapping[str, str]) -> bool:
    """Tell whether no seed was ever applied to the database."""
    import psycopg

    from platform_core._pools import libpq_url
    from platform_core.settings import read_settings

    url = read_settings(source).database_url.get_secret_value()
    with psycopg.connect(libpq_url(url), autocommit=True, connect_timeout=10) as connection:
        try:
            return connection.execute("SELECT 1 FROM platform.seeds LIMIT 1").fetchone() is None
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return True


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _greet(
    took_seconds: float, facts: list[tuple[str, str]], account: list[tuple[str, str]], failed: list[str]
) -> None:
    """Print where everything is: a panel on a terminal, plain lines elsewhere."""
    from platform_core import __version__

    title = f"Platform {__version__} is ready after {took_seconds:.1f} s"
    if not sys.stdout.isatty():
        width = max(len(name) for name, _ in (*facts, *account))
        lines = [title, *(f"  {name.ljust(width)}  {value}" for name, value in (*facts, *account))]
        _say("\n".join([*lines, *(f"  left out: {error}" for error in failed), "Ctrl-C stops everything."]))
        return
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    def grid(rows: list[tuple[str, str]], style: str) -> Table:
        table = Table.grid(padding=(0, 3))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            shown, _, remark = value.partition("  (")
            table.add_row(name, Text.assemble((shown, style), (f"  ({remark}" if remark else "", "dim")))
        return table

    body: list[Any] = [grid(facts, "cyan")]
    if account:
        body += [Text(), grid(account, "bold yellow")]
    body += [Text(f"\nleft out: {error}", style="red") for error in failed]
    body += [Text("\nCtrl-C stops everything.", style="dim")]
    console = Console(highlight=False)
    console.print(
        Panel(
            Group(*body),
            title=f"[bold]{title}[/bold]",
            title_align="left",
            border_style="green",
            padding=(1, 2),
            expand=False,
        )
    )


# ── --reload ─────────────────────────────────────────────────────────────────────────────────────


def _reload(source: Mapping[str, str], order: _Order, listener: socket.socket) -> None:
    try:
        import watchfiles  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise OperationError(
            "--reload needs the package watchfiles. Install it: pip install watchfiles"
        ) from error
    from platform_core import serve

    serve.run(lambda lifetime: _Reloading(source, order, listener, lifetime).run())


class _Reloading:
    """Keeps one child with the application part, and replaces it when the source changes."""

    def __init__(
        self, source: Mapping[str, str], order: _Order, listener: socket.socket, lifetime: Lifetime
    ) -> None:
        self._source, self._order, self._listener, self._lifetime = source, order, listener, lifetime
        # chosen once, so that a page of them that is open stays open, and finds what has changed
        self._ports = {name: _free_port() for name in ("smtp_port", "mails_port", "map_port")}
        self._leash, self._held = os.pipe()

    async def run(self) -> None:
        self._lifetime.started()
        again = False
        while not self._lifetime.is_ending:
            child = await self._spawn(again)
            changed = await self._until_change(child)
            await _end(child)
            if changed is not None:
                _say(f"{changed} changed: restarting")
            again = True
        os.close(self._held)
        os.close(self._leash)

    async def _spawn(self, again: bool) -> asyncio.subprocess.Process:
        born_at = time.time() if again else self._order.born_at
        order = _Order(self._order.data_dir, born_at, again=again, **self._ports)
        descriptors = (self._listener.fileno(), self._leash)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "platform_core.cli._reloaded",
            json.dumps(asdict(order)),
            *map(str, descriptors),
            env=dict(self._source),
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C reaches a whole group; here the parent tells when to end
        )

    async def _until_change(self, child: asyncio.subprocess.Process) -> str | None:
        """Return the file that changed, or None when it is time to end."""
        changed = asyncio.create_task(_next_change(_watched_directories()))
        asked = asyncio.create_task(self._lifetime.asked_to_end())
        gone = asyncio.create_task(child.wait())
        await asyncio.wait([changed, asked, gone], return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not asked.done() and not changed.done():
            _say("the application ended; it starts again when its source changes")
            await asyncio.wait([changed, asked], return_when=asyncio.FIRST_COMPLETED)
        for task in (changed, asked, gone):
            task.cancel()
        await asyncio.gather(changed, asked, gone, return_exceptions=True)
        return changed.result() if changed.done() and not changed.cancelled() else None


async def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        await asyncio.wait_for(child.wait(), _CHILD_SECONDS)
    except TimeoutError:
        child.kill()
        await child.wait()


async def _next_change(directories: list[Path]) -> str:
    from watchfiles import DefaultFilter, awatch

    async for changes in awatch(*directories, watch_filter=DefaultFilter(), step=100):
        for _, name in sorted(changes):
            if Path(name).suffix in _WATCHED:
                return _relative(name)
    return "nothing"


def _relative(name: str) -> str:
    return os.path.relpath(name)


def _watched_directories() -> list[Path]:
    """Return where the source of the kernel and of plugins lies, as far as somebody works on it."""
    import importlib.util
    from importlib.metadata import entry_points

    from platform_core import ENTRY_POINT_GROUP

    packages = {
        "platform_core",
        *(entry.module.partition(".")[0] for entry in entry_points(group=ENTRY_POINT_GROUP)),
    }
    specs = [importlib.util.find_spec(package) for package in sorted(packages)]
    places = [
        Path(place) for spec in specs if spec is not None for place in spec.submodule_search_locations or ()
    ]
    return [place for place in places if "site-packages" not in place.parts] or [Path.cwd()]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def application_part(order: str, listener_fd: str, leash_fd: str) -> None:
    """Be the application part of a reloading platform; called by the child that `_Reloading` started."""
    listener = socket.socket(fileno=int(listener_fd))
    _application(environment(), _Order(**json.loads(order)), listener, leash_fd=int(leash_fd))
